"""Staff's face; owns no data."""

from flask import Blueprint

bp = Blueprint("admin", __name__)
