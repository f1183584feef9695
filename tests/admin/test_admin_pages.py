"""Staff's pages: stock, books, withdrawing, waiting customers and the ledger."""

import re
from datetime import UTC, datetime

import pytest
from werkzeug.test import TestResponse

from bookshop.web import services
from bookshop.web.jinja import format_day
from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

BOOK = {"title": "Emma", "authors": "Jane Austen", "price": "9.50"}


@pytest.fixture
def staff(shop, web_client):
    shop.staff("staff@example.com")
    return web_client("staff@example.com")


def stock_page(book_id: int) -> str:
    return f"/admin/books/{book_id}/stock"


def value_of(page: TestResponse, name: str) -> str | None:
    """Return the value of a form field."""
    found = re.search(rf'<input[^>]*name="{name}"[^>]*>', page.text)
    value = re.search(r'value="([^"]*)"', found.group()) if found else None
    return value.group(1) if value else None


def test_a_long_list_is_paginated(shop, staff):
    rows = [{"title": f"Book {n:03}", "authors": "A", "price_cents": 1, "currency": "EUR"} for n in range(101)]
    shop.commit(lambda: services.catalog().create_all(rows))
    assert "Page 2 of 3" in text_of(staff.get("/admin/books?page=2"))
    assert "Page 3 of 3" in text_of(staff.follow("/admin/books?page=99"))


def test_staff_can_search_all_books_including_withdrawn_ones(shop, staff):
    shop.withdraw(shop.book("Emma"))
    shop.book("Persuasion", stock=2)
    words = text_of(staff.get("/admin/books?q=austen"))
    assert "2 books found" in words
    assert "Emma (withdrawn)" in words
    assert text_of(staff.get("/admin/books?q=persua")).count("€9.50 2 0") == 1


def test_the_stock_form_adds_what_was_received(shop, staff):
    book_id = shop.book(stock=3)
    staff.submit(stock_page(book_id), change="received", copies=4, expected=3, note="from the printer")
    assert shop.stock(book_id) == 7
    assert shop.rows("SELECT delta, reason, note FROM movements ORDER BY id DESC LIMIT 1") == [
        (4, "received", "from the printer")
    ]


@pytest.mark.parametrize("copies", [1, 3])
def test_the_stock_form_subtracts_what_was_sold_at_the_counter(shop, staff, copies):
    book_id = shop.book(stock=3)
    page = staff.submit(stock_page(book_id), change="sale", copies=copies, expected=3)
    assert (page.status_code, shop.stock(book_id)) == (303, 3 - copies)
    assert f"The stock is now {3 - copies}. Copies sold: {copies}." in text_of(staff.get(stock_page(book_id)))
    sale = "SELECT delta, reason, user_id, order_id FROM movements ORDER BY id DESC LIMIT 1"
    assert (shop.rows(sale), shop.broken()) == ([(-copies, "sale", 1, None)], [])


@pytest.mark.parametrize("stock", [0, 3])
def test_no_more_copies_can_be_sold_at_the_counter_than_are_in_stock(shop, staff, stock):
    book_id = shop.book(stock=stock)
    page = staff.submit(stock_page(book_id), change="sale", copies=4, expected=stock)
    assert (page.status_code, shop.stock(book_id), value_of(page, "copies")) == (400, stock, "4")
    assert f"The stock is {stock}; it cannot fall below 0." in text_of(page)


@pytest.mark.parametrize("count", [0, 2, 3, 9])
def test_the_stock_form_sets_what_was_counted(shop, staff, count):
    book_id = shop.book(stock=3)
    staff.submit(stock_page(book_id), change="correction", copies=count, expected=3)
    assert shop.stock(book_id) == count
    assert f"The stock is now {count}." in text_of(staff.get(stock_page(book_id)))


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        (0, "No customers are waiting.", "No customers were waiting."),
        (1, "1 customer is waiting", "1 waiting customer was notified."),
        (2, "2 customers are waiting", "2 waiting customers were notified."),
    ],
)
def test_the_stock_form_shows_waiting_customers_before_and_notified_ones_after(shop, staff, number, before, after):
    book_id = shop.book()
    for user_id in shop.customers(number):
        shop.reserve(user_id, book_id)
    assert before in text_of(staff.get(stock_page(book_id)))
    staff.submit(stock_page(book_id), change="received", copies=1, expected=0)
    assert f"The stock is now 1. {after}" in text_of(staff.get(stock_page(book_id)))


