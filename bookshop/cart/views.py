"""To be written."""

from bookshop.cart import bp

__all__ = ["bp"]
