"""Cursor pagination: the same rows as by page number, stable under changes, at constant cost."""

import json
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.http import parse_options_header

from bookshop.extensions import db
from tests.support.bad_input import assert_problem
from tests.support.races import insert_books
from tests.support.sample_shop import sample_shop_of
from tests.web.test_routes import fill, statements

BOOKS = "/api/v1/books"
SORTS, DIRS = ("relevance", "title", "price", "published", "newest"), (None, "asc", "desc")
FILTERS = [
    {},
    {"q": "b"},
    {"q": "blue b"},
    {"q": "austen"},
    {"author": "jane"},
    {"language": "en"},
    {"in_stock": "true"},
    {"in_stock": "false", "q": "b"},
    {"min_price_cents": "2", "max_price_cents": "3"},
    {"q": "nothing of the kind"},
]


@pytest.fixture
def books(shop):
    """Books with many equal titles, prices and years, some of them missing."""
    years, prices = [1815, None, -700, 1815, None, 2000], [3, 1, 3, 2]
    for number in range(12):
        title = ["Blue Book", "Blue", "A Blue Book, again", "Émile", "b", "Book"][number % 6]
        authors = "Jane Austen" if number % 3 else "A. Blue"
        values = {"authors": authors, "price_cents": prices[number % 4], "published_year": years[number % 6]}
        shop.book(title, stock=number % 3, language=["en", "en-GB", None][number % 3], **values)
    shop.withdraw(5)


def by_pages(api_client, path, size=3, **query):
    """Return all items of a list, page by page, and its total."""
    items: list[Any] = []
    page, total = 1, 1
    while len(items) < total:
        answer = api_client.get(path, size=size, page=page, **query).json
        items, total, page = items + answer["items"], answer["total"], page + 1
        assert answer["items"] or not total
        assert "next_cursor" not in answer
    return items, total


def by_cursor(api_client, path, size, between=lambda: None, **query):
    """Return all items of a list by `next_cursor`, and the totals in the responses."""
    items: list[Any] = []
    totals: list[int] = []
    cursor: str | None = ""
    page = 0
    while cursor is not None:
        answer = api_client.get(path, size=size, cursor=cursor, **query)
        assert answer.status_code == 200, answer.text
        items, cursor, page = items + answer.json["items"], answer.json["next_cursor"], page + 1
        assert ("Link" in answer.headers, answer.json["page"], answer.json["size"]) == (cursor is not None, page, size)
        assert len(answer.json["items"]) == size or cursor is None
        totals.append(answer.json["total"])
        between()
    assert len(set(totals)) == 1
    return items, totals[0]


def by_links(api_client, path, **query):
    """Return all items of a list by its `next` links (RFC 8288), starting by page number."""
    answer = api_client.get(path, **query)
    items = answer.json["items"]
    while link := answer.headers.get("Link"):
        target, options = parse_options_header(link)
        assert options == {"rel": "next"}
        answer = api_client.send("GET", target.strip("<>"))
        items = items + answer.json["items"]
    return items


def ids(items):
    return [item.get("id", item.get("book_id")) for item in items]


def without(query):
    return {name: value for name, value in query.items() if value is not None}


# ---------------------------------------------------------------- the same as by page number


@pytest.mark.parametrize(("sort", "direction"), list(product(SORTS, DIRS)))
def test_books_are_the_same_by_cursor_as_by_pages(books, api_client, sort, direction):
    reader = api_client()
    smallest = 1 if sort == "relevance" and direction else 4
    for filters in FILTERS if sort == "relevance" and direction else FILTERS[:3]:
        query = without({"sort": sort, "dir": direction, **filters})
        paged = by_pages(reader, BOOKS, size=5, **query)
        assert len(set(ids(paged[0]))) == paged[1]
        assert by_cursor(reader, BOOKS, size=3 if filters else smallest, **query) == paged, query
    query = without({"sort": sort, "dir": direction})
    assert by_links(reader, BOOKS, size=2 * smallest, **query) == by_pages(reader, BOOKS, **query)[0]


@pytest.fixture
def sample_shop(app):
    """A sample shop in which every list has more than one page."""
    return sample_shop_of(app, fill_lists)


def fill_lists(shop):
    fill(shop, 5)


LISTS = [
    *[("ada", "/api/v1/prebookings", query) for query in ({}, {"status": "waiting"}, {"status": "cancelled"})],
    *[("ada", "/api/v1/orders", query) for query in ({}, {"status": "placed"}, {"status": "collected"})],
    ("ada", "/api/v1/cart/items", {}),
    *[("staff", "/api/v1/admin/orders", query) for query in ({}, {"status": "placed"}, {"q": "ada"})],
    *[("staff", "/api/v1/admin/orders", query) for query in ({"uncollected": "true"}, {"status": "cancelled"})],
    ("staff", "/api/v1/books/1/movements", {}),
    *[("staff", "/api/v1/books/1/prebookings", query) for query in ({}, {"status": "waiting"})],
    ("staff", "/api/v1/reports/demand", {}),
    *[("staff", BOOKS, query) for query in ({}, {"q": "book"})],
]


