"""Webhooks: events that the shop sends to other programs, signed, again and again until they are taken."""

from flask import Blueprint

bp = Blueprint("webhooks", __name__)
