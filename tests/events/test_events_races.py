"""The feed during concurrent writes: each event once, in one stable order, even with late commits."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.checkout.service import Checkout
from bookshop.events import repository
from bookshop.events.repository import EventRepository
from bookshop.extensions import db
from bookshop.inventory.service import BookService, StockChange
from bookshop.kit.exceptions import BookshopError
from bookshop.orders.models import CANCELLED, COLLECTED, READY
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.feed.test_feed import EVENTS, STAFF, read
from tests.support import races
from tests.support.clients import ApiClient

WRITERS, BOOKS, LATEST = 16, 6, 0.03
rounds = pytest.mark.parametrize("number", [4, pytest.param(60, marks=pytest.mark.prove)])
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has a single writer


class Reader:
    """A script that polls for new events."""

    def __init__(self, app):
        self.api_client, self.seen, self.ends = ApiClient(app, STAFF), [], threading.Event()

    def poll(self):
        """Poll until told to stop, and then once more."""
        after = 0
        while True:
            last_time = self.ends.is_set()
            found = read(self.api_client, after)
            self.seen += found
            after = found[-1]["id"] if found else after
            if last_time:
                return


def change_stock(chance, _customer, book_id):
    services.shelf().update_stock(StockChange(book_id=book_id, quantity=chance.choice([0, 0, 1, 3])))


def reserve(_chance, customer, book_id):
    services.prebookings().reserve(customer, book_id)


def cancel(chance, customer, _book_id):
    waiting = services.repository(PreBookRepository).list_by_user(customer, "waiting", 1, 20).items
    services.prebookings().cancel(customer, chance.choice(waiting).id if waiting else 1)


def order(_chance, customer, book_id):
    services.cart().add(customer, book_id, 1)
    services.checkout().place(customer, Checkout(name="Ada Lovelace"))


def change_order(chance, customer, _book_id):
    orders = services.repository(OrderRepository).list_by_user(customer, None, 1, 20).items
    if orders:
        services.checkout().change(chance.choice(orders).id, chance.choice([READY, COLLECTED, CANCELLED]), customer)


THINGS = (change_stock, change_stock, reserve, reserve, cancel, order, change_order)


def write(app, books, customers, number, seed):
    """Run actions one after the other, each committed after a delay that opens the race."""
    chance = random.Random(seed)
    for _round in range(number):
        thing = partial(chance.choice(THINGS), chance, chance.choice(customers), chance.choice(books))
        delay = chance.uniform(0, LATEST)

        def late(thing=thing, delay=delay):
            thing()
            time.sleep(delay)

        with app.app_context():
            try:
                services.commit(late)
            except BookshopError:
                db.session.remove()


def run(app, shop, number):
    """Let all write while one reads; return what was read, and the feed afterwards."""
    shop.staff(STAFF)
    books, customers = [shop.book(stock=1) for _book in range(BOOKS)], shop.customers(4)
    reader = Reader(app)
    reading = threading.Thread(target=reader.poll)
    reading.start()
    races.run_concurrently([partial(write, app, books, customers, number, seed) for seed in range(WRITERS)])
    reader.ends.set()
    reading.join(races.LONG)
    return reader.seen, read(reader.api_client)


def counts(shop):
    """Count the expected events of each kind from the shop's tables."""
    expected_counts = {
        "stock.changed": "movements",
        "book.restocked": "movements WHERE quantity_after = delta",
        "prebooking.created": "prebookings",
        "prebooking.cancelled": "prebookings WHERE status = 'cancelled'",
        "prebooking.notified": "prebookings WHERE status = 'notified'",
        "order.placed": "orders",
        "order.ready": "orders WHERE ready_at IS NOT NULL",
        "order.collected": "orders WHERE status = 'collected'",
        "order.cancelled": "orders WHERE status = 'cancelled'",
    }
    found = {kind: shop.rows(f"SELECT count(*) FROM {what}")[0] for kind, what in expected_counts.items()}
    return {kind: number for kind, number in found.items() if number}


def out_of_order(events):
    """Return stock changes that do not follow from the book's previous one in the feed."""
    stocks: Counter[int] = Counter()
    wrong = []
    for one in events:
        if one["kind"] == "stock.changed":
            data = one["data"]
            if stocks[data["book_id"]] + data["delta"] != data["stock_quantity"]:
                wrong.append(one)
            stocks[data["book_id"]] = data["stock_quantity"]
    return wrong


