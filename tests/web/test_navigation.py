"""Redirects after an action: only to pages of this shop."""

import pytest

from bookshop import create_app
from bookshop.web.navigation import parent_page, return_address, safe_next
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

OWN = [
    "/",
    "/books",
    "/books/1",
    "/?q=emma&page=2",
    "/?next=//evil.example",
    "/reservations",
    "/reservations?page=2#latest",
    "/admin/books/7/stock",
    "/account/password",
    "/?q=Garc%C3%ADa",
]
HOSTILE = [
    None,
    "",
    " ",
    "books",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "//evil.example/books",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/ /evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\0/evil.example",
    "/\x7f/evil.example",
    "http://evil.example",
    "https://evil.example/",
    "HTTPS://evil.example/books",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "http://localhost@evil.example/",
    "http://localhost/books",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "/.//evil.example",
    "/..//evil.example",
    "/%2f/evil.example",
    "/%2F%2Fevil.example",
    "/%5cevil.example",
    "/books//evil.example",
    "/books/..//evil.example",
    "/books\r\nSet-Cookie: bookshop=stolen",
    "/books?q=\r\nSet-Cookie: bookshop=stolen",
    "/books?q=a\\b",
    "@evil.example",
    "/@evil.example",
    "#//evil.example",
    "?q=emma",
    ".evil.example",
    "\uff0f\uff0fevil.example",
    "/nothing/here",
    "/books/0x1",
    "/logout",
    "/api/v1/books",
    "/api/v1/prebookings",
    "/static/css/shop.css",
    "/?q=" + "a" * 2000,
]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An application without tables, as nothing here uses the database."""
    return create_app(settings_for(f"sqlite:///{tmp_path_factory.mktemp('navigation')}/shop.db"))


@pytest.mark.parametrize("target", OWN)
def test_our_own_pages_are_followed(app, target):
    with app.test_request_context():
        assert safe_next(target) == target


@pytest.mark.parametrize("target", HOSTILE)
def test_anything_but_our_own_page_redirects_home(app, target):
    with app.test_request_context():
        assert safe_next(target) == "/"


@pytest.mark.parametrize(
    ("button", "page"),
    [
        ("/books/7/reserve", "/books/7"),
        ("/reservations/7/cancel", "/reservations"),
        ("/admin/books/7/put-back", "/admin/books"),
        ("/logout", "/"),
        ("/nothing/at/all", "/"),
        ("/", "/"),
        ("/api/v1/prebookings", "/"),
    ],
)
def test_the_page_of_a_button_is_the_nearest_address_above_it(app, button, page):
    with app.test_request_context(path=button, method="POST"):
        assert parent_page() == page


@pytest.mark.parametrize(
    ("method", "address", "page"),
    [
        ("GET", "/reservations", "/reservations"),
        ("GET", "/reservations?page=2", "/reservations?page=2"),
        ("HEAD", "/admin", "/admin"),
        ("POST", "/books/7/reserve", "/books/7"),
        ("POST", "/reservations/7/cancel?x=1", "/reservations"),
    ],
)
def test_login_returns_to_the_previous_page(app, method, address, page):
    with app.test_request_context(address, method=method):
        assert return_address() == page
        assert safe_next(return_address()) == page
