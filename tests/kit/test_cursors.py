"""Lists read on by cursor: the same rows as by pages, whatever changes meanwhile, at a cost that does not grow."""

import json
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.http import parse_options_header

from bookshop.extensions import db
from tests.support.races import many_books
from tests.support.stand import assert_problem
from tests.support.world import world_of
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
    """Books that have much in common: titles, prices and years, some of which are not known."""
    years, prices = [1815, None, -700, 1815, None, 2000], [3, 1, 3, 2]
    for number in range(12):
        title = ["Blue Book", "Blue", "A Blue Book, again", "Émile", "b", "Book"][number % 6]
        authors = "Jane Austen" if number % 3 else "A. Blue"
        said = {"authors": authors, "price_cents": prices[number % 4], "published_year": years[number % 6]}
        shop.book(title, stock=number % 3, language=["en", "en-GB", None][number % 3], **said)
    shop.withdraw(5)


def by_pages(api_client, path, size=3, **query):
    """All items of a list, page by page, and how many there are."""
    items: list[Any] = []
    page, total = 1, 1
    while len(items) < total:
        answer = api_client.get(path, size=size, page=page, **query).json
        items, total, page = items + answer["items"], answer["total"], page + 1
        assert answer["items"] or not total
        assert "next_cursor" not in answer
    return items, total


def by_cursor(api_client, path, size, between=lambda: None, **query):
    """All items of a list, read on by `next_cursor`, and what was said of their number."""
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
    """All items of a list, by the links to the next page (RFC 8288), begun by number."""
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


# ---------------------------------------------------------------- the same as by pages


@pytest.mark.parametrize(("sort", "direction"), list(product(SORTS, DIRS)))
def test_books_are_the_same_by_cursor_as_by_pages(books, api_client, sort, direction):
    reader = api_client()
    for filters in FILTERS if sort == "relevance" and direction else FILTERS[:3]:
        query = without({"sort": sort, "dir": direction, **filters})
        paged = by_pages(reader, BOOKS, size=5, **query)
        assert len(set(ids(paged[0]))) == paged[1]
        assert by_cursor(reader, BOOKS, size=3 if filters else 1, **query) == paged, query
    query = without({"sort": sort, "dir": direction})
    assert by_links(reader, BOOKS, size=2, **query) == by_pages(reader, BOOKS, **query)[0]


@pytest.fixture
def world(app):
    """Lists of everything, each with more than one page."""
    return world_of(app, fill_five)


def fill_five(shop):
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


@pytest.mark.parametrize(("who", "path", "query"), LISTS)
def test_every_list_is_the_same_by_cursor_as_by_pages(world, who, path, query):
    api_client = world.scripts[who]
    paged = by_pages(api_client, path, **query)
    for size in (1, 3):
        assert by_cursor(api_client, path, size, **query) == paged
    assert by_links(api_client, path, size=2, **query) == paged[0]
    assert by_links(api_client, path, size=2, page=2, **query) == paged[0][2:]


def test_the_size_of_a_page_may_change_on_the_way(books, api_client):
    reader = api_client()
    first = reader.get(BOOKS, size=2, cursor="", sort="price").json
    second = reader.get(BOOKS, size=100, cursor=first["next_cursor"], sort="price").json
    assert first["items"] + second["items"] == by_pages(reader, BOOKS, sort="price")[0]


def test_with_a_cursor_the_number_of_a_page_says_nothing(books, api_client):
    first = api_client().get(BOOKS, size=2, cursor="", page=3).json
    assert (first["page"], first["items"]) == (1, api_client().get(BOOKS, size=2).json["items"])
    second = api_client().get(BOOKS, size=2, cursor=first["next_cursor"], page=9).json
    assert (second["page"], second["items"]) == (2, api_client().get(BOOKS, size=2, page=2).json["items"])


# ---------------------------------------------------------------- what changes meanwhile


@pytest.mark.parametrize(("sort", "direction"), list(product(SORTS[1:], ("asc", "desc"))))
def test_books_that_come_or_go_meanwhile_neither_repeat_nor_hide_others(shop, books, api_client, sort, direction):
    reader, query = api_client(), {"sort": sort, "dir": direction}
    left = ids(by_pages(reader, BOOKS, **query)[0])

    def change():
        """A book more at each end and in the middle, and the first of those that were there goes."""
        for title, said in (("0", {"price_cents": 0}), ("Zz", {"price_cents": 9}), ("Blue", {"published_year": 1815})):
            shop.book(title, **said)
        shop.withdraw(left.pop(0))

    read = ids(by_cursor(reader, BOOKS, 1, between=lambda: change() if len(left) > 8 else None, **query)[0])
    assert len(set(read)) == len(read)
    assert [book_id for book_id in read if book_id in left] == left


def test_where_the_last_row_of_a_page_goes_the_list_is_read_on_behind_its_place(shop, books, api_client):
    first = api_client().get(BOOKS, size=4, sort="published", cursor="").json
    rest = api_client().get(BOOKS, page=2, size=4, sort="published").json["items"]
    shop.execute("DELETE FROM events"), shop.execute("DELETE FROM movements")
    shop.execute(f"DELETE FROM books WHERE id = {first['items'][-1]['id']}")
    assert api_client().get(BOOKS, size=4, sort="published", cursor=first["next_cursor"]).json["items"] == rest


