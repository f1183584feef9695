"""Books: list, search, book page."""

from flask import Blueprint

bp = Blueprint("catalog", __name__)
