"""Races, on both databases, with real threads.

Every race has a negative control: the same race without the lock (see tests/support/races.py), which must show the
fault. A race whose control shows nothing would prove nothing.
"""

import random
import time
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.repository import UserRepository
from bookshop.catalog.repository import BookRepository
from bookshop.inventory.service import StockChange
from bookshop.kit import transactions
from bookshop.kit.exceptions import Invalid
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.clients import text_of
from tests.support.factories import PASSWORD, Shop

INSERT = (PreBookRepository, "insert_if_out_of_stock")
COUNT = (PreBookRepository, "count_waiting")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")
LOCK_BOOK = (BookRepository, "lock")
READ_BOOK = (BookRepository, "get")
LOCK_USER = (Authentication, "lock_active")
READ_USER = (UserRepository, "get")

SHARE = {" FOR SHARE": ""}
KEY_SHARE = {" FOR SHARE": " FOR KEY SHARE"}
UPDATE = {" FOR NO KEY UPDATE": ""}

ADA, STAFF, NEW_PASSWORD = "ada@example.com", "staff@example.com", "four other random words"
Racers = dict[str, races.Task]

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def racers(shop, api_client):
    """One book, out of stock, and the racing actions of customers and staff by name."""
    ada_id, _staff_id, book_id = shop.customer(ADA), shop.staff(STAFF), shop.book("Emma")
    ada, staff = api_client(ADA), api_client(STAFF)
    change_stock = partial(staff.patch, f"/api/v1/books/{book_id}/stock")
    return {
        "reserve": lambda: ada.reserve(book_id),
        "cancel": lambda: ada.delete(f"/api/v1/prebookings/{shop.rows('SELECT max(id) FROM prebookings')[0]}"),
        "restock": lambda: change_stock({"delta": 5}).json["notified_count"],
        "sell": lambda: change_stock({"delta": -3, "reason": "sale"}).status_code,
        "withdraw": lambda: shop.withdraw(book_id),
        "deactivate": lambda: shop.deactivate(ADA),
        "change password": lambda: shop.commit(
            lambda: services.accounts().change_password(ada_id, PASSWORD, NEW_PASSWORD, keep_login=None)
        ),
    }


def interleave(racers: Racers, race: tuple[str, races.Point, str], patience: float = races.SHORT) -> tuple[Any, Any]:
    slow, point, fast = race
    return races.interleave(point, racers[slow], racers[fast], patience)


@pytest.mark.parametrize(
    "race",
    [
        ("reserve", INSERT, "restock"),
        ("reserve", INSERT, "withdraw"),
        ("reserve", LOCK_USER, "deactivate"),
        ("restock", NOTIFY, "reserve"),
        ("withdraw", LOCK_BOOK, "reserve"),
        ("deactivate", (PreBookRepository, "cancel_waiting_by_user"), "reserve"),
        ("restock", LOCK_BOOK, "restock"),
    ],
    ids="{0[0]} overtaken by {0[2]}".format,
)
def test_a_request_overtaken_by_another_leaves_nothing_broken(shop, racers, race):
    interleave(racers, race)
    assert shop.broken() == []


