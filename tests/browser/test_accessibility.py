"""Accessibility of every page: WCAG 2.2 AA in light and dark, narrow and wide, and no overflow at 320 pixels.

All pages are checked in one window whose cookies are changed: opening a new one costs more than running axe.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, Response

from tests.browser.accessibility import assert_accessible, assert_accessible_in_other_themes, assert_fits, load_axe
from tests.browser.conftest import ONE_DATABASE, TIMEOUT, carry_cookie
from tests.browser.full_shop import (
    ADA,
    CAME_BACK,
    CANCELLED,
    COLLECTED,
    COMPLETE,
    DEARER,
    IN_PROGRESS,
    IN_STOCK,
    OUT_OF_STOCK,
    PLACED,
    PREVIEWED,
    PUT_OFF,
    READY,
    RESERVED,
    SOLD_OUT_AGAIN,
    TOLD,
    UNREADABLE,
    WITHDRAWN,
    change,
    fill,
    fill_cart,
    give_phone,
)
from tests.browser.watch import Watch
from tests.support.bad_input import ISBN, OTHER_ISBN
from tests.support.clients import WebClient
from tests.support.databases import empty
from tests.support.factories import Shop
from tests.support.routes import TOKENS

pytestmark = [ONE_DATABASE, pytest.mark.prove]

MAIL_CHECK = f"/admin/ready/mail/{TOKENS['/admin/ready/mail/{token}']}"
LOGIN_LINK, NEW_ADDRESS, FORMER_ADDRESS, UNSUBSCRIBE, WAITING = (
    f"/{page}/{TOKENS[f'/{page}/{{token}}']}"
    for page in ("login/link", "address/confirm", "address/undo", "unsubscribe", "waiting")
)

# Roles and their pages. A new page is one more line.
PAGES = [
    ("nobody", "/"),
    ("nobody", "/books"),
    ("nobody", "/books?page=2"),
    ("nobody", "/books?q=nothing+like+it"),
    ("nobody", "/books?min_price=much"),
    ("nobody", f"/books/{IN_STOCK}"),
    ("nobody", f"/books/{OUT_OF_STOCK}"),
    ("nobody", f"/books/{WITHDRAWN}"),
    ("nobody", "/picks"),
    ("nobody", "/picks/1"),
    ("nobody", "/login"),
    ("nobody", LOGIN_LINK),
    ("nobody", "/login/link/used"),
    ("nobody", NEW_ADDRESS),
    ("nobody", FORMER_ADDRESS),
    ("nobody", UNSUBSCRIBE),
    ("nobody", WAITING),
    ("nobody", "/nowhere"),
    ("nobody", "/cart"),
    ("guest", "/"),
    ("guest", "/books"),
    ("guest", f"/books/{DEARER}"),
    ("guest", "/cart"),
    ("guest", "/checkout"),
    ("guest", LOGIN_LINK),
    ("guest", "/login/sent"),
    ("ada", "/"),
    ("ada", LOGIN_LINK),
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
    ("ada", f"/books/{DEARER}"),
    ("ada", "/cart"),
    ("ada", "/checkout"),
    ("ada", "/orders"),
    ("ada", f"/orders/{PLACED}"),
    ("ada", f"/orders/{PLACED}/cancel"),
    ("ada", f"/orders/{READY}"),
    ("ada", f"/orders/{COLLECTED}"),
    ("ada", f"/orders/{CANCELLED}"),
    ("cleo", "/cart"),
    ("cleo", "/checkout"),
    ("cleo", "/orders"),
    ("ben", "/"),
    ("ben", "/cart"),
    ("ben", "/reservations"),
    ("ben", "/account"),
    ("ben", "/account/tokens"),
    ("staff", "/"),
    ("staff", f"/books/{RESERVED}"),
    ("staff", "/admin"),
    ("staff", "/account"),
    ("staff", "/cart"),
    ("staff", "/admin/orders"),
    ("staff", "/admin/orders?status=ready"),
    ("staff", "/admin/orders?status=uncollected"),
    ("staff", "/admin/orders?status=collected"),
    ("staff", "/admin/orders?status=cancelled"),
    ("staff", "/admin/orders?status=all"),
    ("staff", "/admin/orders?q=lovelace"),
    ("staff", "/admin/orders?q=1234-5678"),
    ("staff", "/admin/orders?q=nothing+like+it"),
    ("staff", "/admin/orders/pick-list"),
    ("staff", f"/admin/orders/{PLACED}"),
    ("staff", f"/admin/orders/{READY}"),
    ("staff", f"/admin/orders/{COLLECTED}"),
    ("staff", f"/admin/orders/{CANCELLED}"),
    ("staff", "/admin/delivery"),
    ("staff", "/admin/exports"),
    ("staff", "/admin/imports"),
    *(("staff", f"/admin/imports/{job}?reload=off") for job in (PREVIEWED, IN_PROGRESS, UNREADABLE, COMPLETE)),
    ("staff", "/admin/mail"),
    ("staff", "/admin/mail?status=to_send&ticked=all"),
    ("staff", "/admin/mail?status=sent"),
    ("staff", "/admin/mail?status=suppressed"),
    ("staff", f"/admin/mail/{TOLD}"),
    ("staff", f"/admin/mail/{PUT_OFF}"),
    ("staff", "/admin/webhooks"),
    ("staff", "/admin/webhooks/1"),
    ("staff", "/admin/webhooks/1?state=failed"),
    ("staff", "/admin/webhooks/2"),
    ("staff", "/admin/users"),
    ("staff", "/admin/users?q=nobody"),
    ("staff", f"/admin/users/{ADA}/deactivate"),
    ("staff", "/admin/books"),
    ("staff", "/admin/books?q=nothing+like+it"),
    ("staff", "/admin/books?show=wanted"),
    ("staff", "/admin/search?q=a"),
    ("staff", "/admin/search?q=nothing+like+it"),
    ("staff", "/admin/books/new"),
    ("staff", f"/admin/books/{RESERVED}/edit"),
    ("staff", f"/admin/books/{RESERVED}/stock"),
    ("staff", f"/admin/books/{RESERVED}/cover"),
    ("staff", f"/admin/books/{RESERVED}/waiting"),
    ("staff", f"/admin/books/{RESERVED}/withdraw"),
    ("staff", f"/admin/books/{WITHDRAWN}/stock"),
    ("staff", f"/admin/books/{CAME_BACK}/stock"),
    ("staff", f"/admin/books/{DEARER}/stock"),
    ("staff", f"/admin/books/{CAME_BACK}/movements"),
    ("staff", f"/admin/books/{DEARER}/movements"),
    ("staff", "/admin/picks"),
    ("staff", "/admin/picks/new"),
    ("staff", "/admin/picks/1#book-3"),
    ("staff", "/admin/picks/1/delete"),
    ("staff", f"/admin/picks/1/books/{IN_STOCK}"),
    ("staff", f"/admin/books/{IN_STOCK}/picks"),
    ("staff", "/account/second-factor"),
    ("dora", "/account"),
    ("dora", "/account/second-factor"),
    ("dora", "/account/confirm-login"),
    ("pending", "/login/code"),
    ("owner", "/admin/users"),
    ("owner", "/admin/staff"),
    ("owner", f"/admin/staff/{ADA}"),
    ("owner", "/admin/settings"),
    ("owner", "/admin/settings/server"),
    ("owner", "/admin/settings/look"),
    ("owner", "/admin/pages"),
    ("owner", "/admin/pages/terms"),
    ("nobody", "/pages/privacy"),
    ("nobody", "/visit"),
    ("staff", "/admin/returns"),
    ("staff", "/admin/ready"),
    ("owner", "/admin/ready"),
    ("nobody", MAIL_CHECK),
    ("nobody", "/return"),
    ("nobody", "/return/received"),
    ("owner", "/admin/audit"),
    ("owner", "/admin/audit?who=nobody@example.com&what=book"),
]


class Sent(NamedTuple):
    """A form to submit: its button, the expected status, and what is typed before."""

    role: str
    path: str
    button: str
    status: int
    typed: dict[str, str] = {}


# Invalid forms are shown again; some responses are pages of their own.
FORMS = [
    Sent("nobody", "/login", "E-mail me a link", 400),
    Sent("nobody", "/login", "Log in with a password", 200, {"email": "ada@example.com"}),
    Sent("nobody", LOGIN_LINK, "Log in and reserve", 400),
    Sent("nobody", f"/books/{OUT_OF_STOCK}", "Reserve", 400),
    Sent("nobody", "/return", "Continue", 400),
    Sent(
        "nobody", "/return", "Continue", 200, {"name": "Ada", "order_number": "4821-7301", "email": "ada@example.com"}
    ),
    Sent("nobody", UNSUBSCRIBE, "Turn off these e-mails", 200),
    Sent("ada", "/account/email", "Change e-mail address", 400),
    Sent("ada", "/account/password", "Save password", 400),
    Sent("ada", "/account/password", "E-mail me a link", 200),
    Sent("ada", "/account/tokens", "Create token", 400),
    Sent("ada", "/account/tokens", "Create token", 201, {"name": "till"}),
    Sent("ada", "/account/delete", "Delete my account", 400),
    Sent("guest", "/checkout", "Continue by e-mail", 400),
    Sent("ada", "/checkout", "Reserve for collection", 409, {"name": "Ada Lovelace"}),
    Sent("cleo", "/checkout", "Reserve for collection", 400),
    Sent("owner", "/admin/staff", "Add to staff", 400),
    Sent("owner", f"/admin/staff/{ADA}", "Change role", 409),
    Sent("staff", "/account/second-factor", "Turn on", 400),
    Sent("pending", "/login/code", "Log in", 400),
    Sent("dora", "/account/confirm-login", "Confirm", 400),
    Sent("dora", "/account/second-factor", "Create new recovery codes", 403),
    Sent("staff", "/admin/webhooks", "Register", 400),
    Sent("staff", "/admin/delivery", "Check", 400),
    Sent("staff", "/admin/delivery", "Check", 200, {"lines": f"{ISBN} x2\n{OTHER_ISBN}\nnonsense"}),
    Sent("staff", "/admin/imports", "Check the file", 400),
    Sent("staff", "/admin/books/new", "Save", 400),
    Sent("staff", "/admin/picks/new", "Save", 400),
    Sent("staff", "/admin/picks/1", "Put on the shelf", 400, {"book": "volume", "sentence": "Read it."}),
    Sent("staff", f"/admin/books/{RESERVED}/cover", "Upload", 400),
    Sent("staff", f"/admin/books/{RESERVED}/stock", "Save stock", 400),
]


@pytest.fixture(scope="module")
def browsers_by_role(shared_app: Flask) -> Iterator[dict[str, WebClient]]:
    """One shop for all pages, with a book in every state and a browser per role."""
    empty(shared_app)
    shop = Shop(shared_app)
    fill(shop)
    logged_in = ("ada", "ben", "cleo", "staff", "dora", "owner")
    browsers_by_role = {
        "guest": WebClient(shared_app),
        "pending": WebClient(shared_app),
        **{role: WebClient(shared_app, f"{role}@example.com") for role in logged_in},
    }
    fill_cart(browsers_by_role["guest"])
    browsers_by_role["guest"].submit("/login", email="cleo@gmial.com")
    give_phone(shop, browsers_by_role["dora"])
    browsers_by_role["pending"].log_in("dora@example.com")
    change(shop)
    yield browsers_by_role
    empty(shared_app)


@pytest.fixture(scope="module")
def module_watch(base_url: str) -> Watch:
    return Watch(base_url)


@pytest.fixture(scope="module")
def shared_window(browser: Chromium, base_url: str, module_watch: Watch) -> Iterator[Page]:
    with browser.new_context(base_url=base_url, reduced_motion="reduce") as context:
        context.set_default_timeout(TIMEOUT)
        module_watch.over(context)
        load_axe(context)
        yield context.new_page()


@pytest.fixture
def opened(
    browsers_by_role: dict[str, WebClient], shared_window: Page, base_url: str, module_watch: Watch
) -> Iterator[Callable[..., Page]]:
    """Open a page in a role; the test fails if the page had errors."""

    def opened(role: str, path: str) -> Page:
        shared_window.context.clear_cookies()
        if role != "nobody":
            carry_cookie(browsers_by_role[role], shared_window.context, base_url)
        shared_window.goto(path)
        return shared_window

    yield opened
    module_watch.assert_nothing_wrong()


def answer_of(page: Page, sent: Sent) -> Response:
    """Fill in and submit the form; the page then shows the response."""
    for name, value in sent.typed.items():
        page.locator(f"main [name={name}]").fill(value)
    with page.expect_navigation() as answer:
        page.get_by_role("main").get_by_role("button", name=sent.button).click()
    return answer.value


def assert_all_accessible(page: Page) -> None:
    assert_accessible(page)
    assert_accessible_in_other_themes(page)
    assert_fits(page)


@pytest.mark.parametrize(("role", "path"), PAGES)
def test_pages_are_accessible(opened, role, path):
    assert_all_accessible(opened(role, path))


def test_suggestions_are_accessible(opened):
    page = opened("nobody", "/books")
    page.get_by_role("combobox").press_sequentially("vol")
    page.get_by_role("option").first.wait_for()
    page.get_by_role("combobox").press("ArrowDown")
    page.get_by_role("option", selected=True).wait_for()
    assert_all_accessible(page)


def test_a_list_is_accessible_after_adding_to_the_cart_in_place(opened):
    page = opened("nobody", "/books")
    page.get_by_role("button", name="Add to cart").first.click()
    page.locator(".book-card-notice").wait_for()
    assert_all_accessible(page)


@pytest.mark.parametrize("sent", FORMS, ids=lambda sent: f"{sent.path} {sent.status}")
def test_form_responses_are_accessible(opened, sent):
    page = opened(sent.role, sent.path)
    assert answer_of(page, sent).status == sent.status
    assert_all_accessible(page)
