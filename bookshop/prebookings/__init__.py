"""Reservations, called pre-bookings in code and in JSON."""

from flask import Blueprint

bp = Blueprint("prebookings", __name__)
