"""The staff pages, without data of their own. Other features register their JSON views for staff on this blueprint."""

from flask import Blueprint

bp = Blueprint("admin", __name__)
