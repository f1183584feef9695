"""Reserving by button, and the list of reservations."""

import re

import pytest

from bookshop.web import services
from tests.support.clients import text_of
from tests.support.factories import Shop
from tests.support.links import delivered_link, press

pytestmark = pytest.mark.one_postgresql_case


@pytest.fixture
def ada(shop, web_client):
    """Ada's browser; `ada.id` is her user id."""
    user_id = shop.customer("ada@example.com")
    browser = web_client("ada@example.com")
    browser.id = user_id
    return browser


def insert_reservations_of_new_books(shop: Shop, user_id: int, number: int) -> None:
    """Insert this many reservations of new books for the customer."""
    row = {"authors": "Nobody", "price_cents": 950, "currency": "EUR"}
    rows = [{**row, "title": f"Book {index:02}"} for index in range(1, number + 1)]
    shop.commit(lambda: services.catalog().create_all(rows))
    shop.execute(
        "INSERT INTO prebookings (user_id, book_id, status, created_at) "
        "SELECT :user_id, id, 'waiting', created_at FROM books ORDER BY id",
        user_id=user_id,
    )


@pytest.mark.parametrize("email", ["ada@example.com", "new@example.com"])
def test_a_visitor_reserves_with_one_field_one_e_mail_and_two_clicks(shop, web_client, mailbox, email):
    shop.customer("ada@example.com")
    book_id, browser = shop.book(), web_client()
    sent = browser.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}", email=email)
    assert (sent.status_code, sent.location, shop.statuses(book_id)) == (303, "/login/sent", [])
    assert f"We've sent a link to {email} ." in text_of(browser.get("/login/sent"))
    done = press(browser, delivered_link(mailbox))
    assert (done.location, shop.statuses(book_id)) == (f"/books/{book_id}/emma#availability", ["waiting"])
    assert "You are on the waiting list." in text_of(browser.get(done.location))


@pytest.mark.parametrize("typed", ["", "ada@localhost", "a b@example.com"])
def test_a_visitors_address_that_is_not_valid_is_shown_again_and_sends_nothing(shop, web_client, typed):
    book_id = shop.book()
    shown = web_client().submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}", email=typed)
    assert (shown.status_code, f'value="{typed}"' in shown.text) == (400, True)
    assert "e-mail address" in text_of(shown)
    assert shop.rows("SELECT count(*) FROM messages") == [0]


def test_a_visitor_cannot_reserve_what_has_come_back_meanwhile(shop, web_client):
    book_id, browser = shop.book(), web_client()
    token = browser.csrf_token(f"/books/{book_id}")
    shop.set_stock(book_id, 1)
    refused = browser.post(f"/books/{book_id}/reserve", csrf_token=token, email="ada@example.com")
    assert "Book is in stock — add to cart instead" in text_of(browser.follow(refused.location))
    assert shop.rows("SELECT count(*) FROM messages") == [0]


def test_a_sold_out_book_that_a_visitor_reserves_leaves_the_cart(shop, web_client):
    book_id, browser = shop.book(stock=1), web_client()
    browser.submit("/cart/items", page="/login", book_id=book_id)
    shop.set_stock(book_id, 0)
    browser.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}", email="ada@example.com")
    assert "Your cart is empty" in text_of(browser.get("/cart"))


def test_one_click_reserves_and_the_book_page_shows_it(shop, ada):
    book_id = shop.book()
    clicked = ada.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}")
    assert (clicked.status_code, clicked.headers["Location"]) == (303, f"/books/{book_id}/emma#availability")
    words = text_of(ada.get(f"/books/{book_id}"))
    assert "Reserved. We'll e-mail you when the book is back in stock." in words
    assert "You are on the waiting list. You reserved this book on" in words
    assert "Cancel reservation" in words


def test_a_click_without_the_csrf_token_reserves_nothing(shop, ada):
    book_id = shop.book()
    clicked = ada.post(f"/books/{book_id}/reserve")
    assert (clicked.status_code, clicked.headers["Location"]) == (303, f"/books/{book_id}")
    assert shop.statuses(book_id) == []


def test_the_book_page_offers_to_reserve_again_after_a_cancellation(shop, ada):
    book_id = shop.book()
    shop.cancel(ada.id, shop.reserve(ada.id, book_id))
    assert f'action="/books/{book_id}/reserve"' in ada.get(f"/books/{book_id}").text


def test_the_book_page_shows_that_a_reserved_book_is_back(shop, ada):
    book_id = shop.book()
    shop.reserve(ada.id, book_id)
    shop.set_stock(book_id, 1)
    assert "You reserved this book, and it came back in stock on" in text_of(ada.get(f"/books/{book_id}"))
    shop.set_stock(book_id, 0)
    assert ", and has sold out again." in text_of(ada.get(f"/books/{book_id}"))


