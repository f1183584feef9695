"""From the cart to collection: two customers for the last copy, a cart before login, and a double click."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ONE_DATABASE
from tests.browser.hands import Hands, Keyboard, Mouse, in_every_way, press_in_menu
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link

pytestmark = pytest.mark.one_postgresql_case

# Open two new windows, the second before the first has a response.
TWICE_AT_ONCE = "form => ['one', 'two'].forEach(name => { form.target = name; form.submit(); })"


@pytest.fixture
def ada(shop):
    """Ada's user id."""
    return shop.customer("ada@example.com")


@pytest.fixture
def last_copy(shop):
    """A book with one copy."""
    return shop.book("Emma", stock=1)


@in_every_way
def test_of_two_customers_for_the_last_copy_the_second_gets_it_after_a_cancellation(
    shop, window, last_copy, hands, options
):
    for email in ("ada@example.com", "ben@example.com"):
        shop.customer(email)
    shop.staff("staff@example.com")
    ada, ben = (window(f"{name}@example.com", **options) for name in ("ada", "ben"))

    for page in (ada, ben):
        add_to_cart(page, hands, last_copy)
        go_to_checkout(page, hands)
    place_the_order(ada, hands, "Ada Lovelace")
    expect(ada.get_by_role("status")).to_contain_text("Thank you.")
    see_sold_out_and_reserve(ben, hands)
    cancel(ada, hands)
    add_returned_book(ben, hands)
    go_to_checkout(ben, hands)
    place_the_order(ben, hands, "Ben Jonson")
    hand_over(window("staff@example.com", **options), hands)
    expect(reloaded(ben).get_by_role("region", name="Order status")).to_contain_text("You collected it")

    assert shop.rows("SELECT status, name FROM orders ORDER BY id") == [
        ("cancelled", "Ada Lovelace"),
        ("collected", "Ben Jonson"),
    ]
    assert shop.rows("SELECT prebooking_id FROM order_lines ORDER BY id") == [None, 1]
    assert (shop.stock(last_copy), shop.broken()) == (0, [])


def add_to_cart(page: Page, hands: Hands, book_id: int) -> None:
    page.goto(f"/books/{book_id}")
    hands.press(page.get_by_role("region", name="Availability").get_by_role("button", name="Add to cart"))
    expect(page.get_by_role("region", name="Availability")).to_contain_text("1 in your cart")


def go_to_checkout(page: Page, hands: Hands) -> None:
    hands.press(page.get_by_role("banner").get_by_role("link", name="Cart 1 copy"))
    hands.press(page.get_by_role("link", name="Check out"))
    expect(page.get_by_role("heading", name="Check out")).to_be_visible()


def place_the_order(page: Page, hands: Hands, name: str) -> None:
    hands.type(page.get_by_label("Your name"), name)
    hands.press(page.get_by_role("button", name="Reserve for collection"))


def see_sold_out_and_reserve(page: Page, hands: Hands) -> None:
    """The second customer sees what happened and what to do; what was typed is kept."""
    hands.type(page.get_by_label("Note to the shop"), "For my aunt")
    place_the_order(page, hands, "Ben Jonson")
    expect(page.get_by_role("main")).to_contain_text("Emma has just sold out.")
    expect(page.get_by_label("Note to the shop")).to_have_value("For my aunt")
    hands.press(page.get_by_role("button", name="Reserve instead Emma"))
    expect(page.get_by_role("status")).to_contain_text("Reserved.")
    expect(page.get_by_role("heading", name="Waiting")).to_be_visible()


def cancel(page: Page, hands: Hands) -> None:
    hands.press(page.get_by_role("link", name="Cancel order"))
    hands.press(page.get_by_role("button", name="Cancel order"))
    expect(page.get_by_role("status")).to_contain_text("Your order is cancelled.")


def add_returned_book(page: Page, hands: Hands) -> None:
    """Follow the badge to the reservation, and add the book to the cart from there."""
    press_in_menu(hands, page.get_by_role("navigation", name="Main").get_by_role("link", name="Books"))
    press_in_menu(hands, page.get_by_role("link", name="My reservations 1 back in stock"))
    hands.press(page.get_by_role("button", name="Add to cart Emma"))
    expect(page.get_by_role("status")).to_contain_text("Emma")


