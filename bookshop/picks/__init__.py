"""Staff picks: named shelves with books that the booksellers recommend, each in a sentence."""

from flask import Blueprint

bp = Blueprint("picks", __name__)