def test_a_reservation_is_cancelled_from_the_list(shop, ada):
    prebook_id = shop.reserve(ada.id, shop.book())
    assert f'action="/reservations/{prebook_id}/cancel"' in ada.get("/reservations").text
    clicked = ada.submit(f"/reservations/{prebook_id}/cancel", page="/reservations")
    assert (clicked.status_code, clicked.headers["Location"]) == (303, "/reservations")
    words = text_of(ada.get("/reservations"))
    assert "Your reservation of Emma is cancelled. Undo" in words
    assert "Past Emma Jane Austen Cancelled on" in words


def test_only_waiting_reservations_have_a_cancel_button(shop, ada):
    back, gone = shop.book("Emma"), shop.book("Persuasion")
    shop.reserve(ada.id, back)
    shop.set_stock(back, 1)
    shop.cancel(ada.id, shop.reserve(ada.id, gone))
    assert "/cancel" not in ada.get("/reservations").text
    assert "Back in stock We can't hold a copy for you: first come, first served." in text_of(ada.get("/reservations"))


def test_a_cancellation_is_undone_by_one_click_which_returns_to_the_page(shop, ada):
    book_id = shop.book()
    prebook_id = shop.reserve(ada.id, book_id)
    ada.submit(f"/reservations/{prebook_id}/cancel", page="/reservations")
    page = ada.get("/reservations").text
    [undo] = re.findall(r'action="(/books/\d+/reserve)">.*?name="next" value="([^"]+)"', page, re.DOTALL)
    assert undo == (f"/books/{book_id}/reserve", "/reservations")
    undone = ada.submit(undo[0], page="/reservations", next=undo[1])
    assert (undone.status_code, undone.location) == (303, "/reservations")
    assert shop.statuses(book_id) == ["cancelled", "waiting"]


def test_cancelling_on_a_book_page_stays_there(shop, ada):
    book_id = shop.book()
    prebook_id = shop.reserve(ada.id, book_id)
    next_page = f"/books/{book_id}/emma"
    assert f'name="next" value="{next_page}"' in ada.get(next_page).text
    cancelled = ada.submit(f"/reservations/{prebook_id}/cancel", page=next_page, next=next_page)
    assert (cancelled.status_code, cancelled.location) == (303, next_page)


@pytest.mark.parametrize(
    "away", ["https://evil.example", "//evil.example", "/\\evil", "javascript:alert(1)", "/nothing"]
)
def test_a_button_never_redirects_to_another_site(shop, ada, away):
    book_id = shop.book()
    assert ada.submit(f"/books/{book_id}/reserve", page="/reservations", next=away).location == "/"


def test_an_undo_that_comes_too_late_explains_why(shop, ada):
    book_id = shop.book()
    shop.cancel(ada.id, shop.reserve(ada.id, book_id))
    shop.set_stock(book_id, 1)
    ada.submit(f"/books/{book_id}/reserve", page="/reservations", next="/reservations")
    assert "Book is in stock — add to cart instead" in text_of(ada.get("/reservations"))


def test_a_returned_book_is_past_once_sold_out_or_reserved_again(shop, ada):
    book_id = shop.book()
    shop.reserve(ada.id, book_id)
    shop.set_stock(book_id, 1)
    shop.set_stock(book_id, 0)
    assert "Past Emma Jane Austen Back in stock on" in text_of(ada.get("/reservations"))
    shop.reserve(ada.id, book_id)
    shop.set_stock(book_id, 2)
    words = text_of(ada.get("/reservations"))
    assert (words.count("Only 2 left"), words.count("Back in stock on")) == (1, 1)


def test_an_empty_list_explains_how_to_reserve(ada):
    assert "You have no reservations yet." in text_of(ada.get("/reservations"))


def test_the_list_shows_books_back_in_stock_then_waiting_then_past_with_dates(shop, ada):
    first, second, third = shop.book("Emma"), shop.book("Persuasion"), shop.book("Sanditon")
    shop.reserve(ada.id, first)
    shop.cancel(ada.id, shop.reserve(ada.id, second))
    shop.reserve(ada.id, third)
    shop.set_stock(first, 1)
    shop.execute("UPDATE prebookings SET created_at = '2026-03-04 12:00:00+00:00'")
    words = text_of(ada.get("/reservations"))
    parts = ["Emma Jane Austen", "Sanditon Jane Austen Waiting since 4 Mar 2026", "Persuasion Jane Austen Cancelled on"]
    assert [words.count(part) for part in parts] == [1, 1, 1]
    assert sorted(parts, key=words.index) == parts
    assert words.count("reserved on 4 Mar 2026") == 2


