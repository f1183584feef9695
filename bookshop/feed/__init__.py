"""The event feed: everything that happened in the shop, in an order that never changes."""

from flask import Blueprint

bp = Blueprint("events", __name__)  # the endpoint names predate this package
