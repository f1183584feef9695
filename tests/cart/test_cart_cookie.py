"""The cart before login: in the signed cookie, and its merge at login."""

import random
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.cart.repository import CartRepository
from bookshop.catalog.models import PRICE_MAX, STOCK_MAX
from bookshop.kit.database import ID_MAX
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD, Shop
from tests.support.links import delivered_link, press
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

ADA = "ada@example.com"


@pytest.fixture
def emma(shop):
    return shop.book("Emma", stock=5)


@pytest.fixture
def ben(web_client):
    """An anonymous browser."""
    return web_client()


def add(browser: WebClient, book_id: int, **fields: Any) -> TestResponse:
    return browser.submit("/cart/items", page="/login", book_id=book_id, **fields)


def stored_cart(browser: WebClient) -> Any:
    """Return the cart in the cookie."""
    with browser.client.session_transaction() as cookie:
        return cookie.get("cart")


def store_cart(browser: WebClient, cart: Any) -> None:
    """Store a value as the cart in the cookie, signed as the shop signs it."""
    with browser.client.session_transaction() as cookie:
        cookie["cart"] = cart


def in_cart(shop: Shop) -> dict[int, int]:
    return dict(shop.rows("SELECT book_id, quantity FROM cart_items ORDER BY book_id"))


def test_a_visitor_fills_a_cart_from_the_list_and_sees_it(shop, ben, emma):
    added = ben.submit("/cart/items", page="/books", book_id=emma, next="/books")
    assert (added.status_code, added.location) == (303, "/books")
    words = text_of(ben.get("/books"))
    assert ("Emma is in your cart. View cart" in words, "Cart 1 copy" in words) == (True, True)
    assert "Emma Jane Austen · €9.50" in text_of(ben.get("/cart"))
    assert "1 in your cart" in text_of(ben.get(f"/books/{emma}"))
    assert in_cart(shop) == {}


def test_a_visitor_changes_and_removes_lines(ben, emma):
    add(ben, emma)
    add(ben, emma)
    ben.submit(f"/cart/items/{emma}", page="/cart", quantity=4)
    assert [line[:2] for line in stored_cart(ben)] == [[emma, 4]]
    ben.submit(f"/cart/items/{emma}", page="/cart", quantity=0)
    assert (stored_cart(ben), "Your cart is empty." in text_of(ben.get("/cart"))) == (None, True)


def test_staff_have_the_same_limits_as_customers(shop, ben, emma):
    for number in range(20):
        add(ben, shop.book(f"Book {number}", stock=1))
    add(ben, emma)
    assert "A cart can hold at most 20 different books." in text_of(ben.get("/books"))
    ben.submit("/cart/items/2", page="/cart", quantity=11)
    assert "A cart can hold at most 10 copies of a book." in text_of(ben.get("/cart"))
    assert (len(stored_cart(ben)), stored_cart(ben)[0][:2]) == (20, [2, 1])


def test_changes_are_shown_to_a_visitor_too(shop, ben, emma):
    add(ben, emma, quantity=3)
    shop.set_stock(emma, 1)
    assert "Only 1 left ; you have 3 in your cart. Take 1 of Emma" in text_of(ben.get("/cart"))
    ben.submit(f"/cart/items/{emma}/take-left", page="/cart")
    assert [line[:2] for line in stored_cart(ben)] == [[emma, 1]]
    shop.set_stock(emma, 0)
    assert "Sold out." in text_of(ben.get("/cart"))
    assert f'href="/books/{emma}/emma#availability">Reserve instead' in ben.get("/cart").text
    ben.submit(f"/cart/items/{emma}/take-left", page="/cart")
    assert stored_cart(ben) is None


def test_a_visitor_checks_out_without_logging_in(ben, emma):
    add(ben, emma)
    assert 'href="/checkout">Check out' in ben.get("/cart").text
    assert "Emma" in text_of(ben.get("/checkout"))


def test_a_visitor_can_log_in_at_the_checkout(shop, ben, emma):
    shop.customer(ADA)
    add(ben, emma)
    assert 'href="/login?next=/checkout">Log in</a>' in ben.get("/checkout").text
    assert ben.submit("/login?next=/checkout", email=ADA, password=PASSWORD, next="/checkout").location == "/checkout"
    assert in_cart(shop) == {emma: 1}


@pytest.mark.parametrize("path", ["/cart/items/1", "/cart/items/1/remove", "/cart/items/1/take-left"])
def test_removing_a_book_outside_the_cart_is_no_error(ben, emma, path):
    assert (ben.submit(path, page="/login", quantity=2).location, stored_cart(ben)) == ("/cart", None)