def test_the_list_is_paginated_and_a_page_beyond_the_end_redirects_to_the_last(shop, ada):
    insert_reservations_of_new_books(shop, ada.id, 45)
    assert "Page 1 of 3" in text_of(ada.get("/reservations"))
    beyond = ada.get("/reservations?page=9")
    assert (beyond.status_code, beyond.headers["Location"]) == (302, "/reservations?page=3")
    last = text_of(ada.get("/reservations?page=3"))
    assert ("Book 05" in last, "Book 06" in last) == (True, False)


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 5000])
def test_an_invalid_page_number_means_the_first_page(shop, ada, page):
    insert_reservations_of_new_books(shop, ada.id, 21)
    assert "Page 1 of 2" in text_of(ada.get(f"/reservations?page={page}"))


def test_customers_see_only_their_own_reservations(shop, ada):
    shop.reserve(shop.customer("ben@example.com"), shop.book("Secret Book"))
    assert "Secret Book" not in ada.get("/reservations").text


def test_another_customers_reservation_cannot_be_cancelled(shop, ada):
    book_id = shop.book()
    prebook_id = shop.reserve(shop.customer("ben@example.com"), book_id)
    assert ada.submit(f"/reservations/{prebook_id}/cancel", page="/reservations").status_code == 404
    assert shop.statuses(book_id) == ["waiting"]


def test_the_reservation_of_a_withdrawn_book_stays_listed_as_cancelled(shop, ada):
    book_id = shop.book("Emma")
    shop.reserve(ada.id, book_id)
    shop.withdraw(book_id)
    page = ada.get("/reservations")
    assert "Emma Jane Austen Cancelled on" in text_of(page)
    assert "No longer sold." in text_of(page)


def test_the_badge_counts_books_back_in_stock_until_viewed_even_days_later(shop, ada, web_client):
    books = [shop.book(title) for title in ("Emma", "Persuasion")]
    for book_id in books:
        shop.reserve(ada.id, book_id)
    shop.set_stock(books[0], 1)
    assert "1 back in stock" in text_of(ada.get("/"))
    assert "Back in stock since" in text_of(ada.get("/reservations"))
    ada.submit("/logout", page="/")
    shop.set_stock(books[1], 1)
    assert "1 back in stock" in text_of(web_client("ada@example.com").get("/"))


def test_the_badge_does_not_count_what_is_sold_out_again(shop, ada):
    for title in ("Emma", "Persuasion", "Sanditon"):
        shop.reserve(ada.id, shop.book(title))
    for book_id in (1, 2, 3):
        shop.set_stock(book_id, 1)
    assert "3 back in stock" in text_of(ada.get("/"))
    shop.set_stock(2, 0)
    assert "2 back in stock" in text_of(ada.get("/"))
    shop.withdraw(3)
    assert "1 back in stock" in text_of(ada.get("/"))


def test_a_cancellation_on_a_later_page_returns_to_that_page(shop, ada):
    insert_reservations_of_new_books(shop, ada.id, 25)
    assert 'name="next" value="/reservations?page=2"' in ada.get("/reservations?page=2").text


def test_the_list_is_never_cached(ada):
    assert ada.get("/reservations").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/books/{}/reserve", "/reservations/{}/cancel"])
@pytest.mark.parametrize("number", [0, 999, 2**31 - 1, 2**31, 2**63])
def test_an_unknown_page_is_a_404_page(shop, ada, path, number):
    answer = ada.submit(path.format(number), page="/reservations")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_a_reservation_that_ended_in_a_sale_is_bought_and_no_longer_back(shop, web_client):
    ada, emma = shop.customer("ada@example.com"), shop.book("Emma")
    shop.reserve(ada, emma)
    shop.set_stock(emma, 2)
    browser = web_client("ada@example.com")
    assert "1 back in stock" in text_of(browser.get("/"))
    order_id = shop.order(ada, {emma: 1})
    page = text_of(browser.get("/orders"))
    assert ("back in stock" in page, "you bought it" in text_of(browser.get("/reservations"))) == (False, True)
    assert "You reserved this book" not in text_of(browser.get(f"/books/{emma}"))
    shop.cancel_order(ada, order_id)
    assert "Back in stock since" in text_of(browser.get("/reservations"))


def test_a_customer_notified_twice_who_bought_once_is_done_with_both(shop, web_client):
    ada, emma = shop.customer("ada@example.com"), shop.book("Emma")
    for _time in range(2):
        shop.set_stock(emma, 0)
        shop.reserve(ada, emma)
        shop.set_stock(emma, 3)
    shop.order(ada, {emma: 1})
    browser = web_client("ada@example.com")
    assert "back in stock" not in text_of(browser.get("/orders"))
    assert "You reserved this book" not in text_of(browser.get(f"/books/{emma}"))
    shop.order(ada, {emma: 1})
    assert shop.rows("SELECT prebooking_id FROM order_lines ORDER BY id") == [2, None]
