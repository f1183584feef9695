"""Races of deliveries, on both databases, each with a negative control without the lock."""

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
READ_BOOK = (BookRepository, "get")
READ_LEDGER = (MovementRepository, "list_by_note")

SHARE = {" FOR SHARE": ""}
UPDATE = {" FOR NO KEY UPDATE": ""}
EMMA, PERSUASION = isbn(1), isbn(2)

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def books(shop):
    return [shop.book("Emma", isbn=EMMA), shop.book("Persuasion", isbn=PERSUASION)]


@pytest.fixture
def deliver(app, books):
    """Receive three copies of each book, in this order: deliver("Delivery 1", EMMA, PERSUASION)."""

    def deliver(note, *isbns):
        delivery = Delivery(copies=dict.fromkeys(isbns, 3), note=note)
        return races.result_or_code(app, lambda: services.shelf().receive(delivery)[0])

    return deliver


def two_deliveries(deliver):
    """Receive two deliveries of the same books at once, each in its own order."""
    return partial(deliver, "Delivery 1", EMMA, PERSUASION), partial(deliver, "Delivery 2", PERSUASION, EMMA)


@contextmanager
def locking_in_line_order():
    """Run the shop with a naive delivery: each book is locked when its line is processed.

    Both deliveries lock their first book before either continues to its second.
    """
    find, lock, first_held = BookRepository.ids_by_isbn, BookRepository.lock, threading.Barrier(2)

    def find_in_order(self, isbns):
        found = find(self, isbns)
        return {code: found[code] for code in isbns}

    def lock_in_order(self, book_ids):
        first, *others = book_ids
        locked = list(lock(self, [first]))
        with suppress(threading.BrokenBarrierError):  # a rejected thread retries alone
            first_held.wait(1)
        return locked + [book for book_id in others for book in lock(self, [book_id])]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BookRepository, "ids_by_isbn", find_in_order)
        patch.setattr(BookRepository, "lock", lock_in_order)
        yield


def stocks(shop):
    return shop.rows("SELECT stock_quantity FROM books ORDER BY id")


def test_two_deliveries_in_opposite_order_never_deadlock(shop, deliver, caplog):
    with races.barrier_at((BookRepository, "ids_by_isbn"), 2):
        races.run_concurrently(two_deliveries(deliver))
    assert ("transaction rolled back" in caplog.text, stocks(shop)) == (False, [6, 6])
    assert shop.broken() == []


@on_postgresql
def test_deliveries_that_lock_book_by_book_deadlock(deliver, caplog):
    """PostgreSQL only: SQLite has a single writer, which never waits."""
    with locking_in_line_order():
        races.run_concurrently(two_deliveries(deliver))
    assert "DeadlockDetected" in caplog.text


def test_two_concurrent_deliveries_lose_no_copy(shop, deliver):
    races.interleave(LOCK_BOOKS, *two_deliveries(deliver))
    assert stocks(shop) == [6, 6]
    assert shop.broken() == []


def test_without_the_books_lock_copies_are_lost(app, shop, deliver):
    first, second = two_deliveries(deliver)
    with races.without_lock(app, UPDATE | races.ANY_STOCK):
        races.interleave(LOCK_BOOKS, first, second, races.LONG)
    assert stocks(shop) == [3, 3]
    assert "its movements add up to 6" in " ".join(shop.broken())


def confirmed_twice(deliver, patience):
    """Double-click: the second request overtakes the first after it found no such delivery in the ledger."""
    click = partial(deliver, "Delivery 1", EMMA, PERSUASION)
    return races.interleave(READ_LEDGER, click, click, patience)


def test_a_delivery_confirmed_twice_at_once_is_received_once(shop, deliver):
    first, second = confirmed_twice(deliver, races.SHORT)
    assert ([line.repeated for line in first], [line.repeated for line in second]) == ([False] * 2, [True] * 2)
    assert (stocks(shop), shop.rows("SELECT count(*) FROM movements")) == ([3, 3], [2])


def test_without_the_books_lock_a_delivery_is_received_twice(app, shop, deliver):
    with races.without_lock(app, UPDATE | races.ANY_STOCK):
        confirmed_twice(deliver, races.LONG)
    assert shop.rows("SELECT count(*) FROM movements") == [4]


@pytest.fixture
def racers(shop, api_client, books, deliver):
    """A delivery, and a reservation of its first book."""
    shop.customer("ada@example.com")
    ada = api_client("ada@example.com")
    return {"deliver": partial(deliver, "Delivery 1", EMMA, PERSUASION), "reserve": lambda: ada.reserve(books[0])}


OVERTAKEN = [("deliver", NOTIFY, "reserve"), ("reserve", INSERT, "deliver")]


@pytest.mark.parametrize("race", OVERTAKEN, ids="{0[0]} overtaken by {0[2]}".format)
def test_no_reservation_is_left_waiting_for_a_book_restocked_meanwhile(shop, racers, race):
    slow, point, fast = race
    races.interleave(point, racers[slow], racers[fast])
    assert (shop.broken(), stocks(shop)) == ([], [3, 3])


def test_a_naive_stock_check_leaves_a_customer_waiting_for_a_book_in_stock(app, shop, racers):
    with races.without_lock(app, SHARE), races.naive_reservation():
        races.interleave(READ_BOOK, racers["reserve"], racers["deliver"], races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


@on_postgresql
@pytest.mark.parametrize("race", OVERTAKEN, ids="{0[0]} overtaken by {0[2]}".format)
def test_without_for_share_a_restock_leaves_the_customer_waiting(app, shop, racers, race):
    """PostgreSQL only: SQLite has a single writer, so no statement can be overtaken."""
    slow, point, fast = race
    with races.without_lock(app, SHARE):
        races.interleave(point, racers[slow], racers[fast], races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


def test_a_customer_who_reserved_before_the_restock_was_visible_is_notified(shop, racers):
    _reserved, lines = races.interleave(INSERT, racers["reserve"], racers["deliver"])
    assert [line.emails for line in lines] == [["ada@example.com"], []]
    assert shop.statuses(1) == ["notified"]
