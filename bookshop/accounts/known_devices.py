"""By what logins are counted, so that nobody guesses passwords, and nobody locks an owner out by guessing.

Who has logged in before is known by a cookie and counted alone: whatever others try, from whatever address, is nothing
to that browser. (OWASP: Slow Down Online Guessing Attacks with Device Cookies.) A link by e-mail for a new password
makes a browser known, too. With another password all devices are unknown but the one on which it was changed.
"""

import secrets
from collections.abc import Sequence

from flask import current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts.emails import normal_email
from bookshop.extensions import client_network
from bookshop.kit.exceptions import Invalid
from bookshop.throttle.service import AttemptLimit
from bookshop.web import services

COOKIE = "bookshop_device"
KEPT_FOR = 180 * 24 * 3600  # seconds
MOST_ACCOUNTS = 5  # of one device
QUARTER_HOUR, MINUTE = 900, 60


def login_limits(email: str) -> Sequence[AttemptLimit]:
    """By what an attempt to log in with this address is counted, whether or not it is that of an account.

    From unknown devices it is counted by the network and by the account, there and everywhere. A wait that others may
    have caused is a minute at most; for who finds others quicker each time there is the link by e-mail.
    """
    account, network = _key_of(email), client_network()
    if device := device_of(email):
        return [AttemptLimit(f"login {device} {account}", 10, QUARTER_HOUR)]
    limits = [AttemptLimit(f"login at {network}", 30, MINUTE)]
    if account:
        limits += [
            AttemptLimit(f"login {account} at {network}", 5, QUARTER_HOUR),
            AttemptLimit(f"login {account}", 50, MINUTE),
        ]
    return limits


def device_of(email: str) -> str:
    """The device of this request, if an account with this address was logged in on it; '' if not."""
    device, marks = _kept()
    return device if device and _mark(email) in marks else ""


def remember(response: AnyResponse, email: str) -> AnyResponse:
    """Make the browser that gets this answer a known device of the account with this address."""
    _former, marks = _kept()
    mark = _mark(email)
    known = [mark, *(other for other in marks if other != mark)][:MOST_ACCOUNTS]
    value = _serializer().dumps([secrets.token_urlsafe(16), known])
    response.set_cookie(COOKIE, value, max_age=KEPT_FOR, secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def _kept() -> tuple[str, Sequence[str]]:
    """The device and its accounts as this request's cookie names them."""
    try:
        device, marks = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=KEPT_FOR)
    except BadData:
        return "", ()
    return device, marks


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="known device")


def _mark(email: str) -> str:
    """Stands for an account with its password as it is now."""
    return services.accounts().mark(email, str(current_app.secret_key))


def _key_of(email: str) -> str:
    """The address as it is compared; '' if it is none that an account could have."""
    try:
        return normal_email(email).casefold()
    except Invalid:
        return ""
