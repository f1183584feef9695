"""The checkout pages and customers' orders."""

from flask import Blueprint

bp = Blueprint("orders", __name__)
