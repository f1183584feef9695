"""Checkout and orders: first come, first served."""

from flask import Blueprint

bp = Blueprint("orders", __name__)