def hand_over(page: Page, hands: Hands) -> None:
    """Staff mark the order ready, then collected."""
    page.goto("/")
    hands.press(page.get_by_role("link", name="Desk"))
    press_in_menu(hands, page.get_by_role("link", name="Orders", exact=True))
    hands.press(page.get_by_role("row", name=re.compile("Ben Jonson")).get_by_role("link"))
    hands.press(page.get_by_role("button", name="Mark ready"))
    hands.press(page.get_by_role("button", name="Mark collected"))
    expect(page.get_by_role("status")).to_contain_text("is collected")


def reloaded(page: Page) -> Page:
    page.reload()
    return page


# ---------------------------------------------------------------- before login


def fill_the_cart(page: Page) -> None:
    """Add one book to the cart from the list, and two copies of another from its page."""
    page.goto("/books")
    page.get_by_role("button", name="Add to cart Emma").click()
    page.goto("/books?q=persuasion")
    page.get_by_role("main").get_by_role("link", name="Persuasion").click()
    page.get_by_label("Copies").fill("2")
    page.get_by_role("button", name="Add to cart", exact=True).click()
    expect(page.get_by_role("link", name="Cart 3 copies")).to_be_visible()


@ONE_DATABASE
@pytest.mark.prove
@pytest.mark.usefixtures("ada")
def test_a_visitors_cart_is_still_there_after_login_at_the_checkout(shop, page):
    shop.book("Emma", stock=5)
    shop.book("Persuasion", stock=5)
    fill_the_cart(page)
    page.get_by_role("link", name="Cart 3 copies").click()
    page.get_by_role("link", name="Check out").click()
    page.get_by_role("main").get_by_role("link", name="Log in").click()
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_role("button", name="Log in with a password").click()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("region", name="Your books")).to_contain_text("€19.00")
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_role("button", name="Reserve for collection").click()
    expect(page.get_by_role("table")).to_contain_text("€28.50")
    assert (shop.rows("SELECT quantity FROM order_lines ORDER BY book_id"), shop.broken()) == ([1, 2], [])


# ---------------------------------------------------------------- without an account


def check_out_by_email(page: Page, hands: Hands, book_id: int) -> None:
    """Put a book into the cart, and check out with an address."""
    add_to_cart(page, hands, book_id)
    go_to_checkout(page, hands)
    hands.type(page.get_by_label("Your e-mail address"), "ada@example.com")
    hands.type(page.get_by_label("Your name"), "Ada Lovelace")
    hands.press(page.get_by_role("button", name="Continue by e-mail"))
    expect(page.get_by_role("heading", name="Check your e-mail")).to_be_visible()


@in_every_way
def test_a_visitor_orders_with_an_address_one_e_mail_and_one_press(shop, window, mailbox, hands, options):
    book_id, page = shop.book("Emma", stock=5), window(**options)
    check_out_by_email(page, hands, book_id)
    page.goto(delivered_link(mailbox))
    hands.press(page.get_by_role("button", name="Log in and reserve for collection"))
    expect(page.get_by_role("status")).to_contain_text("Thank you. Your books are reserved for collection.")
    assert (shop.rows("SELECT name FROM orders"), shop.stock(book_id), shop.broken()) == (["Ada Lovelace"], 4, [])


@pytest.mark.prove
@in_every_way
def test_an_order_is_placed_on_a_second_device(shop, window, mailbox, hands, options):
    check_out_by_email(window(), Mouse(), shop.book("Emma", stock=5))
    device = window(**options)
    device.goto(delivered_link(mailbox))
    hands.tick(device.get_by_label("I asked for this e-mail myself"))
    hands.press(device.get_by_role("button", name="Log in and reserve for collection"))
    expect(device.get_by_role("status")).to_contain_text("Thank you. Your books are reserved for collection.")
    assert (shop.rows("SELECT name FROM orders"), shop.broken()) == (["Ada Lovelace"], [])


# ---------------------------------------------------------------- one order


