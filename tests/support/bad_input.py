"""Shared constants, assertions and a shop for tests of bad input."""

import json
from http import HTTPStatus
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.support.clients import ApiClient, WebClient
from tests.support.databases import empty
from tests.support.factories import Shop

BOOK, OTHER, PREBOOK = 1, 2, 1
ISBN, OTHER_ISBN = "9780141439518", "9780141439587"
SCRIPT = "\"'><script>alert(1)</script>"
MEGABYTE = "x" * 1_000_000
NEW_BOOK = {"title": "Persuasion", "authors": "Jane Austen", "price_cents": 950}
JSON = "application/json"


class XssShop:
    """A shop whose book has a script in every text field, and which Ada has reserved; no test may change it."""

    def __init__(self, app: Flask) -> None:
        empty(app)
        self.app, self.shop = app, Shop(app)
        self.shop.staff("staff@example.com")
        ada = self.shop.customer("ada@example.com")
        self.shop.book(
            SCRIPT,
            authors=SCRIPT,
            publisher=SCRIPT,
            language=SCRIPT,
            description=SCRIPT,
            isbn=ISBN,
            published_year=1815,
        )
        self.shop.book("Emma", isbn=OTHER_ISBN)
        self.ada, self.staff, self.nobody = (
            ApiClient(app, "ada@example.com"),
            ApiClient(app, "staff@example.com"),
            ApiClient(app),
        )
        self.web_client = WebClient(app)
        self.ada_browser, self.staff_browser = WebClient(app, "ada@example.com"), WebClient(app, "staff@example.com")
        self.visitor_csrf_token, self.ada_csrf_token = self.web_client.csrf_token(), self.ada_browser.csrf_token("/")
        self.staff_csrf_token = self.staff_browser.csrf_token("/")
        self.web_clients = {
            "visitor": (self.web_client, self.visitor_csrf_token),
            "ada": (self.ada_browser, self.ada_csrf_token),
            "staff": (self.staff_browser, self.staff_csrf_token),
        }
        self.staff.patch(f"/api/v1/books/{BOOK}/stock", {"delta": 1, "note": SCRIPT})
        self.staff.patch(f"/api/v1/books/{BOOK}/stock", {"delta": -1})
        assert self.shop.reserve(ada, BOOK) == PREBOOK


def assert_problem(response: TestResponse, status: int, code: str) -> None:
    """Assert that the response is a problem (RFC 9457) with this status and code, and valid `errors`."""
    assert (response.status_code, response.mimetype) == (status, "application/problem+json"), response.text[:300]
    problem = response.get_json()
    assert (problem["status"], problem["code"], problem["title"]) == (status, code, HTTPStatus(status).phrase)
    assert all(problem[name] for name in ("type", "detail"))
    assert ("errors" in problem) == (code == "VALIDATION_ERROR")
    for error in problem.get("errors", []):
        assert error.keys() == {"detail", "pointer"}
        assert (bool(error["detail"]), error["pointer"][0]) == (True, "#")


def send(api_client: ApiClient, method: str, path: str, body: Any, content_type: str | None = JSON) -> TestResponse:
    """Send bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api_client.client.open(path, method=method, data=data, content_type=content_type, headers=api_client.headers)
