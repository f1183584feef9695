"""Signed tokens for links in e-mails: each names its user and is valid for one purpose."""

from typing import Any

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer

from bookshop.kit.exceptions import NotFound

CONFIRM, UNSUBSCRIBE = "confirm an address", "want no alerts"


def sign(purpose: str, content: Any) -> str:
    """Return the signed token that ends a link for this purpose; it never expires."""
    return str(_serializer(purpose).dumps(content))


def read(purpose: str, token: str) -> Any:
    """Return the content of a signed token; raises NotFound if the shop did not sign it for this purpose."""
    try:
        return _serializer(purpose).loads(token)
    except BadSignature:
        raise NotFound(
            "This link is incomplete: copy the whole link from the e-mail. Or log in: on your account page you can"
            " resend the message or turn off these e-mails.",
            "LINK_NOT_FOUND",
        ) from None


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=purpose)