@pytest.fixture
def checkout(shop, ada, window):
    """Ada's window at the checkout, with a book in her cart that has enough copies."""
    shop.fill_cart(ada, {shop.book("Emma", stock=5): 1})
    page = window("ada@example.com")
    page.goto("/checkout")
    page.get_by_label("Your name").fill("Ada Lovelace")
    return page


@pytest.mark.prove
def test_a_double_click_places_one_order(shop, checkout):
    checkout.get_by_role("button", name="Reserve for collection").dblclick()
    expect(checkout.get_by_role("heading", name=re.compile("^Order "), level=1)).to_be_visible()
    assert (shop.rows("SELECT id FROM orders"), shop.stock(1)) == ([1], 4)


@pytest.mark.prove
def test_a_form_sent_twice_at_once_places_one_order_and_both_responses_lead_to_it(shop, checkout):
    windows = checkout.context
    with windows.expect_page(lambda _page: len(windows.pages) == 3):
        checkout.locator("form.with-summary").evaluate(TWICE_AT_ONCE)
    for other in windows.pages[1:]:
        expect(other).to_have_url(re.compile("/orders/1$"))
    assert (shop.rows("SELECT id FROM orders"), shop.stock(1)) == ([1], 4)


@ONE_DATABASE
@pytest.mark.prove
def test_going_back_after_ordering_shows_where_the_order_is(shop, checkout):
    checkout.get_by_role("button", name="Reserve for collection").click()
    expect(checkout).to_have_url(re.compile("/orders/1$"))
    checkout.go_back()
    expect(checkout.get_by_role("status")).to_contain_text("Earlier orders are in My orders.")
    assert shop.rows("SELECT id FROM orders") == [1]


@ONE_DATABASE
@pytest.mark.prove
def test_enter_in_a_field_places_the_order_even_with_buttons_before_it(shop, ada, checkout):
    shop.set_stock(1, 1)
    shop.fill_cart(ada, {1: 1})
    checkout.reload()
    expect(checkout.get_by_role("button", name="Take 1 Emma")).to_be_visible()
    checkout.get_by_label("Your name").fill("Ada Lovelace")
    checkout.get_by_label("Your name").press("Enter")
    expect(checkout.get_by_role("alert")).to_contain_text("Nothing has been ordered yet")
    checkout.get_by_role("button", name="Take 1 Emma").click()
    expect(checkout.get_by_label("Your name")).to_have_value("Ada Lovelace")
    checkout.get_by_label("Your name").press("Enter")
    expect(checkout).to_have_url(re.compile("/orders/1$"))
    assert (shop.stock(1), shop.broken()) == (0, [])


# ---------------------------------------------------------------- staff


@ONE_DATABASE
@pytest.mark.prove
def test_staff_pick_what_was_ordered_and_mark_two_of_three_orders_ready_by_keyboard(shop, window):
    shop.staff("staff@example.com")
    emma, persuasion = shop.book("Emma", stock=9), shop.book("Persuasion", stock=9)
    for name, copies in (("Ada", {emma: 1}), ("Ben", {emma: 2, persuasion: 1}), ("Cid", {persuasion: 1})):
        shop.order(shop.customer(f"{name.lower()}@example.com"), copies, name=name)
    page, hands = window("staff@example.com"), Keyboard()

    page.goto("/")
    hands.press(page.get_by_role("link", name="Desk"))
    press_in_menu(hands, page.get_by_role("link", name="Orders", exact=True))
    hands.press(page.get_by_role("link", name="Print pick list"))
    expect(page.get_by_role("row", name=re.compile("Emma")).get_by_role("cell").nth(1)).to_have_text("3")
    hands.press(page.get_by_role("link", name="Orders", exact=True))
    for name in ("Ada", "Cid"):
        hands.tick(page.get_by_role("row", name=re.compile(name)).get_by_role("checkbox"))
    hands.press(page.get_by_role("button", name="Mark ready", exact=True))
    expect(page.get_by_role("status")).to_contain_text("2 orders are ready.")
    expect(page.get_by_role("row", name=re.compile("Ben"))).to_be_visible()
    assert shop.rows("SELECT status FROM orders ORDER BY id") == ["ready", "placed", "ready"]
