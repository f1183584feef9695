"""Unusual search text, on both databases: it must never be parsed as their full-text syntax."""

import pytest

from bookshop.catalog.repository import BookCriteria, BookRepository
from bookshop.orders.service import OrderSearch
from bookshop.web import services
from tests.support.bad_input import SCRIPT

ODD_TEXTS = [
    "'", '"', '""', '"emma', "' OR '1'='1", "'; DROP TABLE books; --", "%", "_", "%%%", "100%", "\\", "\\'", "a\\", "*",
    "a*", "**", "^emma", "-emma", "- -", "NEAR", "NEAR(a b, 2)", "AND", "OR", "NOT", "emma AND", "emma OR", "OR NOT",
    "(", ")", "((emma)", "title:emma", "search_title:", ":", "a:b", ":*", "emma:*", "emma:*AB", "&", "|", "!", "!emma",
    "a & b", "a & ", "a <-> b", "<->", "<1>", "a <2147483648> b", "{a b}", "+", "a + b", "\0", "em\0ma", "\x01\x1f",
    "\ufffd", "\u202eamme", "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627", "\U0001f4da", "\u200b",
    "\u00df", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0130", "\ufdfd" * 50, "e\u0301" * 50, "!!!???",
    "x" * 60_000, "a " * 30_000, "a\tb\nc", "9780141439518 OR 1", "1e400", "NULL", "\u3000", SCRIPT, "a\ud800b",
]  # fmt: skip


@pytest.fixture
def books(shop):
    """Two books, one with a script as author, and an order."""
    ada = shop.customer()
    shop.book(SCRIPT, authors=SCRIPT, publisher=SCRIPT, description=SCRIPT)
    shop.order(ada, {shop.book("Emma", stock=1): 1})
    return shop


def test_unusual_search_text_never_causes_an_error(books):
    shop = books
    with shop.app.app_context():
        books = services.repository(BookRepository)
        by_words = {typed: books.search(BookCriteria(q=typed), 1, 20).total for typed in ODD_TEXTS}
        by_author = {typed: books.search(BookCriteria(author=typed), 1, 20).total for typed in ODD_TEXTS}
    assert {*by_words.values(), *by_author.values()} <= {0, 1, 2}
    assert (by_words["emma AND"], by_words["'"], by_author["'; DROP TABLE books; --"]) == (0, 0, 0)
    assert (by_words["!emma"], by_words["emma:*"], by_words['"emma']) == (1, 1, 1)  # plain text only


def test_unusual_text_in_order_and_user_searches_never_causes_an_error(books):
    with books.app.app_context():
        orders = {typed: services.orders().search(OrderSearch(q=typed), 1, 20).total for typed in ODD_TEXTS}
        users = {typed: services.accounts().list_users(typed, 1, 20).total for typed in ODD_TEXTS}
    assert {*orders.values(), *users.values()} <= {0, 1}
    assert [found["'; DROP TABLE books; --"] for found in (orders, users)] == [0, 0]


def test_unusual_text_is_no_error_on_pages_and_in_json(books, web_client, api_client):
    books.staff()
    staff, anybody = web_client("staff@example.com"), web_client()
    for typed in ("em\0ma", "a <2147483648> b", SCRIPT):
        found = api_client().get("/api/v1/books", q=typed, author=typed)
        assert (found.status_code, found.json["total"] <= 1) == (200, True)
        shown = [
            anybody.get("/books", query_string={"q": typed}),
            *[staff.get(f"/admin/{page}", query_string={"q": typed}) for page in ("books", "orders", "users")],
        ]
        assert [(page.status_code, SCRIPT in page.text) for page in shown] == [(200, False)] * 4


def test_invalid_utf_8_finds_nothing(books, api_client):
    found = api_client().client.get("/api/v1/books?q=%ED%A0%80&author=%FF")
    assert (found.status_code, found.json["total"]) == (200, 0)


def test_invalid_page_numbers_lead_to_the_last_page(books, web_client):
    books.staff()
    staff, ada = web_client("staff@example.com"), web_client("ada@example.com")
    lists = [(ada, "/books"), (ada, "/reservations"), (ada, "/orders"), (staff, "/admin"), (staff, "/admin/books")]
    lists += [(staff, f"/admin/books/1/{page}") for page in ("waiting", "movements")]
    for browser, path in lists:
        assert browser.follow(f"{path}?page=9223372036854775808&%00=%00").status_code == 200


def test_invalid_price_year_and_language_filters_are_no_error(books, web_client):
    for query in ("language=%00", f"max_price={'9' * 5000}", f"min_price_cents={2**63}", f"min_year={-(2**63)}"):
        assert web_client().follow(f"/books?{query}&q=emma").status_code == 200
