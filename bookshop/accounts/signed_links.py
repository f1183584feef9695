"""Signed tokens for links in e-mails: each names its user and is valid for one purpose."""

from typing import Any

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer

from bookshop.kit.exceptions import NotFound

UNSUBSCRIBE, WAITING = "want no alerts", "see what I am waiting for"
LOG_IN = "log in: on your account page, you can turn off e-mails."


def sign(purpose: str, content: Any) -> str:
    """Return a signed token for the end of a link; it is valid for this purpose only and never expires."""
    return str(_serializer(purpose).dumps(content))


def read(purpose: str, token: str, otherwise: str = LOG_IN) -> Any:
    """Return the content of a signed token; raises NotFound if the shop did not sign it for this purpose.

    `otherwise` says what else the reader of a damaged link can do.
    """
    try:
        return _serializer(purpose).loads(token)
    except BadSignature:
        raise NotFound(
            f"This link is incomplete. Copy the whole link from the e-mail, or {otherwise}", "LINK_NOT_FOUND"
        ) from None


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=purpose)
