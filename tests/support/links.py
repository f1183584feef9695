"""Links in e-mails: finding them in a message, and pressing the button of their page as a browser does."""

import re
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

from werkzeug.test import TestResponse

from bookshop.accounts.authentication import token_hash
from bookshop.accounts.models import ADDRESS, LOGIN, UNDO, LoginLink
from bookshop.web import services
from tests.support.clients import WebClient
from tests.support.factories import Shop
from tests.support.mailbox import Mailbox, part

PATH = re.compile(r"https?://[^/\s]+(/(?:login/link|address/confirm|address/undo|waiting)/[^\s>]+)")

CHOICES = ("checkbox", "radio")
LINKS = {purpose: purpose[0] * 43 for purpose in (LOGIN, ADDRESS, UNDO)}


def add_links(shop: Shop, user_id: int) -> None:
    """Create the links whose tokens are in LINKS: they log in, change this user's address and undo such a change."""

    def add() -> None:
        for purpose, token in LINKS.items():
            address = f"{purpose}@example.com"
            link = LoginLink(purpose=purpose, email=address, email_key=address, nonce="", browser="", next="/")
            link.user_id, link.token_hash = None if purpose == LOGIN else user_id, token_hash(token)
            services.login_links().links.add(link)

    shop.commit(add)


def link_in(message: EmailMessage) -> str:
    """Return the path of the link in a message."""
    found = PATH.search(part(message, "plain"))
    assert found, part(message, "plain")
    return found.group(1)


def delivered_link(mailbox: Mailbox) -> str:
    """Deliver the only message in the outbox, and return the path of its link."""
    [message] = mailbox.deliver()
    return link_in(message)


def start_to_reserve(browser: WebClient, book_id: int, email: str = "ada@example.com") -> TestResponse:
    """Reserve a book with an address, as a visitor who is not logged in."""
    return browser.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}", email=email)


def fields_of(page: str) -> dict[str, list[str]]:
    """Return what a browser would send with the form of a page's content if nothing were changed."""
    parser = _Form()
    parser.feed(page[page.index("<main") :])
    return parser.fields


def press(browser: WebClient, path: str, **changes: Any) -> TestResponse:
    """Open a link and press its button; `changes` replace fields, None removes one."""
    fields: dict[str, Any] = {**fields_of(browser.get(path).text), **changes}
    return browser.post(path, **{name: value for name, value in fields.items() if value is not None})


class _Form(HTMLParser):
    """Collects the values of hidden and text fields, ticked boxes and areas."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self.area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        field = dict(attrs)
        name, kind = field.get("name"), field.get("type")
        if tag == "textarea" and name:
            self.area = name
            self.fields[name] = [""]
        elif tag == "input" and name and kind != "submit" and (kind not in CHOICES or "checked" in field):
            self.fields.setdefault(name, []).append(field.get("value") or ("on" if kind == "checkbox" else ""))

    def handle_data(self, data: str) -> None:
        if self.area:
            self.fields[self.area] = [self.fields[self.area][0] + data]

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self.area:  # browsers ignore a line break at its start
            self.fields[self.area] = [self.fields[self.area][0].removeprefix("\r").removeprefix("\n")]
            self.area = None