def test_what_is_taken_out_of_a_cart_hides_nothing_that_is_left(world):
    ada = world.scripts["ada"]
    everything = ids(by_pages(ada, "/api/v1/cart/items")[0])
    first = ada.get("/api/v1/cart/items", size=2, cursor="").json
    ada.delete(f"/api/v1/cart/items/{everything[0]}")
    second = ada.get("/api/v1/cart/items", size=100, cursor=first["next_cursor"]).json
    assert (ids(second["items"]), second["total"]) == (everything[2:], first["total"])


def test_new_movements_do_not_push_the_ledger_on(shop, api_client):
    shop.staff("staff@example.com")
    staff, book_id = api_client("staff@example.com"), shop.book("Emma")
    for quantity in (1, 2, 3, 4):
        shop.set_stock(book_id, quantity)
    path, more = f"{BOOKS}/{book_id}/movements", iter(range(5, 99))
    read, total = by_cursor(staff, path, 1, between=lambda: shop.set_stock(book_id, next(more)))
    assert ([line["quantity_after"] for line in read], total) == ([4, 3, 2, 1], 4)


# ---------------------------------------------------------------- cursors that are none


@pytest.fixture
def cursor(books, api_client):
    """A good cursor of the list by title."""
    return api_client().get(BOOKS, sort="title", size=2, cursor="").json["next_cursor"]


def assert_no_cursor(answer):
    assert_problem(answer, 404, "CURSOR_NOT_FOUND")


def test_a_cursor_is_good_for_its_list_its_filters_and_its_order_alone(shop, cursor, api_client):
    shop.staff("staff@example.com")
    others: Any = ({}, {"sort": "price"}, {"sort": "title", "dir": "desc"}, {"sort": "title", "q": "b"})
    for query in (*others, {"sort": "title", "in_stock": "true"}, {"sort": "title", "author": "jane"}):
        assert_no_cursor(api_client().get(BOOKS, cursor=cursor, **query))
    for path in ("/api/v1/reports/demand", "/api/v1/admin/orders", "/api/v1/books/1/movements"):
        assert_no_cursor(api_client("staff@example.com").get(path, cursor=cursor))
    assert api_client().get(BOOKS, cursor=cursor, sort="title").status_code == 200


def test_the_ledger_of_one_book_takes_no_cursor_of_anothers(world):
    staff = world.scripts["staff"]
    cursor = staff.get("/api/v1/books/1/movements", size=1, cursor="").json["next_cursor"]
    assert_no_cursor(staff.get("/api/v1/books/2/movements", cursor=cursor))


@pytest.mark.parametrize("path", ["/api/v1/prebookings", "/api/v1/orders", "/api/v1/cart/items"])
def test_a_cursor_of_another_customers_list_is_none(world, api_client, path):
    world.shop.customer("ben@example.com")
    cursor = world.scripts["ada"].get(path, size=1, cursor="").json["next_cursor"]
    assert_no_cursor(api_client("ben@example.com").get(path, cursor=cursor))


def forged(keys):
    """A cursor whose signature somebody made up."""
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
def test_a_cursor_that_the_shop_did_not_give_is_none(books, api_client, text):
    assert_no_cursor(api_client().get(BOOKS, sort="title", cursor=text))


def test_a_cursor_that_is_damaged_on_the_way_is_none(cursor, api_client):
    reader = api_client()
    payload, signature = cursor.split(".")
    broken = [cursor[:-3], cursor[1:], cursor + "A" * 4, payload, f".{signature}", f"{payload}.", cursor.swapcase()]
    for text in (*broken, f"{payload}x.{signature}", f"{cursor}.{signature}"):
        assert_no_cursor(reader.get(BOOKS, sort="title", cursor=text))
    assert reader.send("GET", f"{BOOKS}?sort=title&cursor={cursor}&cursor={cursor}").status_code == 422


def test_an_empty_cursor_begins_a_list_and_the_last_page_of_any_ends_it(books, api_client):
    assert api_client().get(BOOKS, cursor="", size=100).json["next_cursor"] is None
    empty = api_client().get(BOOKS, cursor="", q="nothing of the kind").json
    assert (empty["items"], empty["next_cursor"], empty["total"], empty["page"]) == ([], None, 0, 1)


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize(("who", "path", "query"), LISTS)
def test_at_a_cursor_nothing_is_counted_and_nothing_passed_over(world, who, path, query):
    api_client = world.scripts[who]
    first = api_client.get(path, size=1, cursor="", **query).json["next_cursor"]
    if first is None:
        return
    with statements(world.app) as sent:
        api_client.get(path, size=1, cursor=first, **query)
    lists = [statement for statement in sent if "LIMIT" in statement]
    assert len(lists) == (0 if "cart" in path else 1)
    assert not [statement for statement in lists if "count(*) AS count_1" in statement]
    with statements(world.app) as counted:
        api_client.get(path, size=1, page=2, **query)
    assert len(sent) == len(counted) - (0 if "cart" in path else 1)


@contextmanager
def list_statement(app):
    """The statement that reads a page of books, and its parameters."""
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
    """How many rows a plan of PostgreSQL's took up, those that it threw away among them."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    below = [rows_read(child) for child in node.get("Plans", ())]
    return max([*below, (node["Actual Rows"] + removed) * node["Actual Loops"]])


@pytest.mark.prove
def test_a_page_deep_in_the_list_reads_no_more_rows_than_it_shows(app, shop, api_client):
    many_books(shop, 3_000)
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
