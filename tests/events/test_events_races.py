"""The feed while everybody writes: each event once, in one order that never changes, whoever commits late."""

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
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite's write one at a time


class Reader:
    """A script that asks for what is new, again and again."""

    def __init__(self, app):
        self.api_client, self.seen, self.ends = ApiClient(app, STAFF), [], threading.Event()

    def poll(self):
        """Until the end is told, and then once more."""
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
    """Do one thing after the other, each committed after a delay that is the scene of this race."""
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
    """Let all write and one read meanwhile; returns what was read, and what the feed says afterwards."""
    shop.staff(STAFF)
    books, customers = [shop.book(stock=1) for _book in range(BOOKS)], shop.customers(4)
    reader = Reader(app)
    reading = threading.Thread(target=reader.poll)
    reading.start()
    races.together([partial(write, app, books, customers, number, seed) for seed in range(WRITERS)])
    reader.ends.set()
    reading.join(races.LONG)
    return reader.seen, read(reader.api_client)


def counts(shop):
    """How often each kind must have happened, by what is in the shop."""
    asked = {
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
    found = {kind: shop.rows(f"SELECT count(*) FROM {what}")[0] for kind, what in asked.items()}
    return {kind: number for kind, number in found.items() if number}


def out_of_order(events):
    """The changes of stock that do not follow from the one of the same book before them in the feed."""
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
def test_who_polls_sees_every_event_once_in_an_order_that_never_changes(app, shop, number):
    seen, afterwards = run(app, shop, number)
    assert seen == afterwards
    assert [one["id"] for one in seen] == [*range(1, len(seen) + 1)]
    assert Counter(one["kind"] for one in seen) == counts(shop)
    assert (out_of_order(seen), shop.broken()) == ([], [])
    print(f"{len(seen)} events")


@contextmanager
def places_at_insertion():
    """The shop with a feed as one would write it at first: an event's place is its id, from the beginning."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("insert", "insert_each"):
            patch.setattr(EventRepository, name, _with_places(getattr(EventRepository, name)))
        yield


def _with_places(insert):
    def inserted(self, *given):
        insert(self, *given)
        self.session.connection().exec_driver_sql("UPDATE events SET position = id WHERE position IS NULL")

    return inserted


@on_postgresql
def test_twin_a_feed_in_the_order_of_the_ids_loses_what_commits_late(app, shop):
    with places_at_insertion():
        seen, afterwards = run(app, shop, 12)
    missed = {one["id"] for one in afterwards} - {one["id"] for one in seen}
    assert missed
    print(f"{len(missed)} of {len(afterwards)} events were never seen")


def late_and_early(app, shop):
    """What is read when a change of stock is open, and after its commit; another was made and read meanwhile."""
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
def test_one_who_commits_late_holds_nobody_up_and_is_not_skipped(app, shop):
    books, (late, early) = late_and_early(app, shop)
    assert books == [[early, early], [late, late]]


@on_postgresql
def test_twin_with_places_at_insertion_the_late_one_is_skipped(app, shop):
    with places_at_insertion():
        books, (_late, early) = late_and_early(app, shop)
    assert books == [[early, early], []]


def given_by_two(app, shop):
    """Places given by two at once, the second of whom sees an event that was committed late.

    Returns whether the first one's places are as they were given, and what the second one gets.
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
        given = first.execute(text("SELECT id, position FROM events WHERE position IS NOT NULL ORDER BY id")).all()
        slow.commit()
        with races.waiting_for_lock(engine) as held_up:
            giving = pool.submit(give)
            races.wait_for(giving.done, held_up, races.SHORT)
        first.commit()
        error = giving.exception()
    kept = set(shop.rows("SELECT id, position FROM events")) >= {tuple(row) for row in given}
    return kept, error


@on_postgresql
def test_two_who_give_places_wait_for_each_other(app, shop):
    assert given_by_two(app, shop) == (True, None)
    assert shop.rows("SELECT position FROM events ORDER BY id") == [3, 4, 1, 2]


@on_postgresql
def test_twin_without_the_lock_two_give_the_same_place_or_take_one_away(app, shop, monkeypatch):
    monkeypatch.setattr(repository, "POSITIONS_LOCK", text("SELECT 1"))
    kept, error = given_by_two(app, shop)
    assert isinstance(error, IntegrityError) or not kept  # as the plan happens to order its rows


def test_many_who_give_places_at_once_give_each_once(app, shop):
    shop.staff(STAFF)
    emma = shop.book()
    for quantity in range(1, 40):
        shop.set_stock(emma, quantity)
    feeds = races.together([partial(read, ApiClient(app, STAFF)) for _reader in range(8)])
    assert all([one["id"] for one in feed] == [*range(1, 41)] for feed in feeds)