@pytest.mark.parametrize(("role", "path", "query"), LISTS)
def test_every_list_is_the_same_by_cursor_as_by_pages(sample_shop, role, path, query):
    api_client = sample_shop.api_clients[role]
    paged = by_pages(api_client, path, **query)
    for size in (1, 3):
        assert by_cursor(api_client, path, size, **query) == paged
    assert by_links(api_client, path, size=2, **query) == paged[0]
    assert by_links(api_client, path, size=2, page=2, **query) == paged[0][2:]


def test_the_page_size_may_change_between_pages(books, api_client):
    reader = api_client()
    first = reader.get(BOOKS, size=2, cursor="", sort="price").json
    second = reader.get(BOOKS, size=100, cursor=first["next_cursor"], sort="price").json
    assert first["items"] + second["items"] == by_pages(reader, BOOKS, sort="price")[0]


def test_a_page_number_is_ignored_with_a_cursor(books, api_client):
    first = api_client().get(BOOKS, size=2, cursor="", page=3).json
    assert (first["page"], first["items"]) == (1, api_client().get(BOOKS, size=2).json["items"])
    second = api_client().get(BOOKS, size=2, cursor=first["next_cursor"], page=9).json
    assert (second["page"], second["items"]) == (2, api_client().get(BOOKS, size=2, page=2).json["items"])


# ---------------------------------------------------------------- concurrent changes


@pytest.mark.parametrize(("sort", "direction"), list(product(SORTS[1:], ("asc", "desc"))))
def test_books_added_or_removed_meanwhile_cause_no_repeats_and_no_gaps(shop, books, api_client, sort, direction):
    reader, query = api_client(), {"sort": sort, "dir": direction}
    left = ids(by_pages(reader, BOOKS, **query)[0])

    def change():
        """Add a book at each end and in the middle, and delete the first of the old ones."""
        for title, values in (
            ("0", {"price_cents": 0}),
            ("Zz", {"price_cents": 9}),
            ("Blue", {"published_year": 1815}),
        ):
            shop.book(title, **values)
        shop.withdraw(left.pop(0))

    read = ids(by_cursor(reader, BOOKS, 1, between=lambda: change() if len(left) > 8 else None, **query)[0])
    assert len(set(read)) == len(read)
    assert [book_id for book_id in read if book_id in left] == left


def test_a_list_continues_after_the_deleted_last_row_of_a_page(shop, books, api_client):
    first = api_client().get(BOOKS, size=4, sort="published", cursor="").json
    rest = api_client().get(BOOKS, page=2, size=4, sort="published").json["items"]
    shop.execute("DELETE FROM events"), shop.execute("DELETE FROM movements")
    shop.execute(f"DELETE FROM books WHERE id = {first['items'][-1]['id']}")
    assert api_client().get(BOOKS, size=4, sort="published", cursor=first["next_cursor"]).json["items"] == rest


def test_removing_lines_hides_none_of_the_remaining_ones(sample_shop):
    ada = sample_shop.api_clients["ada"]
    everything = ids(by_pages(ada, "/api/v1/cart/items")[0])
    first = ada.get("/api/v1/cart/items", size=2, cursor="").json
    ada.delete(f"/api/v1/cart/items/{everything[0]}")
    second = ada.get("/api/v1/cart/items", size=100, cursor=first["next_cursor"]).json
    assert (ids(second["items"]), second["total"]) == (everything[2:], first["total"])


def test_new_movements_do_not_shift_the_ledger_pages(shop, api_client):
    shop.staff("staff@example.com")
    staff, book_id = api_client("staff@example.com"), shop.book("Emma")
    for quantity in (1, 2, 3, 4):
        shop.set_stock(book_id, quantity)
    path, more = f"{BOOKS}/{book_id}/movements", iter(range(5, 99))
    read, total = by_cursor(staff, path, 1, between=lambda: shop.set_stock(book_id, next(more)))
    assert ([line["quantity_after"] for line in read], total) == ([4, 3, 2, 1], 4)


# ---------------------------------------------------------------- invalid cursors


@pytest.fixture
def cursor(books, api_client):
    """A valid cursor of the list sorted by title."""
    return api_client().get(BOOKS, sort="title", size=2, cursor="").json["next_cursor"]


def assert_no_cursor(answer):
    assert_problem(answer, 404, "CURSOR_NOT_FOUND")


def test_a_cursor_is_valid_only_for_its_list_filters_and_order(shop, cursor, api_client):
    shop.staff("staff@example.com")
    others: Any = ({}, {"sort": "price"}, {"sort": "title", "dir": "desc"}, {"sort": "title", "q": "b"})
    for query in (*others, {"sort": "title", "in_stock": "true"}, {"sort": "title", "author": "jane"}):
        assert_no_cursor(api_client().get(BOOKS, cursor=cursor, **query))
    for path in ("/api/v1/reports/demand", "/api/v1/admin/orders", "/api/v1/books/1/movements"):
        assert_no_cursor(api_client("staff@example.com").get(path, cursor=cursor))
    assert api_client().get(BOOKS, cursor=cursor, sort="title").status_code == 200


