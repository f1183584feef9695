"""The shop's main journey: by mouse, by keyboard alone, and with JavaScript disabled."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.hands import Hands, in_every_way, press_in_menu
from tests.support.links import delivered_link
from tests.support.mailbox import Mailbox

pytestmark = pytest.mark.one_postgresql_case


@in_every_way
def test_a_customer_is_notified_reserves_again_cancels_and_undoes_it(shop, window, mailbox, hands, options):
    shop.staff("staff@example.com")
    shop.book("Emma", isbn="9780141439587")
    shop.book("Persuasion")
    ada, staff = window(**options), window("staff@example.com", **options)

    sign_up(ada, hands, mailbox)
    find(ada, hands, "emma")
    reserve(ada, hands)
    restock(staff, hands, "Emma", copies=5)
    see_the_badge(ada, hands)
    find(ada, hands, "persuasion")
    reserve(ada, hands)
    cancel_and_undo(ada, hands)
    assert (shop.statuses(1), shop.statuses(2)) == (["notified"], ["cancelled", "waiting"])
    assert shop.broken() == []


def sign_up(page: Page, hands: Hands, mailbox: Mailbox) -> None:
    page.goto("/")
    hands.press(page.get_by_role("link", name="Log in"))
    hands.type(page.get_by_label("E-mail address"), "ada@example.com")
    hands.press(page.get_by_role("button", name="E-mail me a link"))
    expect(page.get_by_text("We've sent a link to ada@example.com")).to_be_visible()
    page.goto(delivered_link(mailbox))
    hands.press(page.get_by_role("main").get_by_role("button", name="Log in"))
    expect(page.get_by_role("banner").get_by_role("link", name="Account")).to_be_visible()


def find(page: Page, hands: Hands, words: str) -> None:
    """Search in the page header and open the first book found."""
    hands.type(page.get_by_label("Title, author or ISBN"), words)
    hands.press(page.get_by_role("button", name="Search"))
    expect(page.get_by_label("Title, author or ISBN")).to_have_value(words)
    hands.press(page.get_by_role("main").get_by_role("listitem").filter(has=page.locator("h2")).get_by_role("link"))


def reserve(page: Page, hands: Hands) -> None:
    state = page.get_by_role("region", name="Availability")
    expect(state).to_contain_text("Out of stock.")
    hands.press(state.get_by_role("button", name="Reserve"))
    expect(state).to_contain_text("You are on the waiting list.")
    expect(state).to_contain_text("What happens next")
    expect(state).to_be_in_viewport()


def restock(page: Page, hands: Hands, title: str, copies: int) -> None:
    page.goto("/admin")
    hands.press(page.get_by_role("link", name=f"Restock {title}"))
    hands.type(page.get_by_label("Copies", exact=True), str(copies))
    hands.press(page.get_by_role("button", name="Save stock"))
    expect(page.get_by_text("1 waiting customer was notified.")).to_be_visible()


def see_the_badge(page: Page, hands: Hands) -> None:
    """The badge appears on the next page and disappears once the reservations were viewed."""
    press_in_menu(hands, page.get_by_role("navigation", name="Main").get_by_role("link", name="Books"))
    press_in_menu(hands, page.get_by_role("link", name="My reservations 1 back in stock"))
    expect(page.get_by_role("heading", name="Back in stock")).to_be_visible()
    page.reload()
    expect(page.get_by_role("banner")).not_to_contain_text("back in stock")


def cancel_and_undo(page: Page, hands: Hands) -> None:
    press_in_menu(hands, page.get_by_role("banner").get_by_role("link", name="My reservations"))
    hands.press(page.get_by_role("button", name="Cancel reservation of Persuasion"))
    expect(page.get_by_role("status")).to_contain_text("Your reservation of Persuasion is cancelled.")
    hands.press(page.get_by_role("button", name="Undo"))
    expect(page.get_by_role("status")).to_contain_text("Reserved.")
    expect(page.get_by_role("button", name="Cancel reservation of Persuasion")).to_be_visible()
