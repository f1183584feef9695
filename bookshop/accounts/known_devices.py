"""By what logins are counted, so that nobody guesses passwords, and nobody locks an owner out by guessing.

Who has logged in before is known by a cookie and counted alone: whatever others try, from whatever address, is nothing
to that browser. (OWASP: Slow Down Online Guessing Attacks with Device Cookies.) A link by e-mail for a new password
makes a browser known, too.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from flask import current_app, request
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts import links
from bookshop.accounts.emails import normal_email
from bookshop.exceptions import Invalid, NotFound
from bookshop.extensions import network_of_visitor
from bookshop.throttle.service import Lane

COOKIE, PURPOSE = "bookshop_device", "known device"
KEPT_FOR = 180 * 24 * 3600  # seconds
MOST_ACCOUNTS = 5  # of one device
QUARTER_HOUR, MINUTE = 900, 60


def lanes_of_login(email: str) -> Sequence[Lane]:
    """By what an attempt to log in with this address is counted, whether or not it is that of an account.

    From unknown devices it is counted by the network and by the account, there and everywhere. The last makes nobody
    wait longer than a minute, as an owner on a new device waits, too.
    """
    account, network = _account(email), network_of_visitor()
    if device := device_of(email):
        return [Lane(f"login {device} {account}", 10, QUARTER_HOUR)]
    lanes = [Lane(f"login at {network}", 30, 5 * MINUTE)]
    if account:
        lanes += [Lane(f"login {account} at {network}", 5, QUARTER_HOUR), Lane(f"login {account}", 50, MINUTE)]
    return lanes


def device_of(email: str) -> str:
    """The device of this request, if an account with this address was logged in on it; '' if not."""
    device, accounts = _kept()
    return device if _account(email) in accounts else ""


def remember(response: AnyResponse, email: str) -> AnyResponse:
    """Make the browser that gets this answer a known device of the account with this address."""
    device, accounts = _kept()
    account = _account(email)
    known = [account, *(other for other in accounts if other != account)][:MOST_ACCOUNTS]
    value = links.signed(PURPOSE, [device or secrets.token_urlsafe(16), known])
    response.set_cookie(
        COOKIE, value, max_age=KEPT_FOR, path="/login", secure=request.is_secure, httponly=True, samesite="Lax"
    )
    return response


def _kept() -> tuple[str, Sequence[str]]:
    """The device and its accounts as this request's cookie names them."""
    try:
        device, accounts = links.read(PURPOSE, request.cookies.get(COOKIE, ""))
    except NotFound:
        return "", ()
    return device, accounts


def _account(email: str) -> str:
    """Stands for the account with this address; '' if it is none that an account could have."""
    try:
        address = normal_email(email).casefold()
    except Invalid:
        return ""
    return hmac.new(str(current_app.secret_key).encode(), address.encode(), hashlib.sha256).hexdigest()[:32]