# ---------------------------------------------------------------- login


def test_at_login_the_visitors_cart_is_merged(shop, ben, emma):
    sanditon = shop.book("Sanditon", stock=1)
    shop.fill_cart(shop.customer(ADA), {emma: 1, sanditon: 1})
    add(ben, emma, quantity=3)
    ben.log_in(ADA)
    assert (in_cart(shop), stored_cart(ben)) == ({emma: 3, sanditon: 1}, None)


def test_a_failed_login_loses_nothing(shop, ben, emma):
    shop.customer(ADA)
    add(ben, emma, quantity=2)
    assert ben.log_in(ADA, "wrong").status_code == 400
    assert (in_cart(shop), [line[:2] for line in stored_cart(ben)]) == ({}, [[emma, 2]])
    ben.log_in(ADA)
    assert in_cart(shop) == {emma: 2}


def test_a_login_that_fails_at_the_cart_loses_nothing_and_logs_nobody_in(shop, ben, emma, monkeypatch):
    shop.customer(ADA)
    add(ben, emma, quantity=2)

    def fail(self, user_id, entry):
        put(self, user_id, entry)
        raise RuntimeError("the power went out")

    put = CartRepository.put
    with monkeypatch.context() as patch:
        patch.setattr(CartRepository, "put", fail)
        answer = ben.log_in(ADA)
    assert answer.status_code == 500
    assert (shop.rows("SELECT id FROM login_sessions"), in_cart(shop)) == ([], {})
    assert ([line[:2] for line in stored_cart(ben)], ben.get("/account").status_code) == ([[emma, 2]], 303)
    ben.log_in(ADA)
    assert in_cart(shop) == {emma: 2}


def test_a_double_clicked_login_does_not_double_the_cart(shop, app, ben, emma):
    shop.customer(ADA)
    add(ben, emma, quantity=2)
    again = WebClient(app)
    again.client.set_cookie("bookshop", ben.client.get_cookie("bookshop").value)
    token = ben.csrf_token()
    for browser in (ben, again):
        assert browser.post("/login", email=ADA, password=PASSWORD, csrf_token=token).status_code == 303
    assert in_cart(shop) == {emma: 2}


def test_a_new_account_takes_over_the_visitors_cart(shop, ben, emma, mailbox):
    add(ben, emma, quantity=2)
    ben.submit("/login", email=ADA, link="yes")
    press(ben, delivered_link(mailbox))
    assert (in_cart(shop), shop.broken()) == ({emma: 2}, [])


def test_after_logging_out_the_cart_stays_with_the_account(shop, ben, emma):
    shop.customer(ADA)
    add(ben, emma)
    ben.log_in(ADA)
    ben.submit("/logout", page="/")
    assert "Your cart is empty." in text_of(ben.get("/cart"))
    assert in_cart(shop) == {emma: 1}


def test_lines_that_do_not_fit_are_reported(app, database_url, shop):
    small = Shop(create_app(settings_for(database_url, cart_lines=1, cart_copies=3)))
    books = [small.book(title, stock=9) for title in ("Emma", "Sanditon")]
    small.fill_cart(small.customer(ADA), {books[0]: 1})
    browser = WebClient(small.app)
    store_cart(browser, [[books[1], 9, 950, "EUR", 9], [books[0], 9, 950, "EUR", 9]])
    browser.log_in(ADA)
    assert "Your cart is full, so we could not add Sanditon." in text_of(browser.get("/"))
    assert in_cart(small) == {books[0]: 3}


def test_staff_are_told_that_they_have_no_cart(shop, ben, emma):
    shop.staff("staff@example.com")
    add(ben, emma)
    ben.log_in("staff@example.com")
    assert "Staff accounts have no cart, so the books you had added were not kept." in text_of(ben.get("/"))
    assert in_cart(shop) == {}


def test_another_customer_on_the_same_device_finds_an_empty_cart(shop, ben, emma):
    for email in (ADA, "cleo@example.com"):
        shop.customer(email)
    add(ben, emma)
    ben.log_in(ADA)
    ben.submit("/logout", page="/")
    ben.log_in("cleo@example.com")
    assert "Your cart is empty." in text_of(ben.get("/cart"))


# ---------------------------------------------------------------- cookie


