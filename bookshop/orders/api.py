"""To be written."""

from bookshop.orders import bp

__all__ = ["bp"]
