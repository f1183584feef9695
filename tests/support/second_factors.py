"""Second factors in tests: set one up as a phone app would, and compute its codes."""

import html
import re
import time
from typing import NamedTuple

import pyotp

from bookshop.accounts.authentication import Identity
from bookshop.accounts.models import BOOKSELLER
from bookshop.web import services
from tests.support.clients import WebClient
from tests.support.factories import Shop

SECRET = re.compile(r'<code class="secret"[^>]*>([A-Z2-7 ]+)</code>')
RECOVERY_CODE = re.compile(r"<li><code>([0-9A-Z]{5}-[0-9A-Z]{5})</code></li>")
STEP = 30


class Phone(NamedTuple):
    """An authenticator app with the secret of one account."""

    secret: str

    def code(self, steps: int = 0) -> str:
        """Return the code that the app shows, or shows this many steps of 30 seconds later."""
        return str(pyotp.TOTP(self.secret).at(time.time() + steps * STEP))


def scan(page: str) -> Phone:
    """Return a phone with the secret that the set-up page shows."""
    found = SECRET.search(page)
    assert found is not None, page
    return Phone(found.group(1).replace(" ", ""))


def recovery_codes_on(page: str) -> list[str]:
    """Return the recovery codes that a page shows."""
    return RECOVERY_CODE.findall(html.unescape(page))


def set_up(browser: WebClient, shop: Shop | None = None) -> tuple[Phone, list[str]]:
    """Set up a second factor through the pages; returns the phone and the recovery codes.

    With `shop`, forget that the first code has been used, so that the test can use the current one at once.
    """
    phone = scan(browser.get("/account/second-factor").text)
    page = browser.submit("/account/second-factor", code=phone.code(), key="k" * 22)
    assert page.status_code == 201, page.text
    if shop is not None:
        shop.execute("UPDATE second_factors SET last_step = 0")
    return phone, recovery_codes_on(page.text)


def logged_in(shop: Shop, user_id: int) -> Identity:
    """Return a member of staff with a login, the same one at each call."""
    login_id = f"the login of {user_id}"
    if not shop.rows("SELECT id FROM login_sessions WHERE id = :id", id=login_id):
        shop.commit(lambda: services.accounts().users.add_login(login_id, user_id, None))
    return Identity(user_id, "staff@example.com", BOOKSELLER, login_id)
