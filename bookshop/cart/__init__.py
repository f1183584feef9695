"""The cart: the books that a visitor intends to order. They are not set aside until then."""

from flask import Blueprint

bp = Blueprint("cart", __name__)
