"""The cart's pages for customers: adding from lists and book pages, changing, and messages."""

import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bookshop.web import services
from tests.support.clients import WebClient, text_of
from tests.support.factories import Shop

pytestmark = pytest.mark.one_postgresql_case

NEXT_ATTACKS = [
    "https://evil.example",
    "//evil.example",
    "/\t/evil.example",
    "/\\evil",
    "javascript:alert(1)",
    "/nothing",
]


@pytest.fixture
def ada(shop, web_client):
    """Ada's browser; `ada.id` is her user id."""
    user_id = shop.customer("ada@example.com")
    browser = web_client("ada@example.com")
    browser.id = user_id
    return browser


def add(browser: WebClient, book_id: Any, **fields: Any) -> TestResponse:
    return browser.submit("/cart/items", page="/account", book_id=book_id, **fields)


def words_of(browser: WebClient, path: str = "/cart") -> str:
    """Return the text of a page, following a permanent redirect."""
    return text_of(browser.get(path))


def in_cart(shop: Shop) -> dict[int, int]:
    return dict(shop.rows("SELECT book_id, quantity FROM cart_items ORDER BY book_id"))


# ---------------------------------------------------------------- adding


def test_a_book_in_stock_is_added_from_its_page_without_leaving_it(shop, ada):
    emma = shop.book("Emma", stock=3)
    page = ada.get(f"/books/{emma}").text
    assert re.search(r'name="quantity" value="1" inputmode="numeric"', page)
    [next_page] = re.findall(r'name="next" value="([^"]+)"', page)
    added = ada.submit("/cart/items", page=f"/books/{emma}", book_id=emma, quantity=2, next=next_page)
    assert (added.status_code, added.location) == (303, f"/books/{emma}/emma#availability")
    assert "2 copies of Emma are in your cart. View cart" in words_of(ada, f"/books/{emma}")
    assert "2 in your cart" in words_of(ada, f"/books/{emma}")


def test_a_list_has_one_form_and_a_button_for_each_book_in_stock(shop, ada):
    emma = shop.book("Emma", stock=3)
    shop.book("Sanditon")
    page = ada.get("/books?q=e&sort=price")
    assert page.text.count('action="/cart/items"') == page.text.count("Add to cart") == 1
    assert f'form="to-cart" name="book_id" value="{emma}"' in page.text
    assert 'name="next" value="/books?q=e&amp;sort=price#book"' in page.text
    assert "Add to cart Emma" in text_of(page)


@pytest.mark.parametrize("path", ["/", "/books?in_stock=true&page=1"])
def test_adding_from_a_list_returns_to_that_list(shop, ada, path):
    emma = shop.book("Emma", stock=3)
    added = ada.submit("/cart/items", page=path, book_id=emma, next=f"{path}#book")
    assert (added.status_code, added.location, in_cart(shop)) == (303, f"{path}#book-{emma}", {emma: 1})
    assert "Emma is in your cart. View cart" in words_of(ada, path)


def test_the_page_header_counts_the_copies_in_the_cart(shop, ada):
    emma = shop.book("Emma", stock=3)
    assert re.search(r"Cart\s+Menu", words_of(ada, "/account"))
    add(ada, emma)
    add(ada, emma)
    assert "Cart 2 copies" in words_of(ada, "/account")


@pytest.mark.parametrize("away", NEXT_ATTACKS)
def test_adding_never_redirects_to_another_site(shop, ada, away):
    assert add(ada, shop.book("Emma", stock=1), next=away).location == "/"


def test_a_book_sold_out_meanwhile_redirects_to_its_page_to_reserve(shop, ada):
    emma = shop.book("Emma")
    refused = add(ada, emma, next="/books")
    assert (refused.status_code, refused.location) == (303, f"/books/{emma}#availability")
    words = words_of(ada, f"/books/{emma}")
    assert "This book is out of stock — reserve it instead." in words
    assert "Reserve it, and we'll let you know" in words


def test_a_refused_reservation_of_a_book_in_stock_redirects_to_its_cart_button(shop, ada):
    emma = shop.book("Emma", stock=1)
    refused = ada.submit(f"/books/{emma}/reserve", page="/account")
    words = words_of(ada, refused.location)
    assert "Book is in stock — add to cart instead" in words
    assert "Add to cart" in words


def test_a_full_line_or_cart_is_reported_on_the_same_page(shop, ada):
    emma = shop.book("Emma", stock=30)
    add(ada, emma, quantity=10)
    assert add(ada, emma, next="/books").location == "/books"
    assert (
        "A cart can hold at most 10 copies of a book. If you need more, tell us in the note to your order. View cart"
        in words_of(ada, "/books")
    )
    assert in_cart(shop) == {emma: 10}


