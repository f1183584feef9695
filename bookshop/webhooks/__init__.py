"""Webhooks: signed events that the shop sends to other programs, retrying until they are accepted."""

from flask import Blueprint

bp = Blueprint("webhooks", __name__)
