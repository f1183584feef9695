"""Device cookies: slow down password guessing without locking out the owner of an account.

A browser that has logged in before is known by a cookie and has its own limit, so attempts from elsewhere do not affect
it (OWASP: Slow Down Online Guessing Attacks with Device Cookies). Logging in with a link makes a browser known as well.
After a password change, only the device on which it was changed is still known.
"""

import secrets
from collections.abc import Sequence

from flask import current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts.emails import key_of_typed
from bookshop.extensions import client_network
from bookshop.throttle.service import AttemptLimit
from bookshop.web import services

COOKIE = "bookshop_device"
COOKIE_MAX_AGE = 180 * 24 * 3600  # seconds
ACCOUNTS_MAX = 5  # of one device
QUARTER_HOUR, MINUTE = 900, 60


def login_limits(email: str) -> Sequence[AttemptLimit]:
    """Return the limits that count a login attempt with this address, whether or not it has an account.

    An attempt from an unknown device counts for its network, for the account on this network and for the account as a
    whole. Others can make an owner wait for at most a minute, or a quarter of an hour from the same network. Owners can
    avoid the wait by logging in with a link.
    """
    account, network = key_of_typed(email), client_network()
    if device := device_of(email):
        return [AttemptLimit(f"login {device} {account}", 10, QUARTER_HOUR)]
    limits = [AttemptLimit(f"login at {network}", 30, MINUTE)]
    if account:
        limits += [
            AttemptLimit(f"login {account} at {network}", 5, QUARTER_HOUR),
            AttemptLimit(f"login {account}", 50, MINUTE),
        ]
    return limits


def code_limits(email: str) -> Sequence[AttemptLimit]:
    """Return the limits of wrong codes for this account, after the right password.

    In the long run this allows one guess every quarter of an hour: about 100 a day, of a million codes. Guesses
    elsewhere do not make a known device wait. All known devices together have a limit of their own, because anyone with
    access to the mailbox can make more devices known.
    """
    account = key_of_typed(email)
    if device := device_of(email):
        return [
            AttemptLimit(f"code {device} {account}", 5, QUARTER_HOUR),
            AttemptLimit(f"code on known devices {account}", 30, QUARTER_HOUR),
        ]
    return [AttemptLimit(f"code {account}", 5, QUARTER_HOUR)]


def device_of(email: str) -> str:
    """Return the id of this device if the account with this address has logged in on it, else ''."""
    device, marks = _from_cookie()
    return device if device and _mark(email) in marks else ""


def remember(response: AnyResponse, email: str) -> AnyResponse:
    """Make the browser that gets this response a known device of the account with this address."""
    _former, marks = _from_cookie()
    mark = _mark(email)
    known = [mark, *(other for other in marks if other != mark)][:ACCOUNTS_MAX]
    value = _serializer().dumps([secrets.token_urlsafe(16), known])
    response.set_cookie(COOKIE, value, max_age=COOKIE_MAX_AGE, secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def _from_cookie() -> tuple[str, Sequence[str]]:
    """Return the device id and the account marks in this request's cookie."""
    try:
        device, marks = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=COOKIE_MAX_AGE)
    except BadData:
        return "", ()
    return device, marks


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="known device")


def _mark(email: str) -> str:
    """Return the keyed hash of an account and its current password."""
    return services.accounts().account_mark(email, str(current_app.secret_key))
