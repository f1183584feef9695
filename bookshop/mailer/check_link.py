"""The link in the message by which owners check that e-mail works."""

import hmac

from flask import current_app

from bookshop.accounts import signed_links
from bookshop.extensions import settings
from bookshop.opening.models import FINGERPRINT_MAX

PURPOSE = "the e-mail has arrived"
ANOTHER = "send yourself another one from the list Ready to open."


def fingerprint() -> str:
    """Return a keyed hash of what e-mail depends on: the mail server, the sender and the address of links."""
    config = settings()
    about = "\n".join((config.smtp_url, config.sender, config.base_url))
    return hmac.digest(str(current_app.secret_key).encode(), about.encode(), "sha256").hex()[:FINGERPRINT_MAX]


def token() -> str:
    """Return the token for a link in a message that is sent with the settings of this process, the worker."""
    return signed_links.sign(PURPOSE, fingerprint())


def fingerprint_of(token: str) -> str:
    """Return the fingerprint of the settings with which a message was sent; raises NotFound for another token."""
    return str(signed_links.read(PURPOSE, token, ANOTHER))
