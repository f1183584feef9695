"""What visitors who are not logged in do with carts and at the checkout."""

from typing import Any

from werkzeug.test import TestResponse

from tests.support.clients import WebClient
from tests.support.links import fields_of

CONTACT = {"name": "Ada Lovelace", "phone": "030 1234", "note": "Ring twice"}
TYPED = {"email": "ada@example.com", **CONTACT}


def add_to_cart(browser: WebClient, book_id: int) -> None:
    browser.submit("/cart/items", page="/login", book_id=book_id)


def in_cookie(browser: WebClient) -> list[int]:
    """Return the ids of the books in the visitor's cart."""
    with browser.client.session_transaction() as cookie:
        return [entry[0] for entry in cookie.get("cart", [])]


def filled_in(browser: WebClient, **typed: Any) -> dict[str, Any]:
    """Return the fields of the checkout page, as it is now, with what a visitor types."""
    return {**fields_of(browser.get("/checkout").text), **TYPED, **typed}


def check_out(browser: WebClient, **typed: Any) -> TestResponse:
    return browser.post("/checkout", **filled_in(browser, **typed))