GOOD: list[Any] = [1, 1, 950, "EUR", 5]
NO_CARTS: list[Any] = [None, 1, "x", {}, {"1": 1}, [1], [[]], ["EUR"], [[1, 1]], [None], [GOOD[:4]], [[*GOOD, 1]]]
ODD_PARTS: list[list[Any]] = [
    [0, -1, ID_MAX + 1, 2**63, 10**400, "1", 1.0, True, None, []],
    [0, -1, 2**63, "1", 1.5, True],
    [-1, PRICE_MAX + 1, 2**63, "950", None],
    ["", "eur", "EURO", "E\x00R", "<b>", "EUR\n", None, 1, []],
    [-1, STOCK_MAX + 1, 2**63, None],
]
ODD_LINES = [[[*GOOD[:at], odd, *GOOD[at + 1 :]]] for at, parts in enumerate(ODD_PARTS) for odd in parts]


@pytest.mark.parametrize("cart", [*NO_CARTS, *ODD_LINES], ids=lambda cart: repr(cart)[:40])
def test_an_invalid_cart_cookie_is_ignored(shop, ben, emma, cart):
    shop.customer(ADA)
    store_cart(ben, cart)
    assert "Your cart is empty." in text_of(ben.get("/cart"))
    assert "in your cart" not in text_of(ben.get(f"/books/{emma}"))
    assert ben.log_in(ADA).status_code == 303
    assert in_cart(shop) == {}


def test_valid_entries_beside_invalid_ones_are_kept_without_duplicates(ben, emma):
    store_cart(ben, [["x"], GOOD, None, [1, 2, *GOOD[2:]], [999, *GOOD[1:]]])
    assert "Copies of Emma" in text_of(ben.get("/cart"))
    add(ben, emma)
    assert stored_cart(ben) == [[emma, 3, 950, "EUR", 5], [999, 1, 950, "EUR", 5]]


@pytest.mark.parametrize("path", ["/cart/items/999", "/cart/items/999/take-left", "/cart/items/999/remove"])
def test_removing_an_unknown_book_is_no_error(shop, ben, path):
    store_cart(ben, [[999, *GOOD[1:]]])
    assert ben.submit(path, page="/login", quantity=1).location == "/cart"
    assert "Your cart is empty." in text_of(ben.get("/cart"))


def test_a_tampered_cookie_is_not_logged_in(ben, emma):
    add(ben, emma)
    value = ben.client.get_cookie("bookshop").value
    ben.client.set_cookie("bookshop", ("A" if value[0] != "A" else "B") + value[1:])
    assert "Your cart is empty." in text_of(ben.get("/cart"))


def test_the_largest_cart_fits_easily_into_a_cookie(ben, emma):
    add(ben, emma)
    chance = random.Random(1)
    bounds = (10**9, 1000, PRICE_MAX, STOCK_MAX)
    numbers = [[chance.randrange(1, bound) for bound in bounds] for _line in range(50)]
    store_cart(ben, [[*line[:3], "EUR", line[3]] for line in numbers])
    assert len(ben.client.get_cookie("bookshop").value) < 2500


def test_only_pages_with_buttons_for_visitors_set_a_cookie(shop, web_client):
    emma, sanditon = shop.book("Emma"), shop.book("Sanditon", stock=1)
    shop.withdraw(sanditon)
    paths = ["/", "/books", f"/books/{sanditon}/sanditon", "/cart"]
    assert [path for path in paths if "Set-Cookie" in web_client().get(path).headers] == []
    shop.book("Persuasion", stock=1)
    paths = ["/", "/books", f"/books/{emma}/emma"]
    assert [path for path in paths if "Set-Cookie" in web_client().get(path).headers] == paths


def test_the_cart_survives_closing_the_browser(ben, emma):
    add(ben, emma)
    assert ben.client.get_cookie("bookshop").expires is not None


def test_a_page_older_than_the_cookie_returns_to_itself(ben, emma):
    refused = ben.post("/cart/items", book_id=emma, csrf_token="old", next="/books?q=emma")
    assert (refused.status_code, refused.location, stored_cart(ben)) == (303, "/books?q=emma", None)
    assert ben.post("/cart/items", book_id=emma, next="//evil.example").location == "/"


def test_viewing_pages_does_not_change_a_cart(ben, emma):
    add(ben, emma)
    before = stored_cart(ben)
    for path in ("/cart", "/", "/books", f"/books/{emma}", f"/cart/items/{emma}", f"/cart/items/{emma}/remove"):
        ben.get(path)
    assert stored_cart(ben) == before