@pytest.mark.parametrize(("change", "after"), [("received", 13), ("correction", 5), ("sale", 3)])
def test_a_stale_stock_form_overwrites_nothing_and_is_shown_again_with_what_was_typed(shop, staff, change, after):
    book_id = shop.book(stock=3)
    shop.set_stock(book_id, 8)
    before = shop.everything()
    stale = {"change": change, "copies": "5", "note": "counted twice"}
    page = staff.submit(stock_page(book_id), **stale, expected=3)
    assert (page.status_code, shop.everything()) == (409, before)
    assert "changed from 3 to 8 since you opened this page" in text_of(page)
    assert [value_of(page, name) for name in ("copies", "note", "expected")] == ["5", "counted twice", "8"]
    assert re.search(rf'<input[^>]*checked[^>]*value="{change}"', page.text)

    assert staff.submit(stock_page(book_id), **stale, expected=value_of(page, "expected")).status_code == 303
    assert shop.stock(book_id) == after


@pytest.mark.parametrize(("change", "after"), [("received", 8), ("sale", 2)])
def test_a_double_click_does_not_count_twice(shop, staff, change, after):
    book_id = shop.book(stock=5)
    token, copies = staff.csrf_token(stock_page(book_id)), 3
    clicks = [
        staff.post(stock_page(book_id), csrf_token=token, change=change, copies=copies, expected=5) for _ in range(2)
    ]
    assert ([click.status_code for click in clicks], shop.stock(book_id)) == ([303, 409], after)


@pytest.mark.parametrize(
    "wrong",
    [
        {"copies": ""},
        {"copies": "x"},
        {"copies": "-1"},
        {"copies": "1.5"},
        {"copies": "0"},
        {"copies": "999998"},
        {"copies": "1000001"},
        {"copies": str(2**63)},
        {"change": "sale"},
        {"change": "sale", "copies": "0"},
        {"change": "theft"},
        {"change": ""},
        {"expected": ""},
        {"expected": "x"},
        {"note": "x" * 501},
        {"note": "\x00"},
    ],
)
def test_an_invalid_stock_form_is_shown_again_and_writes_nothing(shop, staff, wrong):
    book_id = shop.book(stock=3)
    before = shop.everything()
    typed = {"change": "received", "copies": "5", "expected": "3", "note": "a note", **wrong}
    page = staff.submit(stock_page(book_id), **typed)
    assert (page.status_code, shop.everything()) == (400, before)
    assert value_of(page, "copies") == typed["copies"]
    assert value_of(page, "expected") == "3"


def test_a_form_without_the_csrf_token_is_shown_again_with_what_was_typed(shop, staff):
    book_id = shop.book(stock=3)
    page = staff.post(stock_page(book_id), change="received", copies="5", expected="3")
    assert (page.status_code, value_of(page, "copies"), shop.stock(book_id)) == (400, "5", 3)


@pytest.mark.parametrize(("typed", "cents"), [("9.50", 950), ("9,50", 950), (" 9 ", 900), ("0", 0), ("1000000", 10**8)])
def test_a_price_may_have_a_point_or_a_comma(shop, staff, typed, cents):
    made = staff.submit("/admin/books/new", **{**BOOK, "price": typed})
    assert made.status_code == 303
    assert shop.rows("SELECT price_cents, currency, stock_quantity FROM books") == [(cents, "EUR", 0)]
    assert "It has no copies yet" in text_of(staff.get(made.headers["Location"]))


def test_a_new_book_stores_what_was_typed_and_null_for_empty_fields(shop, staff):
    staff.submit("/admin/books/new", **BOOK, isbn="0-14-143958-0", publisher=" ", language="", published_year="1815")
    columns = "title, authors, isbn, publisher, language, published_year, description"
    assert shop.rows(f"SELECT {columns} FROM books") == [
        ("Emma", "Jane Austen", "9780141439587", None, None, 1815, None)
    ]


