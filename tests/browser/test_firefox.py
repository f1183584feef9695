"""Customers' journeys in Firefox, where controls are found by the role and the name that a screen reader announces."""

import os

import pytest

from tests.browser.conftest import ONE_DATABASE
from tests.browser.firefox import NoFirefox, Window, executable, running
from tests.support.clients import WebClient
from tests.support.links import delivered_link
from tests.support.routes import COOKIE

pytestmark = [ONE_DATABASE, pytest.mark.prove]

TAB, ENTER = "\ue004", "\ue007"
MOST_TABS = 60  # more than the stops before any control that these journeys use


@pytest.fixture(scope="session")
def _firefox():
    try:
        executable()
    except NoFirefox as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs Firefox: {error}")
        pytest.skip(f"NOT TESTED IN FIREFOX: {error}")


@pytest.fixture
def window(_firefox, request, tmp_path, server_address):
    """A visitor's window; the test fails if a page logged an error or asked for what is not there or not ours."""
    with running(tmp_path, server_address, scripts=getattr(request, "param", True)) as firefox:
        yield Window(firefox)
        assert firefox.faults == []


@pytest.mark.parametrize("window", [False], ids=["no scripts"], indirect=True)
def test_a_visitor_corrects_a_refused_checkout_and_orders(shop, window, mailbox):
    book_id = shop.book("Emma", stock=5)
    window.open("/")
    fill(window, "searchbox", "Title, author or ISBN", "emma")
    click(window, "button", "Search", "emma")
    click(window, "link", "Emma", "Emma")
    window.click("button", "Add to cart")
    window.shows("1 in your cart")
    assert "1 in your cart" in window.text("region", "Availability")
    click(window, "link", "Cart 1 copy", "Cart")
    click(window, "link", "Check out", "Check out")

    fill(window, "textbox", "Your e-mail address", "ada@example.com")
    click(window, "button", "Continue by e-mail", "Error: Check out")
    assert window.has_focus(window.find("alert")), "the summary of the errors has the focus"
    assert window.value("textbox", "Your e-mail address") == "ada@example.com"
    window.click("link", "Your name")
    window.keys("Ada Lovelace")
    assert window.value("textbox", "Your name") == "Ada Lovelace", "the summary leads to the field"
    click(window, "button", "Continue by e-mail", "Check your e-mail")

    window.open(delivered_link(mailbox))
    click(window, "button", "Log in and reserve for collection", "Order")
    assert "Thank you. Your books are reserved for collection." in window.text("status")
    assert (shop.rows("SELECT name FROM orders"), shop.stock(book_id), shop.broken()) == (["Ada Lovelace"], 4, [])


def click(window: Window, role: str, name: str, title: str) -> None:
    """Click on what leads to the page with this title."""
    window.click(role, name)
    window.arrives(title)


def fill(window: Window, role: str, name: str, text: str) -> None:
    window.click(role, name)
    window.keys(text)


def test_a_customer_reserves_and_cancels_by_keyboard(shop, shared_app, window):
    shop.customer("ada@example.com")
    book_id = shop.book("Emma")
    cookie = WebClient(shared_app, "ada@example.com").client.get_cookie(COOKIE)
    assert cookie is not None
    window.set_cookie(COOKIE, cookie.value)
    window.open("/")
    go_to(window, "combobox", "Title, author or ISBN")
    window.keys(f"emma{ENTER}")
    window.arrives("emma")
    press(window, "link", "Emma")
    window.arrives("Emma")
    press(window, "button", "Reserve")
    window.shows("You are on the waiting list.")
    assert "You are on the waiting list." in window.text("region", "Availability")
    press(window, "button", "Cancel reservation")
    window.shows("is cancelled.")
    assert "Your reservation of Emma is cancelled." in window.text("status")
    assert (shop.statuses(book_id), shop.broken()) == (["cancelled"], [])


def press(window: Window, role: str, name: str) -> None:
    """Press Enter on an element, without a mouse."""
    go_to(window, role, name)
    window.keys(ENTER)


def go_to(window: Window, role: str, name: str) -> None:
    """Press Tab until the element has the focus."""
    element = window.find(role, name)
    for _pressed in range(MOST_TABS):
        if window.has_focus(element):
            return
        window.keys(TAB)
    raise AssertionError(f"{role} “{name}” cannot be reached with the keyboard")
