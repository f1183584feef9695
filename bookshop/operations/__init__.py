"""What an operator watches: health checks, metrics, and whether the worker is alive."""

from flask import Blueprint

bp = Blueprint("operations", __name__)