WRONG_BOOKS = [
    {"title": ""},
    {"title": "   "},
    {"title": "x" * 501},
    {"title": "a\x00b"},
    {"authors": ""},
    {"isbn": "9780141439588"},
    {"isbn": "123"},
    {"published_year": "MDCCC"},
    {"published_year": "2101"},
    {"price": ""},
    {"price": "-1"},
    {"price": "9.505"},
    {"price": "NaN"},
    {"price": "Infinity"},
    {"price": "1e99999999"},
    {"price": "1000000.01"},
    {"price": "free"},
    {"language": "x" * 36},
    {"description": "x" * 10_001},
]


@pytest.mark.parametrize("wrong", WRONG_BOOKS, ids=[f"{name}{index}" for index, [name] in enumerate(WRONG_BOOKS)])
def test_an_invalid_book_form_is_shown_again_with_values_and_errors(shop, staff, wrong):
    page = staff.submit("/admin/books/new", **{**BOOK, "publisher": "Penguin <b>", **wrong})
    assert (page.status_code, shop.rows("SELECT id FROM books")) == (400, [])
    assert value_of(page, "publisher") == "Penguin &lt;b&gt;"
    assert page.text.count("is-invalid") == 1
    assert re.search(rf'<(input|textarea)[^>]*is-invalid[^>]*name="{next(iter(wrong))}"', page.text)


def test_the_edit_form_starts_with_the_current_values(shop, staff):
    book_id = shop.book(isbn="9780141439587", published_year=1815, price_cents=1290)
    path = f"/admin/books/{book_id}/edit"
    shown = {name: value_of(staff.get(path), name) for name in ("title", "authors", "isbn", "published_year", "price")}
    assert list(shown.values()) == ["Emma", "Jane Austen", "9780141439587", "1815", "12.90"]
    assert staff.submit(path, **{**shown, "title": "Émile", "published_year": ""}).status_code == 303
    assert shop.rows("SELECT title, isbn, published_year, price_cents FROM books") == [
        ("Émile", "9780141439587", None, 1290)
    ]


@pytest.mark.parametrize("withdrawn", [False, True])
@pytest.mark.parametrize("which", ["new", "edit"])
def test_a_taken_isbn_is_an_error_on_the_form_which_keeps_what_was_typed(shop, staff, which, withdrawn):
    taken, other = shop.book("Persuasion", isbn="9780141439587"), shop.book()
    if withdrawn:
        shop.withdraw(taken)
    before = shop.everything()
    path = "/admin/books/new" if which == "new" else f"/admin/books/{other}/edit"
    page = staff.submit(path, **{**BOOK, "title": "Typed title", "isbn": "0-14-143958-0"})
    assert (page.status_code, shop.everything()) == (400, before)
    assert "Another book has this ISBN already." in text_of(page)
    assert (value_of(page, "title"), value_of(page, "authors")) == ("Typed title", "Jane Austen")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "No customers are waiting for it."),
        (1, "The reservation of 1 waiting customer will be cancelled."),
        (2, "The reservations of 2 waiting customers will be cancelled."),
    ],
)
def test_withdrawing_asks_first_and_shows_how_many_reservations_it_cancels(shop, staff, number, words):
    book_id = shop.book()
    for user_id in shop.customers(number):
        shop.reserve(user_id, book_id)
    path = f"/admin/books/{book_id}/withdraw"
    assert words in text_of(staff.get(path))
    assert shop.statuses(book_id) == ["waiting"] * number
    staff.submit(path)
    assert f"Reservations cancelled: {number}." in text_of(staff.get(stock_page(book_id)))
    assert shop.statuses(book_id) == ["cancelled"] * number


def test_a_withdrawn_book_is_marked_and_can_be_put_back(shop, staff):
    book_id = shop.book()
    shop.withdraw(book_id)
    assert "withdrawn on" in text_of(staff.get(stock_page(book_id)))
    answer = staff.submit(f"/admin/books/{book_id}/put-back", page=stock_page(book_id))
    assert (answer.status_code, answer.headers["Location"]) == (303, stock_page(book_id))
    words = text_of(staff.get(stock_page(book_id)))
    assert ("The book is on sale again." in words, "withdrawn on" in words) == (True, False)


