"""To be written."""

from bookshop.admin import bp

__all__ = ["bp"]