@pytest.mark.parametrize(
    "race",
    [
        ("reserve", READ_BOOK, "restock"),
        ("reserve", READ_BOOK, "withdraw"),
    ],
    ids="{0[0]} overtaken by {0[2]}".format,
)
def test_a_naive_stock_check_leaves_a_customer_waiting_for_a_book_in_stock(app, shop, racers, race):
    with races.without_lock(app, SHARE), races.naive_reservation():
        interleave(racers, race, races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


@on_postgresql
@pytest.mark.parametrize("lock", [SHARE, KEY_SHARE], ids=["no lock", "FOR KEY SHARE"])
@pytest.mark.parametrize(
    "race",
    [
        ("reserve", INSERT, "restock"),
        ("reserve", INSERT, "withdraw"),
        ("restock", NOTIFY, "reserve"),
        ("withdraw", (PreBookRepository, "cancel_waiting_by_book"), "reserve"),
    ],
    ids="{0[0]} overtaken by {0[2]}".format,
)
def test_without_for_share_a_customer_is_left_waiting_for_a_book_in_stock(app, shop, racers, lock, race):
    """PostgreSQL only: SQLite has a single writer, so no statement can be overtaken."""
    with races.without_lock(app, lock):
        interleave(racers, race, races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


def test_without_the_users_lock_a_deactivated_customer_has_a_waiting_reservation(app, shop, racers):
    with races.without_lock(app, UPDATE):
        races.interleave(LOCK_USER, racers["reserve"], racers["deactivate"], races.LONG)
    assert "is waiting, but user" in " ".join(shop.broken())


def test_one_of_two_concurrent_reservations_by_a_customer_is_refused(shop, racers):
    answers = races.interleave(COUNT, racers["reserve"], racers["reserve"])
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert shop.rows("SELECT status FROM prebookings") == ["waiting"]
    assert shop.broken() == []


def test_without_the_unique_index_a_customer_has_two_waiting_reservations(app, shop, racers):
    with races.without_unique_index(app), races.without_lock(app, UPDATE):
        answers = races.interleave(COUNT, racers["reserve"], racers["reserve"], races.LONG)
        assert [answer.status_code for answer in answers] == [201, 201]
        assert "has 2 waiting pre-bookings for book" in " ".join(shop.broken())


def test_two_restocks_notify_a_customer_once(shop, racers):
    racers["reserve"]()
    assert sorted(races.interleave(LOCK_BOOK, racers["restock"], racers["restock"])) == [0, 1]
    assert shop.rows("SELECT stock_quantity FROM books") == [10]
    assert shop.broken() == []


def test_two_naive_restocks_notify_a_customer_twice(app, racers):
    racers["reserve"]()
    with races.without_lock(app, UPDATE | races.ANY_STOCK), races.naive_restock():
        assert races.interleave(LOCK_BOOK, racers["restock"], racers["restock"], races.LONG) == (1, 1)


def test_a_restock_and_a_sale_add_up(shop, racers):
    racers["restock"]()
    races.interleave(LOCK_BOOK, racers["sell"], racers["restock"])
    assert shop.rows("SELECT stock_quantity FROM books") == [5 + 5 - 3]
    assert shop.broken() == []


def test_without_the_books_lock_a_restock_is_lost_in_a_sale(app, shop, racers):
    racers["restock"]()
    with races.without_lock(app, UPDATE | races.ANY_STOCK):
        races.interleave(LOCK_BOOK, racers["sell"], racers["restock"], races.LONG)
    assert shop.rows("SELECT stock_quantity FROM books") == [5 - 3]
    assert "its movements add up to 7" in " ".join(shop.broken())


def twenty_reservations_after_45(app: Flask, shop: Shop, patience: float) -> tuple[int, list[Any]]:
    """Let all requests count at once; return how many books the customer waits for in the end."""
    ada_id, books = shop.customer(ADA), races.insert_books(shop, 65)
    races.insert_reservations(shop, ada_id, books[:45])
    reserving = [partial(races.result_or_code, app, partial(reserve, ada_id, book_id)) for book_id in books[45:]]
    with races.barrier_at(COUNT, 20, patience):
        answers = races.run_concurrently(reserving)
    return shop.rows("SELECT count(*) FROM prebookings WHERE status = 'waiting'")[0], answers


def test_concurrent_reservations_never_exceed_fifty(app, shop):
    waiting, answers = twenty_reservations_after_45(app, shop, races.SHORT)
    assert (waiting, answers.count("PREBOOK_LIMIT_REACHED")) == (50, 15)
    assert shop.broken() == []


def test_without_the_users_lock_a_customer_exceeds_fifty_reservations(app, shop):
    with races.without_lock(app, UPDATE):
        waiting, _answers = twenty_reservations_after_45(app, shop, races.LONG)
    assert waiting > 50


def storm(app: Flask, shop: Shop, number: int, customers: Sequence[int] = ()) -> list[Any]:
    """Restock each of many books while 15 customers reserve it; return the customers' outcomes.

    The 16 threads start each book together. 300 customers take turns, so that none ever waits for 50 books.
    """
    books, customers, answers = races.insert_books(shop, number), customers or races.insert_customers(shop, 300), []
    for index, book_id in enumerate(books):
        turn = [customers[(index * 15 + n) % 300] for n in range(15)]
        tasks: list[races.Task] = [partial(reserve, customer_id, book_id) for customer_id in turn]
        tasks.insert(index % 16, partial(restock, None, book_id))
        answers += races.run_concurrently([partial(races.result_or_code, app, task) for task in tasks])
    return answers


def reserve(customer_id: int, book_id: int) -> int:
    return int(services.prebookings().reserve(customer_id, book_id).id)


def restock(_customer_id: int | None, book_id: int) -> list[str]:
    return services.shelf().update_stock(StockChange(book_id=book_id, quantity=5)).notified


def left_waiting(shop: Shop) -> int:
    """Count the customers who wait for a book in stock."""
    found: int = shop.rows(
        "SELECT count(*) FROM prebookings p JOIN books b ON b.id = p.book_id "
        "WHERE p.status = 'waiting' AND b.stock_quantity > 0"
    )[0]
    return found


STORMS = 5  # at most, until restocks race their customers: on a busy machine all of them may come last
BOOKS = pytest.mark.parametrize("number", [10, pytest.param(300, marks=pytest.mark.prove)])


def left_waiting_after_storms(app: Flask, shop: Shop, number: int) -> int:
    """Run storms until one book in ten has left customers waiting; return how many customers."""
    customers = races.insert_customers(shop, 300)
    for _storm in range(STORMS):
        storm(app, shop, number, customers)
        if (left := left_waiting(shop)) >= number // 10:
            break
    return left


@BOOKS
def test_no_reservation_is_left_waiting_for_a_book_restocked_meanwhile(app, shop, number):
    customers, refused = races.insert_customers(shop, 300), 0
    for _storm in range(STORMS):
        refused = storm(app, shop, number, customers).count("PREBOOK_BOOK_IN_STOCK")
        assert left_waiting(shop) == 0
        if refused not in {0, 15 * number}:
            break
    assert refused not in {0, 15 * number}  # some reserved before the restock, some after it
    assert shop.broken() == []


@BOOKS
def test_a_naive_stock_check_leaves_customers_waiting_in_a_storm(app, shop, number):
    with races.without_lock(app, SHARE), races.naive_reservation():
        assert left_waiting_after_storms(app, shop, number) >= number // 10


@on_postgresql
@pytest.mark.parametrize(
    ("number", "lock"),
    [(10, SHARE), (10, KEY_SHARE), pytest.param(300, SHARE, marks=pytest.mark.prove)],
    ids=["no lock", "FOR KEY SHARE", "no lock, many books"],
)
def test_without_for_share_customers_are_left_waiting_in_a_storm(app, shop, number, lock):
    """PostgreSQL only: SQLite has a single writer, so no statement can be overtaken."""
    with races.without_lock(app, lock):
        assert left_waiting_after_storms(app, shop, number) >= number // 10


@pytest.mark.parametrize("fast", ["deactivate", "change password"])
def test_a_login_is_ended_by_a_concurrent_revocation(shop, racers, web_client, fast):
    ada = web_client()
    races.interleave(READ_USER, lambda: ada.log_in(ADA), racers[fast])
    assert ada.get("/reservations").status_code == 303
    assert shop.rows("SELECT count(*) FROM login_sessions") == [0]


@pytest.mark.parametrize("fast", ["deactivate", "change password"])
def test_without_the_users_lock_a_login_outlives_its_revocation(app, shop, racers, web_client, fast):
    ada = web_client()
    with races.without_lock(app, UPDATE):
        races.interleave(READ_USER, lambda: ada.log_in(ADA), racers[fast], races.LONG)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


def test_a_retried_login_rejects_an_outdated_password(app, racers, monkeypatch):
    """The password is changed after the login's lock timeout and before its retry."""
    with app.app_context(), races.users_locked(app) as let_go:
        user = services.accounts().check_password(ADA, PASSWORD)
        change = lambda _seconds: (let_go(), racers["change password"]())  # noqa: E731
        pause = SimpleNamespace(sleep=change, monotonic=time.monotonic)
        monkeypatch.setattr(transactions, "time", pause)
        with pytest.raises(Invalid):
            services.commit(lambda: services.accounts().log_in(user))


def test_viewing_reservations_during_a_restock_still_shows_the_badge(racers, web_client):
    ada = web_client(ADA)
    racers["reserve"]()
    races.interleave(NOTIFY, racers["restock"], lambda: ada.get("/reservations"))
    assert "1 back in stock" in text_of(ada.get("/"))


def test_reserving_again_while_cancelling_does_not_claim_that_the_book_is_in_stock(racers):
    racers["reserve"]()
    answer, _cancelled = races.interleave(INSERT, racers["reserve"], racers["cancel"])
    assert answer.json.get("code") != "PREBOOK_BOOK_IN_STOCK"


@pytest.mark.prove
def test_random_concurrent_changes_of_a_few_books_break_nothing_and_never_deadlock(app, shop, caplog):
    books, customers = races.insert_books(shop, 6), races.insert_customers(shop, 300)
    hands = [partial(random_actions, app, random.Random(seed), books, customers) for seed in range(16)]
    codes = {answer for answers in races.run_concurrently(hands) for answer in answers if isinstance(answer, str)}
    assert codes <= {
        "BOOK_NOT_FOUND", "NOT_AUTHENTICATED", "PREBOOK_ALREADY_CANCELLED", "PREBOOK_ALREADY_NOTIFIED",
        "PREBOOK_BOOK_IN_STOCK", "PREBOOK_DUPLICATE", "PREBOOK_NOT_FOUND", "VALIDATION_ERROR",
    }  # fmt: skip
    assert "DeadlockDetected" not in caplog.text
    assert shop.broken() == []


def random_actions(app, chance, books, customers):
    """Run 200 random actions of customers and staff concurrently; return the outcomes."""
    things = [*[reserve] * 6, *[cancel] * 2, sell_out, *[restock] * 2, deliver, withdraw, *[put_back] * 2, deactivate]
    answers = []
    for _ in range(200):
        thing = partial(chance.choice(things), chance.choice(customers), chance.choice(books))
        answers.append(races.result_or_code(app, thing))
    return answers


def cancel(customer_id, book_id):
    latest = services.repository(PreBookRepository).latest(customer_id, book_id)
    return services.prebookings().cancel(customer_id, latest.id if latest else 1)


def sell_out(_customer_id, book_id):
    return services.shelf().update_stock(StockChange(book_id=book_id, quantity=0, reason="sale")).notified


def deliver(_customer_id, book_id):
    """Deliver three books at once, in random order."""
    changes = [StockChange(book_id=1 + (book_id + step) % 6, delta=3) for step in (4, 1, 3)]
    notified = services.inventory().update_stocks(changes)
    services.alerts().queue(notified)
    return notified


def withdraw(_customer_id, book_id):
    return services.shelf().withdraw(book_id)


def put_back(_customer_id, book_id):
    return services.shelf().put_back(book_id)


def deactivate(customer_id, _book_id):
    return services.people().deactivate(customer_id)
