"""The catalogue's filters, sort orders and pages, compared with a plain Python sort."""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import insert, update

from bookshop.catalog.models import Book
from bookshop.extensions import db
from bookshop.kit.text import fold
from bookshop.web import services
from tests.support.clients import ApiClient

LINKS = re.compile(r'<a href="/books/(\d+)/[^"]*">\s*<img')
Row = dict[str, Any]

TITLES = ["Emma", "emma", "Émile", "1984", "A Room", "Zorba", "It"]
SORTS: dict[str, Callable[[Row], Any]] = {
    "title": lambda book: fold(book["title"]),
    "price": lambda book: book["price_cents"],
    "newest": lambda book: book["id"],
}


def library() -> list[Row]:
    """Return 50 books that differ in everything to filter and sort by, with many ties."""
    return [
        {
            "id": number,
            "title": TITLES[number % 7],
            "authors": ("Jane Austen", "Émile Zola", "Leo Tolstoy, Jane Doe")[number % 3],
            "language": ("en", "EN", "fr", None)[number % 4],
            "price_cents": 500 + number % 6 * 250,
            "published_year": (None, -700, 1815, 1997, 1815)[number % 5],
            "stock_quantity": number % 2 * 3,
        }
        for number in range(1, 51)
    ]


@pytest.fixture
def books(app):
    """The library, inserted directly, including its ledger."""
    rows = library()
    with app.app_context():
        ids = services.commit(lambda: services.catalog().create_all([_new(row) for row in rows]))
        assert ids == [row["id"] for row in rows]
        for row in rows:
            db.session.execute(update(Book).where(Book.id == row["id"]).values(stock_quantity=row["stock_quantity"]))
        db.session.execute(
            insert(Book.metadata.tables["movements"]),
            [
                {"book_id": row["id"], "delta": 3, "quantity_after": 3, "reason": "received"}
                for row in rows
                if row["stock_quantity"]
            ],
        )
        db.session.commit()
    return rows


def _new(row: Row) -> Row:
    return {**{name: value for name, value in row.items() if name != "stock_quantity"}, "currency": "EUR"}


def ids_of(books: Iterable[Row]) -> list[int]:
    return [book["id"] for book in books]