def test_one_books_ledger_refuses_anothers_cursor(sample_shop):
    staff = sample_shop.api_clients["staff"]
    cursor = staff.get("/api/v1/books/1/movements", size=1, cursor="").json["next_cursor"]
    assert_no_cursor(staff.get("/api/v1/books/2/movements", cursor=cursor))


@pytest.mark.parametrize("path", ["/api/v1/prebookings", "/api/v1/orders", "/api/v1/cart/items"])
def test_a_cursor_of_another_customers_list_is_invalid(sample_shop, api_client, path):
    sample_shop.shop.customer("ben@example.com")
    cursor = sample_shop.api_clients["ada"].get(path, size=1, cursor="").json["next_cursor"]
    assert_no_cursor(api_client("ben@example.com").get(path, cursor=cursor))


def forged(keys):
    """Create a cursor with a forged signature."""
    return urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=") + ".x"


FORGED = [
    " ",
    "x",
    ".",
    "..",
    "\0",
    "é",
    "\ud7ff",
    "a" * 5_000,
    "null",
    forged([]),
    forged(["b", 1, 1, 2]),
    "-1",
    "%00",
]


@pytest.mark.parametrize("text", FORGED)
def test_a_forged_cursor_is_invalid(books, api_client, text):
    assert_no_cursor(api_client().get(BOOKS, sort="title", cursor=text))


def test_a_damaged_cursor_is_invalid(cursor, api_client):
    reader = api_client()
    payload, signature = cursor.split(".")
    broken = [cursor[:-3], cursor[1:], cursor + "A" * 4, payload, f".{signature}", f"{payload}.", cursor.swapcase()]
    for text in (*broken, f"{payload}x.{signature}", f"{cursor}.{signature}"):
        assert_no_cursor(reader.get(BOOKS, sort="title", cursor=text))
    assert reader.send("GET", f"{BOOKS}?sort=title&cursor={cursor}&cursor={cursor}").status_code == 422


def test_an_empty_cursor_starts_a_list_and_the_last_page_has_no_next(books, api_client):
    assert api_client().get(BOOKS, cursor="", size=100).json["next_cursor"] is None
    empty = api_client().get(BOOKS, cursor="", q="nothing of the kind").json
    assert (empty["items"], empty["next_cursor"], empty["total"], empty["page"]) == ([], None, 0, 1)


# ---------------------------------------------------------------- cost


@pytest.mark.parametrize(("role", "path", "query"), LISTS)
def test_cursor_pages_count_nothing_and_skip_no_rows(sample_shop, role, path, query):
    api_client = sample_shop.api_clients[role]
    first = api_client.get(path, size=1, cursor="", **query).json["next_cursor"]
    if first is None:
        return
    with statements(sample_shop.app) as sent:
        api_client.get(path, size=1, cursor=first, **query)
    lists = [statement for statement in sent if "LIMIT" in statement]
    assert len(lists) == (0 if "cart" in path else 1)
    assert not [statement for statement in lists if "count(*) AS count_1" in statement]
    with statements(sample_shop.app) as counted:
        api_client.get(path, size=1, page=2, **query)
    assert len(sent) == len(counted) - (0 if "cart" in path else 1)


@contextmanager
def list_statement(app):
    """Return the statement that reads a page of books, and its parameters."""
    found = []

    def note(_connection, _cursor, statement, parameters, *_more):
        if "FROM books" in statement and "LIMIT" in statement:
            found.append((statement, parameters))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


SEARCHED = {
    "title": "INDEX ix_books_title_key_id (title_key",
    "price": "INDEX ix_books_price_cents_id (price_cents",
    "newest": "INTEGER PRIMARY KEY (rowid",
}


def rows_read(node):
    """Return the number of rows that a PostgreSQL plan read, including discarded ones."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    below = [rows_read(child) for child in node.get("Plans", ())]
    return max([*below, (node["Actual Rows"] + removed) * node["Actual Loops"]])


@pytest.mark.prove
def test_a_deep_page_reads_no_more_rows_than_it_shows(app, shop, api_client):
    insert_books(shop, 3_000)
    shop.execute("UPDATE books SET price_cents = id / 7")
    shop.execute("ANALYZE")
    for sort, direction in product(("title", "price", "newest"), ("asc", "desc")):
        assert_deep_page_is_cheap(app, api_client(), sort, direction)


def assert_deep_page_is_cheap(app, reader, sort, direction):
    query, cursor = {"sort": sort, "dir": direction, "size": 100}, ""
    for _page in range(15):
        cursor = reader.get(BOOKS, cursor=cursor, **query).json["next_cursor"]
    with list_statement(app) as found:
        assert reader.get(BOOKS, cursor=cursor, **query).json["page"] == 16
    ((statement, parameters),) = found
    with app.app_context(), db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert [line.startswith(f"SEARCH books USING {SEARCHED[sort]}") for line in plan] == [True], plan
        else:
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            plan = connection.exec_driver_sql(explain, parameters).scalar_one()[0]["Plan"]
            assert rows_read(plan) <= 101, plan
