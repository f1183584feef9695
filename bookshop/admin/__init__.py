"""Staff's pages; they own no data. The features hang their JSON for staff on the same blueprint."""

from flask import Blueprint

bp = Blueprint("admin", __name__)
