"""The browser in which a visitor starts something: a random id in its cookie session, stored only as a hash."""

import secrets
from time import time

from flask import redirect, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts import known_devices
from bookshop.accounts.authentication import token_hash
from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import LoginLink
from bookshop.web.navigation import safe_next

BROWSER, SENT_TO = "browser", "link_sent_to"
REMEMBERED = 600  # seconds


def browser_id() -> str:
    """Return the hash of the id of this browser; '' if it has none."""
    stored = session.get(BROWSER)
    return token_hash(stored) if isinstance(stored, str) else ""


def is_browser_of(link: LoginLink) -> bool:
    """Whether this is the browser that asked for the link; scripts have none."""
    return link.browser != "" and link.browser == browser_id()


def link_request(email: str, target: str | None = None) -> LinkRequest:
    """Return a request of this browser for a link that leads to `target`.

    A browser without an id gets the CSRF token of its session as one, so that two clicks on a form have the same.
    """
    if not current_user.is_authenticated:  # a login on somebody else's device ends with the browser
        session.permanent = True  # so that the browser is still known after it was closed
    session.setdefault(BROWSER, session.get("csrf_token") or secrets.token_urlsafe(16))
    return LinkRequest(email, browser_id(), known_devices.device_of(email), safe_next(target))


def link_sent(address: str) -> Response:
    """Redirect to the page that says where the link was sent."""
    session[SENT_TO] = [address, int(time())]
    return redirect(url_for("accounts.link_sent_page"), 303)


def sent_to() -> str:
    """Return the address to which this browser had a link sent in the last ten minutes; '' if there is none.

    Not for longer, as the next person in front of this browser would see it.
    """
    stored = session.get(SENT_TO)
    if not isinstance(stored, list) or [type(value) for value in stored] != [str, int]:
        return ""
    return stored[0] if 0 <= time() - stored[1] < REMEMBERED else ""
