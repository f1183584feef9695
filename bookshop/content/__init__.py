"""Content pages: about the shop, terms, privacy and whatever else owners write."""

from flask import Blueprint

bp = Blueprint("content", __name__)
