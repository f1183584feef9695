"""From a sold-out book to a reservation with nothing but an e-mail address, on a phone, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.hands import PHONE
from tests.support.links import delivered_link

ADA = "ada@example.com"
EXPIRE = "UPDATE login_links SET sent_at = '2026-01-01 12:00:00', created_at = '2026-01-01 12:00:00'"

pytestmark = pytest.mark.one_postgresql_case
on_a_phone = pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewport": PHONE}, id="phone"),
        pytest.param({"viewport": PHONE, "java_script_enabled": False}, id="no JavaScript", marks=pytest.mark.prove),
    ],
)


def availability(page):
    return page.get_by_role("region", name="Availability")


def start_to_reserve(page, book_id):
    """Fill in the only field on the page of a book, and press the button."""
    page.goto(f"/books/{book_id}")
    availability(page).get_by_label("Your e-mail address").fill(ADA)
    availability(page).get_by_role("button", name="Reserve").click()
    expect(page.get_by_role("heading", name="Check your e-mail")).to_be_visible()


def press_the_button(page):
    """Press the button of a link that reserves one book, and see that the book is reserved."""
    page.get_by_role("button", name="Log in and reserve").click()
    expect(availability(page)).to_contain_text("You are on the waiting list.")


def no_overflow(page):
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@on_a_phone
def test_a_newcomer_reserves_is_told_and_buys_without_ever_choosing_a_password(shop, window, mailbox, options):
    page, book_id = window(**options), shop.book("Emma")
    start_to_reserve(page, book_id)
    page.goto(delivered_link(mailbox))
    assert no_overflow(page)
    page.get_by_role("button", name="Log in and reserve").click()
    expect(page.get_by_role("status")).to_contain_text("Reserved: Emma.")
    expect(availability(page)).to_contain_text("You are on the waiting list.")
    shop.set_stock(book_id, 1)
    assert [message["Subject"] for message in mailbox.deliver()] == ["Emma is back in stock"]
    page.reload()
    availability(page).get_by_role("button", name="Add to cart").click()
    page.goto("/checkout")
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_role("button", name="Reserve for collection").last.click()
    expect(page.get_by_role("status")).to_contain_text("Your books are reserved for collection.")
    assert shop.rows("SELECT password_hash FROM users") == [None]
    assert shop.broken() == []


@pytest.mark.prove
@on_a_phone
def test_on_a_second_device_one_more_box_is_ticked_and_only_that_device_is_logged_in(shop, window, mailbox, options):
    laptop, phone, book_id = window(), window(**options), shop.book("Emma")
    start_to_reserve(laptop, book_id)
    phone.goto(delivered_link(mailbox))
    phone.get_by_role("button", name="Log in and reserve").click()
    expect(phone.get_by_role("main")).to_contain_text("Tick this box if you asked for the e-mail.")
    phone.get_by_label("I asked for this e-mail myself").check()
    press_the_button(phone)
    laptop.goto("/")
    expect(laptop.get_by_role("link", name="Log in")).to_be_visible()


@pytest.mark.prove
@on_a_phone
def test_an_expired_link_sends_a_new_one_that_does_the_same(shop, window, mailbox, options):
    page, book_id = window(**options), shop.book("Emma")
    start_to_reserve(page, book_id)
    path = delivered_link(mailbox)
    shop.execute(EXPIRE)
    shop.execute("DELETE FROM attempts")  # as if the five minutes were over too
    page.goto(path)
    page.get_by_role("button", name="Send a new link").click()
    expect(page.get_by_role("status")).to_contain_text("We've sent a new link")
    page.goto(delivered_link(mailbox))
    press_the_button(page)


@pytest.mark.prove
@on_a_phone
def test_a_link_that_a_scanner_has_opened_still_works(shop, window, mailbox, options):
    page, book_id = window(**options), shop.book("Emma")
    start_to_reserve(page, book_id)
    path = delivered_link(mailbox)
    scanner = window()
    scanner.goto(path)
    expect(scanner.get_by_role("heading", name=f"Log in as {ADA}")).to_be_visible()
    page.goto(path)
    press_the_button(page)


@pytest.mark.prove
@on_a_phone
def test_two_books_in_two_tabs_are_reserved_with_one_link(shop, window, mailbox, options):
    emma, persuasion = shop.book("Emma"), shop.book("Persuasion")
    page = window(**options)
    start_to_reserve(page, emma)
    tab = page.context.new_page()
    tab.goto(f"/books/{persuasion}")
    expect(availability(tab).get_by_label("Your e-mail address")).to_have_value(ADA)
    availability(tab).get_by_role("button", name="Reserve").click()
    expect(tab.get_by_text("Reserve Persuasion")).to_be_visible()
    tab.goto(delivered_link(mailbox))
    tab.get_by_role("button", name="Log in and reserve").click()
    expect(tab).to_have_url(re.compile("/reservations$"))
    assert [shop.statuses(book_id) for book_id in (emma, persuasion)] == [["waiting"], ["waiting"]]
