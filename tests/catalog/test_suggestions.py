"""Suggestions while somebody types a search: the same books in the same order on both databases."""

import json
import re

import pytest

from bookshop.extensions import db
from bookshop.web import services
from tests.catalog.test_catalog_search import LIBRARY
from tests.catalog.test_odd_searches import ODD_TEXTS
from tests.kit.test_cursors import list_statement
from tests.support.factories import isbn
from tests.support.races import insert_books

SUGGEST = "/api/v1/books/suggest"
RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"


@pytest.fixture
def titles(api_client):
    """The titles that are suggested for a text."""
    return lambda typed: [book["title"] for book in api_client().get(SUGGEST, q=typed).json["items"]]


@pytest.fixture
def library(shop):
    for title, authors, number in LIBRARY:
        shop.book(title, authors=authors, isbn=number or isbn())
    return shop


def test_a_suggestion_has_what_a_line_of_the_list_shows(shop, api_client):
    emma = shop.book("Emma", stock=2)
    answer = api_client().get(SUGGEST, q="emm")
    (suggested,) = answer.json["items"]
    cover = suggested.pop("cover")
    assert [suggested] == [
        {
            "title": "Emma",
            "authors": "Jane Austen",
            "address": f"/books/{emma}/emma",
            "in_stock": True,
            "price_cents": 950,
            "currency": "EUR",
        }
    ]
    assert api_client().client.get(cover).status_code == 200
    assert (answer.headers["Cache-Control"], "Set-Cookie" in answer.headers) == ("public, max-age=30", False)


@pytest.mark.usefixtures("library")
def test_titles_that_begin_with_the_text_come_before_others_and_books_by_author_last(titles):
    assert titles("it") == ["It", "It Ends with Us", "Italian Cooking", "Say It"]
    assert titles("hob") == ["The Hobbit"]
    assert titles("the hob") == ["The Hobbit"]
    assert titles("It\u00e0") == ["Italian Cooking", "Say It"]  # whose author is Itaru


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("typed", "title"),
    {
        "pott harr": "Harry Potter and the Philosopher's Stone",
        "J K Rowl": "Harry Potter and the Philosopher's Stone",
        "978-0-7475-3269": "Harry Potter and the Philosopher's Stone",
        "marquez": "Cien años de soledad",
        "\u0432\u043e\u0439": "Война и мир",
        "\u4e09": "三体",
    }.items(),
)
def test_words_of_any_part_of_a_book_suggest_it(titles, typed, title):
    assert titles(typed) == [title]


def test_a_right_to_left_title_is_suggested_as_it_is(shop, titles):
    shop.book(RIGHT_TO_LEFT)
    assert titles(RIGHT_TO_LEFT[:3]) == [RIGHT_TO_LEFT]


def test_a_letter_or_nothing_suggests_no_books(shop, titles):
    shop.book("Emma", authors="E")
    assert [titles(typed) for typed in ("", " ", "e", "E.", "%", "*")] == [[]] * 6
    assert titles("emma e") == ["Emma"]


def test_eight_books_are_suggested_at_most_in_stock_before_out_of_stock(shop, titles):
    for number in range(12):
        shop.book(f"Volume {number:02}", authors="Jane Austen", stock=number % 2)
    assert titles("vol") == [f"Volume {number:02}" for number in range(8)]
    assert titles("austen") == [f"Volume {number:02}" for number in (1, 3, 5, 7, 9, 11, 0, 2)]


def test_a_withdrawn_book_is_not_suggested(shop, titles):
    shop.withdraw(shop.book("Emma"))
    assert (titles("emma"), titles("austen")) == ([], [])


def test_unusual_text_suggests_nothing_but_never_fails(shop, api_client):
    shop.book("Emma")
    with shop.app.app_context():
        found = {typed: len(services.catalog().suggest(typed)) for typed in ODD_TEXTS}
    assert set(found.values()) <= {0, 1}
    for typed in ("em\0ma", "%' OR 1=1 --", "<script>alert(1)</script>", "x" * 200, "a " * 100):
        assert api_client().get(SUGGEST, q=typed).json == {"items": []} or typed == "em\0ma"
    assert json.dumps(api_client().get(SUGGEST, q="emma").json).count("Emma") == 1


@pytest.mark.prove
def test_in_a_large_catalogue_suggestions_come_from_indexes(shop, app, api_client):
    insert_books(shop, 3_000)
    shop.execute("ANALYZE")
    with list_statement(app) as found:
        assert len(api_client().get(SUGGEST, q="volume").json["items"]) == 8
        assert len(found) == 1  # enough titles begin with the text
        api_client().get(SUGGEST, q="zzz")
    plans = "\n".join(plan_of(app, *statement) for statement in found)
    assert not re.search(r"Seq Scan|SCAN books$", plans, re.MULTILINE), plans
    assert "ix_books_title_key_id" in plans


def plan_of(app, statement, parameters):
    """Return the database's plan for a statement; PostgreSQL would read a table of this size without its indexes."""
    with app.app_context(), db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            explain = "EXPLAIN QUERY PLAN"
        else:
            explain = "EXPLAIN"
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters))
