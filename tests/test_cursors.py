"""Reading on by cursor: what the pages hold, in the same order, whatever happens meanwhile."""

import re
from itertools import count, pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.factories import isbn
from tests.stand import assert_problem
from tests.test_routes import statements

ADA, STAFF = "ada@example.com", "staff@example.com"
LINK = re.compile(r'<([^>]+)>; rel="next"')
BOOKS = [f"sort={sort}&dir={way}" for sort in ("title", "price", "published", "newest") for way in ("asc", "desc")]
BOOKS += ["", "q=emma", "q=emma+austen&sort=price", "author=austen&sort=relevance", "in_stock=false", "language=en"]
BOOKS += ["min_price_cents=900&sort=published&dir=desc"]
LISTS = [
    *[("staff", f"/api/v1/books?{query}") for query in BOOKS],
    ("ada", "/api/v1/prebookings"),
    ("ada", "/api/v1/prebookings?status=waiting"),
    ("ada", "/api/v1/cart/items"),
    ("ada", "/api/v1/orders"),
    ("staff", "/api/v1/admin/orders?status=placed"),
    ("staff", "/api/v1/admin/orders?q=ada"),
    ("staff", "/api/v1/books/1/movements"),
    ("staff", "/api/v1/books/1/prebookings"),
    ("staff", "/api/v1/reports/demand"),
    ("staff", "/api/v1/webhooks"),
]


@pytest.fixture
def scripts(shop, script, monkeypatch):
    """Programs of Ada and of staff; every list has some rows, many of them alike in what it is ordered by."""
    ada, staff = shop.customer(ADA), shop.staff(STAFF)
    ben = shop.customer("ben@example.com")
    years = (1815, None, 1815, 1817, None, -700, 1817, None)
    for number, year in enumerate(years):
        title, price = ("Emma", "Emma", "Persuasion")[number % 3], (950, 800, 950)[number % 3]
        shop.book(title, isbn=isbn(number), price_cents=price, published_year=year, language="en", stock=number % 2)
    for book_id in (1, 3, 5, 7):
        shop.reserve(ada, book_id)
    shop.reserve(ben, 1)
    shop.cancel(ada, 1)
    for number in range(2, 5):
        shop.set_stock(1, number)
    for book_id in (2, 4, 6):
        shop.set_stock(book_id, 5)
        shop.order(ada, {book_id: 1})
    shop.fill_cart(ada, {2: 1, 4: 2, 6: 1})
    for kinds in ("*", "order.*", "stock.changed"):
        shop.execute(
            """INSERT INTO webhooks (url, kinds, secret, user_id, position, misses, created_at)
               VALUES ('https://example.com', :kinds, 'whsec_', :user, 0, 0, '2026-01-01 00:00:00.000000')""",
            kinds=kinds,
            user=staff,
        )
    return {"ada": script(ADA), "staff": script(STAFF), "nobody": script()}


def pages(script, path, size):
    """The items of a list, page by page by number."""
    found: list[Any] = []
    for number in count(1):
        items = script.client.get(with_(path, page=number, size=size), headers=script.headers).json["items"]
        if not items:
            break
        found += items
    return found


def with_(path, **more):
    given = "&".join(f"{name}={value}" for name, value in more.items())
    return f"{path}{'&' if '?' in path else '?'}{given}"


def read_on(script, path, size, between=lambda: None):
    """The items of a list by cursor, and its answers; `between` happens before each page but the first."""
    answers: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        answers.append(script.client.get(with_(path, cursor=cursor, size=size), headers=script.headers).json)
        assert len(answers) < 50
        cursor = answers[-1]["next_cursor"]
        if cursor is not None:
            between()
    return [item for answer in answers for item in answer["items"]], answers


@pytest.mark.parametrize(("who", "path"), LISTS)
def test_a_list_read_by_cursor_holds_what_its_pages_hold(scripts, who, path):
    whole = pages(scripts[who], path, 100)
    assert len(whole) > 1
    for size in (1, 2, 3, len(whole)):
        items, answers = read_on(scripts[who], path, size)
        assert items == whole, size
        assert [answer["page"] for answer in answers] == list(range(1, len(answers) + 1))
        assert {answer["total"] for answer in answers} == {len(whole)}
        assert all(len(answer["items"]) == size for answer in answers[:-1])


def test_a_page_by_number_has_the_members_that_it_always_had_and_a_link_to_the_next(scripts):
    answer = scripts["ada"].get("/api/v1/prebookings", page=2, size=1)
    assert list(answer.json) == ["items", "total", "page", "size"]
    way = LINK.findall(answer.headers["Link"])[0]
    assert urlsplit(way).path == "/api/v1/prebookings"
    assert parse_qs(urlsplit(way).query)["size"] == ["1"]
    assert (
        scripts["ada"].client.get(way, headers=scripts["ada"].headers).json["items"]
        == (scripts["ada"].get("/api/v1/prebookings", page=3, size=1).json["items"])
    )
    assert "Link" not in scripts["ada"].get("/api/v1/prebookings", page=4, size=1).headers