def test_more_copies_than_in_stock_can_be_added_with_a_warning(shop, ada):
    emma = shop.book("Emma", stock=1)
    add(ada, emma, quantity=3)
    assert "3 copies of Emma are in your cart, but only 1 is left." in words_of(ada)


ODD = ["", "x", "-1", "1e3", "1.5", "0x1", "1\x00", "9" * 5000, "٣x", " "]


@pytest.mark.parametrize("quantity", [*ODD, "0"])
def test_an_invalid_number_to_add_is_reported_and_changes_nothing(shop, ada, quantity):
    emma = shop.book("Emma", stock=1)
    answer = add(ada, emma, quantity=quantity, next=f"/books/{emma}/emma")
    assert (answer.status_code, answer.location, in_cart(shop)) == (303, f"/books/{emma}/emma", {})
    assert "is not a number of copies. Enter a whole number from 1 to 10." in words_of(ada, answer.location)


@pytest.mark.parametrize("quantity", ODD)
def test_an_invalid_new_quantity_is_reported_and_changes_nothing(shop, ada, quantity):
    emma = shop.book("Emma", stock=1)
    add(ada, emma)
    answer = ada.submit(f"/cart/items/{emma}", page="/cart", quantity=quantity)
    assert (answer.status_code, answer.location, in_cart(shop)) == (303, "/cart", {emma: 1})
    assert "is not a number of copies. Enter a whole number from 0 to 10." in words_of(ada)


@pytest.mark.parametrize("quantity", ["11", "9223372036854775808"])
def test_too_many_copies_are_refused(shop, ada, quantity):
    emma = shop.book("Emma", stock=1)
    add(ada, emma)
    ada.submit(f"/cart/items/{emma}", page="/cart", quantity=quantity)
    assert "A cart can hold at most 10 copies of a book." in words_of(ada)
    assert in_cart(shop) == {emma: 1}


@pytest.mark.parametrize("book_id", ["", "x", "0", "-1", "999", "2147483648", "9223372036854775808", "1\x00"])
def test_an_unknown_book_is_a_404_page(shop, ada, book_id):
    shop.book("Emma", stock=1)
    assert (add(ada, book_id).status_code, in_cart(shop)) == (404, {})


@pytest.mark.parametrize("path", ["/cart/items", "/cart/items/1", "/cart/items/1/remove", "/cart/items/1/reserve"])
def test_without_the_csrf_token_nothing_happens(shop, ada, path):
    add(ada, shop.book("Emma", stock=1))
    answer = ada.post(path, book_id=1, quantity=2)
    assert (answer.status_code, answer.location, in_cart(shop)) == (303, "/cart", {1: 1})


def test_a_book_back_in_stock_is_added_from_my_reservations(shop, ada):
    emma = shop.book("Emma")
    shop.reserve(ada.id, emma)
    shop.set_stock(emma, 1)
    page = ada.get("/reservations").text
    assert f'form="to-cart" name="book_id" value="{emma}"' in page
    assert 'name="next" value="/reservations#book"' in page


# ---------------------------------------------------------------- the cart


def test_the_cart_shows_its_lines_and_their_total(shop, ada):
    shop.fill_cart(ada.id, {shop.book("Emma", stock=5): 2, shop.book("Sanditon", stock=1, price_cents=1200): 1})
    words = words_of(ada)
    assert "Emma Jane Austen · €9.50" in words
    assert words.index("€19.00") < words.index("Sanditon") < words.index("3 copies: €31.00")
    assert "Books in your cart are not set aside for you until you order." in words
    assert 'class="btn btn-primary" href="/checkout"' in ada.get("/cart").text


def test_books_without_prices_or_in_two_currencies_are_totalled_correctly(shop, ada):
    prices: list[dict[str, Any]] = [{"price_cents": 0}, {"price_cents": 500, "currency": "USD"}, {"price_cents": 950}]
    shop.fill_cart(ada.id, {shop.book(f"Book {number}", stock=1, **price): 1 for number, price in enumerate(prices)})
    assert "3 copies: €9.50 + $5.00 and a price on request" in words_of(ada)


def test_the_quantity_is_changed_and_0_removes_the_book(shop, ada):
    emma = shop.book("Emma", stock=5)
    add(ada, emma)
    assert ada.submit(f"/cart/items/{emma}", page="/cart", quantity=4).location == "/cart"
    assert "4 copies of Emma are in your cart." in words_of(ada)
    ada.submit(f"/cart/items/{emma}", page="/cart", quantity=0)
    assert "Removed from your cart." in words_of(ada)
    assert in_cart(shop) == {}


