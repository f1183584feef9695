"""Accounts: sign-up, login, login sessions and API tokens."""

from flask import Blueprint

bp = Blueprint("accounts", __name__)
