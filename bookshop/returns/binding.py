"""The service, bound to the request's database session like those in web/services.py."""

from bookshop.extensions import db
from bookshop.returns.service import ReturnService
from bookshop.web import services


def returns_service() -> ReturnService:
    """Return the service for this request."""
    return ReturnService(db.session(), services.authentication(), services.mail())
