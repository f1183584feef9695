"""Every page for everybody: WCAG 2.2 AA in light and dark, narrow and wide, and nothing sticks out at 320 pixels."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page

from tests.browser.accessibility import assert_accessible, assert_fits
from tests.browser.chromium import log_in
from tests.browser.conftest import ONE_DATABASE, NewContext
from tests.factories import Shop, empty
from tests.stand import ISBN

pytestmark = ONE_DATABASE

IN_STOCK, OUT_OF_STOCK, RESERVED, CAME_BACK, SOLD_OUT_AGAIN, WITHDRAWN = range(1, 7)
ADA = 1
LONG = "The Life and Strange Surprizing Adventures of Robinson Crusoe, of York, Mariner"

# Who looks at what. A new page is one more line.
PAGES = [
    ("nobody", "/"),
    ("nobody", "/books"),
    ("nobody", "/books?page=2"),
    ("nobody", "/books?q=nothing+like+it"),
    ("nobody", "/books?min_price=much"),
    ("nobody", f"/books/{IN_STOCK}"),
    ("nobody", f"/books/{OUT_OF_STOCK}"),
    ("nobody", f"/books/{WITHDRAWN}"),
    ("nobody", "/login"),
    ("nobody", "/register"),
    ("nobody", "/nowhere"),
    ("ada", "/"),
    ("ada", f"/books/{OUT_OF_STOCK}"),
    ("ada", f"/books/{RESERVED}"),
    ("ada", f"/books/{CAME_BACK}"),
    ("ada", f"/books/{SOLD_OUT_AGAIN}"),
    ("ada", "/reservations"),
    ("ada", "/account"),
    ("ada", "/account/email"),
    ("ada", "/account/password"),
    ("ada", "/account/sessions"),
    ("ada", "/account/tokens"),
    ("ada", "/account/delete"),
    ("ada", "/admin"),
    ("ben", "/"),
    ("ben", "/reservations"),
    ("ben", "/account/tokens"),
    ("staff", "/"),
    ("staff", f"/books/{RESERVED}"),
    ("staff", "/admin"),
    ("staff", "/admin/delivery"),
    ("staff", "/admin/users"),
    ("staff", "/admin/users?q=nobody"),
    ("staff", f"/admin/users/{ADA}/deactivate"),
    ("staff", "/admin/books"),
    ("staff", "/admin/books?q=nothing+like+it"),
    ("staff", "/admin/books/new"),
    ("staff", f"/admin/books/{RESERVED}/edit"),
    ("staff", f"/admin/books/{RESERVED}/stock"),
    ("staff", f"/admin/books/{RESERVED}/cover"),
    ("staff", f"/admin/books/{RESERVED}/waiting"),
    ("staff", f"/admin/books/{RESERVED}/withdraw"),
    ("staff", f"/admin/books/{WITHDRAWN}/stock"),
    ("staff", f"/admin/books/{CAME_BACK}/movements"),
]


class Sent(NamedTuple):
    """A form that somebody sends: with which button, the status of the answer, and what is typed before."""

    who: str
    path: str
    button: str
    status: int
    typed: dict[str, str] = {}


# What is wrong comes back with the form; some answers are pages of their own.
FORMS = [
    Sent("nobody", "/login", "Log in", 400),
    Sent("nobody", "/register", "Create account", 400),
    Sent("ada", "/account/email", "Change e-mail address", 400),
    Sent("ada", "/account/password", "Change password", 400),
    Sent("ada", "/account/tokens", "Create token", 400),
    Sent("ada", "/account/tokens", "Create token", 201, {"name": "till"}),
    Sent("ada", "/account/delete", "Delete my account", 400),
    Sent("staff", "/admin/delivery", "Check", 400),
    Sent("staff", "/admin/delivery", "Check", 200, {"lines": f"{ISBN} x2\nnonsense"}),
    Sent("staff", "/admin/books/new", "Save", 400),
    Sent("staff", f"/admin/books/{RESERVED}/cover", "Upload", 400),
    Sent("staff", f"/admin/books/{RESERVED}/stock", "Save stock", 400),
]


@pytest.fixture(scope="module")
def everybody(shared_app: Flask, browser: Browser, base_url: str) -> Iterator[dict[str, Any]]:
    """One shop for all pages, in every state that a book can have, and the cookies of those who look at it."""
    empty(shared_app)
    fill(Shop(shared_app))
    cookies: dict[str, Any] = {"nobody": None}
    for who in ("ada", "ben", "staff"):
        with browser.new_context(base_url=base_url) as context:
            log_in(context.new_page(), f"{who}@example.com")
            cookies[who] = context.storage_state()
    yield cookies
    empty(shared_app)


def fill(shop: Shop) -> None:
    ada = shop.customer("ada@example.com")
    assert ada == ADA
    shop.token("ada@example.com")
    shop.customer("ben@example.com")
    shop.staff("staff@example.com")
    facts = {"isbn": ISBN, "language": "en", "published_year": 1719, "publisher": "W. Taylor"}
    assert shop.book(LONG, stock=2, description=LONG * 5, **facts) == IN_STOCK
    shop.book("Emma")
    shop.book(LONG)
    for title in ("Persuasion", "Sanditon"):
        shop.reserve(ada, shop.book(title))
    assert shop.withdraw(shop.book("The Watsons", stock=1)) == 0
    shop.reserve(ada, RESERVED)
    shop.set_stock(CAME_BACK, 3)
    shop.set_stock(SOLD_OUT_AGAIN, 1)
    shop.set_stock(SOLD_OUT_AGAIN, 0)
    for number in range(60):
        shop.book(f"Volume {number}", stock=number % 3)


@pytest.fixture
def opened(everybody: dict[str, Any], new_context: NewContext) -> Callable[..., Page]:
    """Opens a page as somebody sees it."""

    def opened(who: str, path: str) -> Page:
        page = new_context(storage_state=everybody[who], reduced_motion="reduce").new_page()
        page.goto(path)
        return page

    return opened


@pytest.mark.parametrize(("who", "path"), PAGES)
def test_a_page_is_for_everybody(opened, who, path):
    page = opened(who, path)
    assert_accessible(page)
    assert_fits(page)


@pytest.mark.parametrize("sent", FORMS, ids=lambda sent: f"{sent.path} {sent.status}")
def test_what_a_form_answers_is_for_everybody(opened, sent):
    page = opened(sent.who, sent.path)
    for name, value in sent.typed.items():
        page.locator(f"main [name={name}]").fill(value)
    with page.expect_response(lambda response: response.request.method == "POST") as answer:
        page.get_by_role("main").get_by_role("button", name=sent.button).click()
    assert answer.value.status == sent.status
    page.wait_for_load_state()
    assert_accessible(page)
    assert_fits(page)