@rounds
def test_a_poller_sees_every_event_once_in_a_stable_order(app, shop, number):
    seen, afterwards = run(app, shop, number)
    assert seen == afterwards
    assert [one["id"] for one in seen] == [*range(1, len(seen) + 1)]
    assert Counter(one["kind"] for one in seen) == counts(shop)
    assert (out_of_order(seen), shop.broken()) == ([], [])
    print(f"{len(seen)} events")


@contextmanager
def positions_at_insertion():
    """Run the shop with a naive feed: an event's position is its id."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("insert", "insert_each"):
            patch.setattr(EventRepository, name, _with_places(getattr(EventRepository, name)))
        yield


def _with_places(insert):
    def inserted(self, *assigned):
        insert(self, *assigned)
        self.session.connection().exec_driver_sql("UPDATE events SET position = id WHERE position IS NULL")

    return inserted


@on_postgresql
def test_a_feed_ordered_by_id_loses_late_commits(app, shop):
    with positions_at_insertion():
        seen, afterwards = run(app, shop, 12)
    missed = {one["id"] for one in afterwards} - {one["id"] for one in seen}
    assert missed
    print(f"{len(missed)} of {len(afterwards)} events were never seen")


def late_and_early(app, shop):
    """Return what is read before and after a late commit of a stock change; another is made and read meanwhile."""
    shop.staff(STAFF)
    api_client, late, early = ApiClient(app, STAFF), shop.book(), shop.book()
    with app.app_context():
        engine = db.engine
    with Session(engine) as session:
        BookService(session).update_stock(StockChange(book_id=late, quantity=1))
        shop.set_stock(early, 1)
        first = api_client.get(EVENTS).get_json()
        session.commit()
    second = api_client.get(EVENTS, after=first["next"]).get_json()
    books = [[one["data"]["book_id"] for one in page["items"]] for page in (first, second)]
    return books, (late, early)


@on_postgresql
def test_a_late_commit_blocks_nobody_and_is_not_skipped(app, shop):
    books, (late, early) = late_and_early(app, shop)
    assert books == [[early, early], [late, late]]


@on_postgresql
def test_positions_assigned_at_insertion_skip_the_late_commit(app, shop):
    with positions_at_insertion():
        books, (_late, early) = late_and_early(app, shop)
    assert books == [[early, early], []]


def assigned_by_two(app, shop):
    """Let two readers assign positions at once; the second sees an event that was committed late.

    Return whether the first one's positions are unchanged, and what the second one gets.
    """
    late, early = shop.book(), shop.book()
    with app.app_context():
        engine = db.engine

    def give():
        with Session(engine) as second:
            EventRepository(second).assign_positions()
            second.commit()

    with Session(engine) as slow, Session(engine) as first, ThreadPoolExecutor(1) as pool:
        BookService(slow).update_stock(StockChange(book_id=late, quantity=1))
        shop.set_stock(early, 1)
        EventRepository(first).assign_positions()
        assigned = first.execute(text("SELECT id, position FROM events WHERE position IS NOT NULL ORDER BY id")).all()
        slow.commit()
        with races.waiting_for_lock(engine) as is_blocked:
            giving = pool.submit(give)
            races.wait_for(giving.done, is_blocked, races.SHORT)
        first.commit()
        error = giving.exception()
    stable = set(shop.rows("SELECT id, position FROM events")) >= {tuple(row) for row in assigned}
    return stable, error


@on_postgresql
def test_two_readers_assign_positions_one_after_the_other(app, shop):
    assert assigned_by_two(app, shop) == (True, None)
    assert shop.rows("SELECT position FROM events ORDER BY id") == [3, 4, 1, 2]


@on_postgresql
def test_without_the_lock_positions_are_assigned_twice_or_lost(app, shop, monkeypatch):
    monkeypatch.setattr(repository, "POSITIONS_LOCK", text("SELECT 1"))
    stable, error = assigned_by_two(app, shop)
    assert isinstance(error, IntegrityError) or not stable  # in whatever order the plan returns rows


def test_concurrent_readers_assign_each_position_once(app, shop):
    shop.staff(STAFF)
    emma = shop.book()
    for quantity in range(1, 40):
        shop.set_stock(emma, quantity)
    feeds = races.run_concurrently([partial(read, ApiClient(app, STAFF)) for _reader in range(8)])
    assert all([one["id"] for one in feed] == [*range(1, 41)] for feed in feeds)
