"""Who you are: registration, login, sessions, tokens."""

from flask import Blueprint

bp = Blueprint("accounts", __name__)
