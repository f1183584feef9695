"""Races of deliveries with the same new titles, on both databases, each with a twin that shows the fault."""

from functools import partial

import pytest

from bookshop.catalog.repository import BookRepository
from bookshop.inventory.service import Delivery
from bookshop.kit.exceptions import Conflict
from bookshop.shelf import new_titles
from bookshop.web import services
from tests.support import races
from tests.support.factories import isbn

EMMA, PERSUASION, SANDITON = isbn(1), isbn(2), isbn(3)
FIND, INSERT = (BookRepository, "ids_by_isbn"), (BookRepository, "insert")

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def deliver(app, shop):
    """Receive three copies each of a book that the shop has and of two new titles, in this order."""
    shop.book("Emma", isbn=EMMA)

    def deliver(note, *isbns):
        new = {code: {"title": code, "authors": "A", "price_cents": 1, "currency": "EUR"} for code in isbns}
        delivery = Delivery(copies=dict.fromkeys([EMMA, *isbns], 3), note=note, new=new)
        return races.result_or_code(app, lambda: services.shelf().receive(delivery)[0])

    return deliver


def by_two_people(deliver, first="Delivery 1", second="Delivery 2"):
    """Let two members of staff receive the same delivery note, each with the lines in another order."""
    return partial(deliver, first, PERSUASION, SANDITON), partial(deliver, second, SANDITON, PERSUASION)


def raise_next(errors):
    raise errors.pop()


def stocks(shop):
    return shop.rows("SELECT isbn, stock_quantity FROM books ORDER BY isbn")


@pytest.mark.parametrize("point", [FIND, INSERT], ids=["after looking", "after adding"])
def test_two_people_who_add_the_same_titles_lose_no_copy_and_make_no_book_twice(shop, deliver, point):
    first, second = races.interleave(point, *by_two_people(deliver))
    assert stocks(shop) == [(EMMA, 6), (PERSUASION, 6), (SANDITON, 6)]
    assert sorted(line.is_new for line in (*first, *second)) == [False] * 4 + [True] * 2
    assert shop.broken() == []


@pytest.mark.parametrize("point", [FIND, INSERT], ids=["after looking", "after adding"])
def test_a_delivery_with_new_titles_confirmed_twice_at_once_is_received_once(shop, deliver, point):
    first, second = races.interleave(point, *by_two_people(deliver, second="Delivery 1"))
    assert stocks(shop) == [(EMMA, 3), (PERSUASION, 3), (SANDITON, 3)]
    assert sorted(line.repeated for line in (*first, *second)) == [False] * 3 + [True] * 3
    assert shop.broken() == []


@on_postgresql
def test_without_a_second_look_one_of_them_receives_nothing(deliver, monkeypatch):
    """PostgreSQL only: SQLite has a single writer, so nobody can add a title meanwhile."""
    monkeypatch.setattr(new_titles, "TRIES", 1)
    first, _second = races.interleave(FIND, *by_two_people(deliver))
    assert first == "HTTP_503"


def test_only_a_taken_isbn_leads_to_a_second_look(shop, deliver, monkeypatch):
    """A conflict that nobody has thought of is reported, instead of being tried again for ever."""
    answers = [Conflict("Something else.", "STOCK_CHANGED")]
    monkeypatch.setattr(*INSERT, lambda _books, _rows: raise_next(answers))
    assert deliver("Delivery 1", PERSUASION) == "STOCK_CHANGED"
    assert (stocks(shop), answers) == ([(EMMA, 0)], [])


def test_new_titles_in_opposite_order_never_deadlock(shop, deliver, caplog):
    with races.barrier_at(FIND, 2):
        races.run_concurrently(by_two_people(deliver))
    assert ("transaction rolled back" in caplog.text, stocks(shop)) == (
        False, [(EMMA, 6), (PERSUASION, 6), (SANDITON, 6)]
    )  # fmt: skip


@on_postgresql
def test_a_title_without_an_isbn_is_adopted_by_one_of_two_deliveries(shop, deliver):
    """PostgreSQL only, as above."""
    shop.book(PERSUASION, authors="A")
    races.interleave(FIND, *by_two_people(deliver))
    assert (stocks(shop), shop.broken()) == ([(EMMA, 6), (PERSUASION, 6), (SANDITON, 6)], [])