def test_removing_twice_is_no_error(shop, ada):
    emma = shop.book("Emma", stock=5)
    add(ada, emma)
    token = ada.csrf_token("/cart")
    answers = [ada.post(f"/cart/items/{emma}/remove", csrf_token=token) for _click in range(2)]
    assert [(answer.status_code, answer.location) for answer in answers] == [(303, "/cart")] * 2
    assert "Your cart is empty." in words_of(ada)


def test_every_field_and_button_names_its_book(shop, ada):
    emma = shop.book("Emma", stock=5)
    add(ada, emma)
    page = ada.get("/cart")
    assert f'<label class="visually-hidden" for="copies-{emma}">Copies of Emma</label>' in page.text
    assert "Update the copies of Emma Remove Emma" in text_of(page)


def test_changed_prices_and_stocks_are_shown_with_the_previous_ones(shop, ada):
    emma = shop.book("Emma", stock=5)
    add(ada, emma)
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    shop.set_stock(emma, 3)
    words = words_of(ada)
    assert "€9.50 when you added it, €10.50 now ." in words
    assert "In stock: 5 copies when you added it, 3 now." in words
    assert 'class="btn btn-primary" href="/checkout"' in ada.get("/cart").text


def test_short_stock_is_shown_and_one_click_takes_what_is_left(shop, ada):
    emma = shop.book("Emma", stock=5)
    add(ada, emma, quantity=3)
    shop.set_stock(emma, 1)
    words = words_of(ada)
    assert "Only 1 left ; you have 3 in your cart." in words
    assert "Take 1 of Emma" in words
    assert "Change, reserve or remove them before you check out." in words
    assert 'class="btn btn-primary" href="/checkout"' not in ada.get("/cart").text
    ada.submit(f"/cart/items/{emma}/take-left", page="/cart")
    assert in_cart(shop) == {emma: 1}


def test_a_book_sold_out_since_is_reserved_with_one_click(shop, ada):
    emma = shop.book("Emma", stock=1)
    add(ada, emma)
    shop.set_stock(emma, 0)
    words = words_of(ada)
    assert "Sold out." in words
    assert "Reserve instead Emma Remove Emma" in words
    assert ada.submit(f"/cart/items/{emma}/reserve", page="/cart").location == "/cart"
    assert "You have reserved Emma. It is no longer in your cart. My reservations" in words_of(ada)
    assert (in_cart(shop), shop.statuses(emma)) == ({}, ["waiting"])


def test_a_book_restocked_before_the_click_stays_in_the_cart(shop, ada):
    emma = shop.book("Emma", stock=1)
    add(ada, emma)
    ada.submit(f"/cart/items/{emma}/reserve", page="/cart")
    assert "This book is back in stock, so you can order it now." in words_of(ada)
    assert (in_cart(shop), shop.statuses(emma)) == ({emma: 1}, [])


def test_a_withdrawn_book_can_only_be_removed(shop, ada):
    emma = shop.book("Emma", stock=1)
    add(ada, emma)
    shop.withdraw(emma)
    words = words_of(ada)
    assert "No longer sold." in words
    assert ("Remove Emma" in words, "Update" in words, "Reserve instead" in words) == (True, False, False)
    ada.submit(f"/cart/items/{emma}", page="/cart", quantity=2)
    ada.submit(f"/cart/items/{emma}/reserve", page="/cart")
    ada.submit(f"/cart/items/{emma}/remove", page="/cart")
    assert (in_cart(shop), shop.statuses(emma)) == ({}, [])


def test_a_title_with_markup_or_without_spaces_is_shown_as_it_is(shop, ada):
    hostile = "<b>&\"' {{ 7*7 }}" + "x" * 400
    add(ada, shop.book(hostile, stock=1))
    page = ada.get("/cart")
    assert ("<b>&" in page.text, hostile in text_of(page)) == (False, True)
    assert f"{hostile[:59]}… is in your cart." in text_of(page)


def test_an_empty_cart_suggests_what_to_do(ada):
    words = words_of(ada)
    assert "Your cart is empty." in words
    assert "Books in stock" in words


# ---------------------------------------------------------------- staff


@pytest.mark.parametrize("path", ["/cart/items", "/cart/items/1", "/cart/items/1/remove", "/cart/items/1/take-left"])
def test_staff_have_no_cart(shop, web_client, path):
    shop.staff("staff@example.com")
    shop.book("Emma", stock=1)
    staff = web_client("staff@example.com")
    answers = [staff.get("/cart"), staff.submit(path, page="/account", book_id=1, quantity=1)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert all("Staff accounts have no cart." in text_of(answer) for answer in answers)


def test_staff_see_no_cart_button(shop, web_client):
    shop.staff("staff@example.com")
    shop.book("Emma", stock=1)
    staff = web_client("staff@example.com")
    assert not any("Add to cart" in words_of(staff, path) for path in ("/", "/books", "/books/1"))
    assert "/cart" not in staff.get("/books/1").text