def test_withdrawing_twice_keeps_the_first_date(shop, staff):
    book_id = shop.book()
    shop.withdraw(book_id)
    before = shop.rows("SELECT withdrawn_at FROM books")
    staff.submit(f"/admin/books/{book_id}/withdraw")
    assert shop.rows("SELECT withdrawn_at FROM books") == before


def test_staff_see_the_longest_waiting_customer_first(shop, staff):
    book_id = shop.book()
    for email in ("zoe@example.com", "ada@example.com", "gone@example.com"):
        prebook_id = shop.reserve(shop.customer(email), book_id)
    shop.cancel(shop.rows("SELECT max(user_id) FROM prebookings")[0], prebook_id)
    shop.execute("UPDATE prebookings SET created_at = '2026-03-04 12:00:00+00:00'")
    words = text_of(staff.get(f"/admin/books/{book_id}/waiting"))
    assert "2 customers are waiting, longest wait first." in words
    assert "zoe@example.com 4 Mar 2026 ada@example.com 4 Mar 2026" in words
    assert "gone@example.com" not in words


def test_the_ledger_shows_who_changed_the_stock_when_and_why(shop, staff):
    book_id = shop.book(stock=3)
    staff.submit(stock_page(book_id), change="correction", copies=1, expected=3, note="two <stolen>")
    today = format_day(datetime.now(UTC))
    words = text_of(staff.get(f"/admin/books/{book_id}/movements"))
    assert f"{today} -2 1 Correction staff@example.com two <stolen> {today} +3 3 Received a command" in words


def test_the_ledger_names_the_order_that_sold_and_returned_copies(shop, staff):
    book_id = shop.book(stock=3)
    order_id = shop.order(shop.customer(), {book_id: 2})
    shop.change_order(order_id, "cancelled", 1)
    number = shop.rows("SELECT number FROM orders")[0]
    page = staff.get(f"/admin/books/{book_id}/movements")
    link = f'<a href="/admin/orders/{order_id}">Order {number}</a>'
    assert (page.text.count(link), text_of(page).count(f"Order {number}")) == (2, 2)
    assert "-2 1 Sale ada@example.com" in text_of(page)


def test_the_stock_page_shows_the_outcome_of_the_books_reservations(shop, staff):
    book_id, other = shop.book(), shop.book("Other")
    first, second, third, fourth = shop.customers(4)
    for user_id in (first, second, third):
        shop.reserve(user_id, book_id)
    shop.reserve(first, other)
    shop.set_stock(book_id, 2)
    shop.order(first, {book_id: 1})
    cancelled = shop.order(second, {book_id: 1})
    shop.reserve(fourth, book_id)
    words = "Waiting {} Notified {} Notified and bought {} Notified but not bought {}".format
    assert words(1, 3, 2, 1) in text_of(staff.get(stock_page(book_id)))
    shop.cancel_order(second, cancelled)
    assert words(0, 4, 1, 3) in text_of(staff.get(stock_page(book_id)))
    assert words(1, 0, 0, 0) in text_of(staff.get(stock_page(other)))


def test_a_book_that_was_never_reserved_has_no_reservation_figures(shop, staff):
    assert "Reservations for this book" not in text_of(staff.get(stock_page(shop.book(stock=1))))


def test_the_stock_page_shows_copies_that_are_sold_but_not_collected(shop, staff):
    book_id = shop.book(stock=9, isbn="9780141439587")
    ada = shop.customer()
    placed, ready, collected = (shop.order(ada, {book_id: copies}) for copies in (1, 2, 3))
    for order_id in (ready, collected):
        shop.change_order(order_id, "ready", 1)
    shop.change_order(collected, "collected", 1)
    page = staff.get(stock_page(book_id))
    assert "3 more copies are sold but not collected yet. Leave them out" in text_of(page)
    assert all(f'q=9780141439587&amp;status={state}"' in page.text for state in ("placed", "ready"))
    for order_id in (placed, ready):
        shop.change_order(order_id, "cancelled", 1)
    assert "not collected yet" not in text_of(staff.get(stock_page(book_id)))


@pytest.mark.parametrize("page", ["stock", "edit", "withdraw", "waiting", "movements"])
@pytest.mark.parametrize("number", [999, 2**31])
def test_an_unknown_book_has_no_staff_pages(staff, page, number):
    assert staff.get(f"/admin/books/{number}/{page}").status_code == 404
