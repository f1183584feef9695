"""Races of deliveries, on both databases, each with its twin: the same race in a shop whose lock is taken out."""

import threading
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from bookshop.catalog.repository import BookRepository
from bookshop.inventory.repository import MovementRepository
from bookshop.inventory.service import Delivery
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.factories import isbn

INSERT = (PreBookRepository, "insert_if_out_of_stock")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")
LOCK_BOOKS = (BookRepository, "lock")
LOOK_AT_BOOK = (BookRepository, "get")
LOOK_AT_LEDGER = (MovementRepository, "list_by_note")

SHARE = {" FOR SHARE": ""}
UPDATE = {" FOR NO KEY UPDATE": ""}
EMMA, PERSUASION = isbn(1), isbn(2)

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def books(shop):
    return [shop.book("Emma", isbn=EMMA), shop.book("Persuasion", isbn=PERSUASION)]


@pytest.fixture
def deliver(app, books):
    """Receives three copies of each book, in this order: deliver("Delivery 1", EMMA, PERSUASION)."""

    def deliver(note, *isbns):
        delivery = Delivery(copies=dict.fromkeys(isbns, 3), note=note)
        return races.attempt(app, lambda: services.shelf().receive(delivery)[0])

    return deliver


def two_deliveries(deliver):
    """Two deliveries of the same books, each as it stands on its note."""
    return partial(deliver, "Delivery 1", EMMA, PERSUASION), partial(deliver, "Delivery 2", PERSUASION, EMMA)


@contextmanager
def locked_as_on_the_note():
    """The shop with a delivery as one would write it at first: each book is locked when its line comes.

    Two deliveries hold their first book before either goes on to its second.
    """
    find, lock, first_held = BookRepository.ids_by_isbn, BookRepository.lock, threading.Barrier(2)

    def find_in_order(self, isbns):
        found = find(self, isbns)
        return {code: found[code] for code in isbns}

    def lock_in_order(self, book_ids):
        first, *others = book_ids
        locked = list(lock(self, [first]))
        with suppress(threading.BrokenBarrierError):  # a refused thread tries once more alone
            first_held.wait(1)
        return locked + [book for book_id in others for book in lock(self, [book_id])]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BookRepository, "ids_by_isbn", find_in_order)
        patch.setattr(BookRepository, "lock", lock_in_order)
        yield


def stocks(shop):
    return shop.rows("SELECT stock_quantity FROM books ORDER BY id")


def test_two_deliveries_of_the_same_books_in_opposite_order_never_block_each_other(shop, deliver, caplog):
    with races.meeting((BookRepository, "ids_by_isbn"), 2):
        races.together(two_deliveries(deliver))
    assert ("given up" in caplog.text, stocks(shop)) == (False, [6, 6])
    assert shop.broken() == []


@on_postgresql
def test_twin_deliveries_that_lock_book_by_book_deadlock(deliver, caplog):
    """PostgreSQL only: SQLite has one writer, who waits for nobody."""
    with locked_as_on_the_note():
        races.together(two_deliveries(deliver))
    assert "DeadlockDetected" in caplog.text


def test_of_two_deliveries_at_once_no_copy_is_lost(shop, deliver):
    races.overtake(LOCK_BOOKS, *two_deliveries(deliver))
    assert stocks(shop) == [6, 6]
    assert shop.broken() == []


def test_twin_without_the_books_lock_copies_are_lost(app, shop, deliver):
    first, second = two_deliveries(deliver)
    with races.unlocked(app, UPDATE | races.ANY_STOCK):
        races.overtake(LOCK_BOOKS, first, second, races.LONG)
    assert stocks(shop) == [3, 3]
    assert "its movements add up to 6" in " ".join(shop.broken())


def confirmed_twice(deliver, patience):
    """A double click: the second overtakes the first when that has seen in the ledger that nothing came in yet."""
    click = partial(deliver, "Delivery 1", EMMA, PERSUASION)
    return races.overtake(LOOK_AT_LEDGER, click, click, patience)


def test_a_delivery_that_is_confirmed_twice_at_once_comes_in_once(shop, deliver):
    first, second = confirmed_twice(deliver, races.SHORT)
    assert ([line.repeated for line in first], [line.repeated for line in second]) == ([False] * 2, [True] * 2)
    assert (stocks(shop), shop.rows("SELECT count(*) FROM movements")) == ([3, 3], [2])


def test_twin_without_the_books_lock_a_delivery_comes_in_twice(app, shop, deliver):
    with races.unlocked(app, UPDATE | races.ANY_STOCK):
        confirmed_twice(deliver, races.LONG)
    assert shop.rows("SELECT count(*) FROM movements") == [4]


@pytest.fixture
def scene(shop, api_client, books, deliver):
    """A delivery, and a reservation of the first of its books."""
    shop.customer("ada@example.com")
    ada = api_client("ada@example.com")
    return {"deliver": partial(deliver, "Delivery 1", EMMA, PERSUASION), "reserve": lambda: ada.reserve(books[0])}


OVERTAKEN = [("deliver", NOTIFY, "reserve"), ("reserve", INSERT, "deliver")]


@pytest.mark.parametrize("race", OVERTAKEN, ids="{0[0]} overtaken by {0[2]}".format)
def test_nobody_waits_for_a_book_that_came_while_they_reserved_it(shop, scene, race):
    slow, point, fast = race
    races.overtake(point, scene[slow], scene[fast])
    assert (shop.broken(), stocks(shop)) == ([], [3, 3])


def test_twin_a_plain_look_at_the_stock_strands_the_customer(app, shop, scene):
    with races.unlocked(app, SHARE), races.plain_check():
        races.overtake(LOOK_AT_BOOK, scene["reserve"], scene["deliver"], races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


@on_postgresql
@pytest.mark.parametrize("race", OVERTAKEN, ids="{0[0]} overtaken by {0[2]}".format)
def test_twin_without_for_share_the_customer_is_stranded(app, shop, scene, race):
    """PostgreSQL only: SQLite has one writer, so there a single statement cannot be overtaken."""
    slow, point, fast = race
    with races.unlocked(app, SHARE):
        races.overtake(point, scene[slow], scene[fast], races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


def test_who_reserved_before_the_copies_were_seen_is_told(shop, scene):
    _reserved, lines = races.overtake(INSERT, scene["reserve"], scene["deliver"])
    assert [line.emails for line in lines] == [["ada@example.com"], []]
    assert shop.statuses(1) == ["notified"]
