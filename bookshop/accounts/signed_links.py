"""The links in e-mail that say by a signature whom they are for; each is good for its one purpose only."""

from typing import Any

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer

from bookshop.kit.exceptions import NotFound

CONFIRM, UNSUBSCRIBE = "confirm an address", "want no alerts"


def sign(purpose: str, content: Any) -> str:
    """What a link for this purpose ends with; it holds for ever."""
    return str(_serializer(purpose).dumps(content))


def read(purpose: str, token: str) -> Any:
    """The content of such a link; raises NotFound if the shop did not sign it for this purpose."""
    try:
        return _serializer(purpose).loads(token)
    except BadSignature:
        raise NotFound(
            "This link is not whole. Please copy all of it from the e-mail. Or log in: your account page can send the"
            " message again and turn these e-mails off.",
            "LINK_NOT_FOUND",
        ) from None


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=purpose)