def test_what_comes_and_goes_meanwhile_neither_hides_nor_repeats_the_others(shop, scripts):
    path, added = "/api/v1/books?sort=title", []

    def happen():
        added.append(shop.book("Aaa"))
        shop.withdraw(added[-1])
        added.append(shop.book("Emma"))

    before = [item["id"] for item in pages(scripts["nobody"], path, 100)]
    read = [item["id"] for item in read_on(scripts["nobody"], path, 2, happen)[0]]
    assert len(read) == len(set(read))
    assert [book_id for book_id in read if book_id not in added] == before


def test_the_row_at_the_end_of_a_page_may_go_meanwhile(shop, scripts):
    first = scripts["nobody"].get("/api/v1/books", cursor="", size=2, sort="title").json
    rest = [item["id"] for item in pages(scripts["nobody"], "/api/v1/books?sort=title", 100)][2:]
    shop.withdraw(first["items"][-1]["id"])
    read = scripts["nobody"].get("/api/v1/books", cursor=first["next_cursor"], size=100, sort="title").json["items"]
    assert [item["id"] for item in read] == rest


def cursor_of(script, path):
    return script.client.get(with_(path, cursor="", size=1), headers=script.headers).json["next_cursor"]


def test_a_cursor_is_one_of_its_list_its_filters_and_its_order(scripts):
    cursor = cursor_of(scripts["nobody"], "/api/v1/books?sort=title")
    for path in ("/api/v1/books?sort=price", "/api/v1/books", "/api/v1/books?sort=title&q=emma"):
        assert_problem(scripts["nobody"].client.get(with_(path, cursor=cursor)), 404, "CURSOR_NOT_FOUND")
    ada = scripts["ada"]
    assert_problem(ada.get("/api/v1/orders", cursor=cursor_of(ada, "/api/v1/prebookings")), 404, "CURSOR_NOT_FOUND")


def test_a_cursor_of_somebody_else_shows_nothing_of_theirs(shop, scripts, script):
    shop.reserve(shop.rows("SELECT id FROM users WHERE email LIKE 'ben%'")[0], 5)
    cursor = cursor_of(scripts["ada"], "/api/v1/prebookings")
    found = script("ben@example.com").get("/api/v1/prebookings", cursor=cursor).json["items"]
    assert {item["book_id"] for item in found} <= {1, 5}


@pytest.mark.parametrize("odd", ["x", "a.b", ".", "WyJhIl0.x", "%00", "é", "[1,2]", "null", "0", "x" * 5000])
def test_what_is_no_cursor_is_refused(scripts, odd):
    assert_problem(scripts["nobody"].get("/api/v1/books", cursor=odd), 404, "CURSOR_NOT_FOUND")


def test_a_cursor_that_was_changed_is_refused(scripts):
    good = cursor_of(scripts["nobody"], "/api/v1/books")
    for bad in (good[:-1], good + "A", good.swapcase(), "." + good, good.replace(good[3], "A", 1)):
        if bad != good:
            assert_problem(scripts["nobody"].get("/api/v1/books", cursor=bad), 404, "CURSOR_NOT_FOUND")


def test_another_size_may_be_asked_for_on_the_way(scripts):
    cursor = cursor_of(scripts["nobody"], "/api/v1/books?sort=title")
    found = scripts["nobody"].get("/api/v1/books", cursor=cursor, sort="title", size=100).json
    assert (len(found["items"]), found["next_cursor"]) == (found["total"] - 1, None)


def test_reading_on_counts_nothing_and_passes_over_nothing(app, scripts):
    cursor = cursor_of(scripts["nobody"], "/api/v1/books?sort=title")
    with statements(app) as sent:
        scripts["nobody"].get("/api/v1/books", cursor=cursor, sort="title", size=2)
    assert len([statement for statement in sent if "FROM books" in statement]) == 1
    assert not re.search(r"count\(\*\)|OFFSET [1-9]", " ".join(sent))


@pytest.mark.parametrize("sort", ["title", "price", "newest"])
def test_reading_on_begins_in_the_index_where_the_last_page_ended(app, shop, scripts, sort):
    with statements(app) as sent:
        cursor = cursor_of(scripts["nobody"], f"/api/v1/books?sort={sort}")
        scripts["nobody"].get("/api/v1/books", cursor=cursor, sort=sort)
    conditions = {"title": "(books.title_key, books.id) >", "price": "(books.price_cents, books.id) >"}
    assert conditions.get(sort, "(books.id) <") in " ".join(sent[-1].split())
    indexes = (
        shop.rows("SELECT indexname FROM pg_indexes")
        if "%(" in sent[-1]
        else shop.rows("SELECT name FROM sqlite_master WHERE type = 'index'")
    )
    assert {"ix_books_title_key_id", "ix_books_price_cents_id"} <= set(indexes)


def test_ties_are_in_one_order_everywhere(scripts):
    for query in BOOKS[:8]:
        ids = [item["id"] for item in pages(scripts["nobody"], f"/api/v1/books?{query}", 100)]
        assert len(ids) == len(set(ids)) == 8
    titles = [item["title"] for item in pages(scripts["nobody"], "/api/v1/books?sort=title", 1)]
    assert all(before <= after for before, after in pairwise(titles))
