"""Webhooks: signed events that the shop sends to other programs, with retries for up to 3 days."""

from flask import Blueprint

bp = Blueprint("webhooks", __name__)
