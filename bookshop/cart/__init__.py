"""The cart: what a visitor means to order. It holds nothing back for anyone."""

from flask import Blueprint

bp = Blueprint("cart", __name__)
