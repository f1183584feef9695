"""The feed of events: what happened in the shop, in one order that never changes."""

from flask import Blueprint

bp = Blueprint("events", __name__)  # the name in its endpoints, from before the feed had a package of its own
