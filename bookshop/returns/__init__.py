"""Returns: customers withdraw from an order that was posted to them, in two steps, and get an acknowledgement."""

from flask import Blueprint

bp = Blueprint("returns", __name__)
