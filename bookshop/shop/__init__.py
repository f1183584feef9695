"""The shop itself: its name, address and opening hours, as owners enter them."""

from flask import Blueprint

bp = Blueprint("shop", __name__)
