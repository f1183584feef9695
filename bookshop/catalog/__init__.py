"""The catalogue: home page, search, book pages and covers."""

from flask import Blueprint

bp = Blueprint("catalog", __name__)