def all_pages(api_client: ApiClient, **query: Any) -> list[int]:
    """Return the ids on all pages of a list, page by page."""
    first: Any = api_client.get("/api/v1/books", **query).json
    pages = -(-first["total"] // first["size"])
    rest: list[Any] = [api_client.get("/api/v1/books", page=page, **query).json for page in range(2, pages + 1)]
    return [book["id"] for page in (first, *rest) for book in page["items"]]


FILTERS: dict[str, list[tuple[str, Callable[[Row], bool]]]] = {
    "language": [
        ("en", lambda book: (book["language"] or "").lower() == "en"),
        ("EN", lambda book: (book["language"] or "").lower() == "en"),
        ("Fr", lambda book: book["language"] == "fr"),
        ("xx", lambda book: False),
    ],
    "in_stock": [
        ("true", lambda book: book["stock_quantity"] > 0),
        ("false", lambda book: book["stock_quantity"] == 0),
    ],
    "min_price_cents": [("1000", lambda book: book["price_cents"] >= 1000)],
    "max_price_cents": [("1250", lambda book: book["price_cents"] <= 1250)],
    "author": [
        ("aust jane", lambda book: book["authors"] == "Jane Austen"),
        ("JANE", lambda book: "Jane" in book["authors"]),
        ("emile", lambda book: book["authors"] == "Émile Zola"),
        ("room", lambda book: False),
    ],
    "q": [("emma", lambda book: fold(book["title"]) == "emma")],
}
SINGLE = [(name, value, keeps) for name, choices in FILTERS.items() for value, keeps in choices]


@pytest.mark.parametrize(("name", "value", "keeps"), SINGLE, ids=[f"{name}={value}" for name, value, _ in SINGLE])
def test_a_filter_keeps_only_matching_books(books, api_client, name, value, keeps):
    assert set(all_pages(api_client(), **{name: value}, size=100)) == set(ids_of(filter(keeps, books)))


def test_filters_combine_in_every_way(books, api_client):
    asker = api_client()
    first = {name: choices[0] for name, choices in FILTERS.items()}
    for names in itertools.chain.from_iterable(itertools.combinations(first, count) for count in range(2, 7)):
        matching = [book["id"] for book in books if all(first[name][1](book) for name in names)]
        query = {name: first[name][0] for name in names}
        assert sorted(all_pages(asker, **query, size=100)) == matching, query


def test_pages_filter_like_json_with_decimal_prices(books, web_client):
    asked = {"language": "EN", "in_stock": "true", "min_price": "7,50", "max_price": "15.00", "author": "austen"}
    matching = [
        book
        for book in books
        if book["authors"] == "Jane Austen"
        and (book["language"] or "").lower() == "en"
        and book["stock_quantity"]
        and 750 <= book["price_cents"] <= 1500
    ]
    found = LINKS.findall(web_client().get("/books", query_string=asked).text)
    assert matching
    assert sorted(map(int, found)) == ids_of(matching)


@pytest.mark.parametrize("direction", [None, "asc", "desc"])
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("size", [7, 100])
def test_sorting_is_total_in_both_directions_and_stable_across_pages(books, api_client, sort, direction, size):
    descending = direction == "desc" or (direction is None and sort == "newest")
    expected = sorted(books, key=lambda book: (SORTS[sort](book), book["id"]), reverse=descending)
    query = {"sort": sort, "size": size} | ({"dir": direction} if direction else {})
    assert all_pages(api_client(), **query) == ids_of(expected)


@pytest.mark.parametrize("direction", [None, "asc", "desc"])
def test_books_without_a_year_come_last_in_both_directions(books, api_client, direction):
    dated = [book for book in books if book["published_year"] is not None]
    descending = direction != "asc"
    expected = sorted(dated, key=lambda book: (book["published_year"], book["id"]), reverse=descending)
    found = all_pages(api_client(), sort="published", size=7, **({"dir": direction} if direction else {}))
    assert found[: len(dated)] == ids_of(expected)
    assert set(found[len(dated) :]) == set(ids_of(books)) - set(ids_of(dated))


@pytest.mark.parametrize("sort", [{}, {"sort": "relevance"}])
def test_without_a_search_books_are_listed_by_title(books, api_client, sort):
    by_title = sorted(books, key=lambda book: (fold(book["title"]), book["id"]))
    assert all_pages(api_client(), size=7, **sort) == ids_of(by_title)


@pytest.mark.parametrize("sort", ["relevance", *SORTS, "published"])
def test_pages_and_json_list_the_same_books_in_the_same_order(books, api_client, web_client, sort):
    by_page = LINKS.findall(web_client().get("/books", query_string={"sort": sort, "page": 2}).text)
    by_json = api_client().get("/api/v1/books", sort=sort, page=2, size=24).json["items"]
    assert [int(book_id) for book_id in by_page] == ids_of(by_json)
    assert len(by_json) == 24


@pytest.mark.parametrize(("page", "size", "length"), [(1, 1, 1), (50, 1, 1), (1, 100, 50), (3, 20, 10), (3, 25, 0)])
def test_a_page_has_the_requested_size_and_the_total(books, api_client, page, size, length):
    found = api_client().get("/api/v1/books", page=page, size=size).json
    assert len(found["items"]) == length
    assert {name: found[name] for name in ("total", "page", "size")} == {"total": 50, "page": page, "size": size}


def test_a_page_beyond_the_end_is_empty_with_the_right_total(books, api_client):
    found = api_client().get("/api/v1/books", page=2**31 - 1, size=100, q="emma").json
    assert found == {"items": [], "total": 15, "page": 2**31 - 1, "size": 100}


@pytest.mark.parametrize(
    "query",
    [
        {"page": 0},
        {"page": -1},
        {"page": "x"},
        {"page": 2**31},
        {"size": 0},
        {"size": 101},
        {"sort": "best"},
        {"dir": "up"},
        {"in_stock": "maybe"},
        {"min_price_cents": -1},
        {"max_price_cents": "1.5"},
        {"unknown": 1},
    ],
)
def test_invalid_list_parameters_are_refused_in_json_and_corrected_on_the_page(api_client, web_client, query):
    assert api_client().get("/api/v1/books", **query).json["code"] == "VALIDATION_ERROR"
    assert web_client().get("/books", query_string=query).status_code == 200
