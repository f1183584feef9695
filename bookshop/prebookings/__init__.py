"""Reserve, my reservations, cancel."""

from flask import Blueprint

bp = Blueprint("prebookings", __name__)
