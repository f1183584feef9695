"""Races, on both databases, with real threads.

Every race has a twin: the same race in a shop whose lock is taken out (tests/support/races.py says how), which must
show the fault. A race whose twin shows nothing would prove nothing.
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
LOOK_AT_BOOK = (BookRepository, "get")
LOCK_USER = (Authentication, "lock_active")
LOOK_AT_USER = (UserRepository, "get")

SHARE = {" FOR SHARE": ""}
KEY_SHARE = {" FOR SHARE": " FOR KEY SHARE"}
UPDATE = {" FOR NO KEY UPDATE": ""}

ADA, STAFF, NEW_PASSWORD = "ada@example.com", "staff@example.com", "four other random words"
Scene = dict[str, races.Work]

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def scene(shop, api_client):
    """One book, out of stock, and what customers and staff do to it: each name is one who can race."""
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


def overtake(scene: Scene, race: tuple[str, races.Point, str], patience: float = races.SHORT) -> tuple[Any, Any]:
    slow, point, fast = race
    return races.overtake(point, scene[slow], scene[fast], patience)


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
def test_who_is_overtaken_leaves_nothing_broken(shop, scene, race):
    overtake(scene, race)
    assert shop.broken() == []


@pytest.mark.parametrize(
    "race",
    [
        ("reserve", LOOK_AT_BOOK, "restock"),
        ("reserve", LOOK_AT_BOOK, "withdraw"),
    ],
    ids="{0[0]} overtaken by {0[2]}".format,
)
def test_twin_a_plain_look_at_the_stock_strands_the_customer(app, shop, scene, race):
    with races.unlocked(app, SHARE), races.plain_check():
        overtake(scene, race, races.LONG)
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
def test_twin_a_conditional_insert_without_for_share_strands_the_customer(app, shop, scene, lock, race):
    """PostgreSQL only: SQLite has one writer, so there a single statement cannot be overtaken."""
    with races.unlocked(app, lock):
        overtake(scene, race, races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


def test_twin_without_the_users_lock_somebody_deactivated_waits(app, shop, scene):
    with races.unlocked(app, UPDATE):
        races.overtake(LOCK_USER, scene["reserve"], scene["deactivate"], races.LONG)
    assert "is waiting, but user" in " ".join(shop.broken())


def test_of_two_reservations_by_one_customer_one_is_refused(shop, scene):
    answers = races.overtake(COUNT, scene["reserve"], scene["reserve"])
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert shop.rows("SELECT status FROM prebookings") == ["waiting"]
    assert shop.broken() == []


def test_twin_without_the_unique_index_one_customer_waits_twice(app, shop, scene):
    with races.without_unique_index(app), races.unlocked(app, UPDATE):
        answers = races.overtake(COUNT, scene["reserve"], scene["reserve"], races.LONG)
        assert [answer.status_code for answer in answers] == [201, 201]
        assert "waits 2 times for book" in " ".join(shop.broken())


def test_two_restocks_tell_a_customer_once(shop, scene):
    scene["reserve"]()
    assert sorted(races.overtake(LOCK_BOOK, scene["restock"], scene["restock"])) == [0, 1]
    assert shop.rows("SELECT stock_quantity FROM books") == [10]
    assert shop.broken() == []


def test_twin_two_restocks_that_look_first_who_waits_tell_a_customer_twice(app, scene):
    scene["reserve"]()
    with races.unlocked(app, UPDATE | races.ANY_STOCK), races.plain_notice():
        assert races.overtake(LOCK_BOOK, scene["restock"], scene["restock"], races.LONG) == (1, 1)


def test_a_restock_and_a_sale_add_up(shop, scene):
    scene["restock"]()
    races.overtake(LOCK_BOOK, scene["sell"], scene["restock"])
    assert shop.rows("SELECT stock_quantity FROM books") == [5 + 5 - 3]
    assert shop.broken() == []


def test_twin_without_the_books_lock_a_restock_is_lost_in_a_sale(app, shop, scene):
    scene["restock"]()
    with races.unlocked(app, UPDATE | races.ANY_STOCK):
        races.overtake(LOCK_BOOK, scene["sell"], scene["restock"], races.LONG)
    assert shop.rows("SELECT stock_quantity FROM books") == [5 - 3]
    assert "its movements add up to 7" in " ".join(shop.broken())


def twenty_reservations_of_one_who_waits_for_45(app: Flask, shop: Shop, patience: float) -> tuple[int, list[Any]]:
    """Let them count all at the same moment; returns how many the customer waits for in the end."""
    ada_id, books = shop.customer(ADA), races.many_books(shop, 65)
    races.waits_for_all(shop, ada_id, books[:45])
    reserving = [partial(races.attempt, app, partial(reserve, ada_id, book_id)) for book_id in books[45:]]
    with races.meeting(COUNT, 20, patience):
        answers = races.together(reserving)
    return shop.rows("SELECT count(*) FROM prebookings WHERE status = 'waiting'")[0], answers


def test_nobody_waits_for_more_than_fifty(app, shop):
    waiting, answers = twenty_reservations_of_one_who_waits_for_45(app, shop, races.SHORT)
    assert (waiting, answers.count("PREBOOK_LIMIT_REACHED")) == (50, 15)
    assert shop.broken() == []


def test_twin_without_the_users_lock_somebody_waits_for_more_than_fifty(app, shop):
    with races.unlocked(app, UPDATE):
        waiting, _answers = twenty_reservations_of_one_who_waits_for_45(app, shop, races.LONG)
    assert waiting > 50


def storm(app: Flask, shop: Shop, number: int, customers: Sequence[int] = ()) -> list[Any]:
    """Restock each of many books while 15 customers reserve it; returns what the customers were answered.

    The 16 threads begin each book together. 300 customers take turns, so that nobody ever waits for 50 books.
    """
    books, customers, answers = races.many_books(shop, number), customers or races.many_customers(shop, 300), []
    for index, book_id in enumerate(books):
        turn = [customers[(index * 15 + n) % 300] for n in range(15)]
        works: list[races.Work] = [partial(reserve, customer_id, book_id) for customer_id in turn]
        works.insert(index % 16, partial(restock, None, book_id))
        answers += races.together([partial(races.attempt, app, work) for work in works])
    return answers


def reserve(customer_id: int, book_id: int) -> int:
    return int(services.prebookings().reserve(customer_id, book_id).id)


def restock(_customer_id: int | None, book_id: int) -> list[str]:
    return services.shelf().update_stock(StockChange(book_id=book_id, quantity=5)).notified


def stranded(shop: Shop) -> int:
    """How many wait for a book that is on the shelf."""
    found: int = shop.rows(
        "SELECT count(*) FROM prebookings p JOIN books b ON b.id = p.book_id "
        "WHERE p.status = 'waiting' AND b.stock_quantity > 0"
    )[0]
    return found


STORMS = 5  # until one restock meets its customers: a few books may be restocked after all of them
BOOKS = pytest.mark.parametrize("number", [10, pytest.param(300, marks=pytest.mark.prove)])


@BOOKS
def test_nobody_waits_for_a_book_that_came_while_they_reserved_it(app, shop, number):
    customers, refused = races.many_customers(shop, 300), 0
    for _storm in range(STORMS):
        refused = storm(app, shop, number, customers).count("PREBOOK_BOOK_IN_STOCK")
        assert stranded(shop) == 0
        if refused not in {0, 15 * number}:
            break
    assert refused not in {0, 15 * number}  # some came before the restock, some after it
    assert shop.broken() == []


@BOOKS
def test_twin_with_a_plain_look_at_the_stock_customers_are_stranded(app, shop, number):
    with races.unlocked(app, SHARE), races.plain_check():
        storm(app, shop, number)
    assert stranded(shop) >= number // 10


@on_postgresql
@pytest.mark.parametrize(
    ("number", "lock"),
    [(10, SHARE), (10, KEY_SHARE), pytest.param(300, SHARE, marks=pytest.mark.prove)],
    ids=["no lock", "FOR KEY SHARE", "no lock, many books"],
)
def test_twin_with_a_conditional_insert_without_for_share_customers_are_stranded(app, shop, number, lock):
    """PostgreSQL only: SQLite has one writer, so there a single statement cannot be overtaken."""
    with races.unlocked(app, lock):
        storm(app, shop, number)
    assert stranded(shop) >= number // 10


@pytest.mark.parametrize("fast", ["deactivate", "change password"])
def test_a_login_is_ended_by_what_overtakes_it(shop, scene, web_client, fast):
    ada = web_client()
    races.overtake(LOOK_AT_USER, lambda: ada.log_in(ADA), scene[fast])
    assert ada.get("/reservations").status_code == 303
    assert shop.rows("SELECT count(*) FROM login_sessions") == [0]


@pytest.mark.parametrize("fast", ["deactivate", "change password"])
def test_twin_without_the_users_lock_a_login_outlives_what_overtakes_it(app, shop, scene, web_client, fast):
    ada = web_client()
    with races.unlocked(app, UPDATE):
        races.overtake(LOOK_AT_USER, lambda: ada.log_in(ADA), scene[fast], races.LONG)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


def test_a_login_that_has_to_begin_again_does_not_let_an_old_password_in(app, scene, monkeypatch):
    """The password is changed after the login gave up waiting for the user's lock and before it tries once more."""
    with app.app_context(), races.users_locked(app) as let_go:
        user = services.accounts().check_password(ADA, PASSWORD)
        change = lambda _seconds: (let_go(), scene["change password"]())  # noqa: E731
        pause = SimpleNamespace(sleep=change, monotonic=time.monotonic)
        monkeypatch.setattr(transactions, "time", pause)
        with pytest.raises(Invalid):
            services.commit(lambda: services.accounts().log_in(user, PASSWORD))


def test_who_looks_at_the_reservations_while_a_restock_commits_still_gets_the_badge(scene, web_client):
    ada = web_client(ADA)
    scene["reserve"]()
    races.overtake(NOTIFY, scene["restock"], lambda: ada.get("/reservations"))
    assert "1 back in stock" in text_of(ada.get("/"))


def test_who_reserves_again_while_cancelling_is_not_told_that_the_book_is_in_stock(scene):
    scene["reserve"]()
    answer, _cancelled = races.overtake(INSERT, scene["reserve"], scene["cancel"])
    assert answer.json.get("code") != "PREBOOK_BOOK_IN_STOCK"


@pytest.mark.prove
def test_many_hands_on_few_books_break_nothing_and_never_deadlock(app, shop, caplog):
    books, customers = races.many_books(shop, 6), races.many_customers(shop, 300)
    hands = [partial(many_hands, app, random.Random(seed), books, customers) for seed in range(16)]
    codes = {answer for answers in races.together(hands) for answer in answers if isinstance(answer, str)}
    assert codes <= {
        "BOOK_NOT_FOUND", "NOT_AUTHENTICATED", "PREBOOK_ALREADY_CANCELLED", "PREBOOK_ALREADY_NOTIFIED",
        "PREBOOK_BOOK_IN_STOCK", "PREBOOK_DUPLICATE", "PREBOOK_NOT_FOUND", "VALIDATION_ERROR",
    }  # fmt: skip
    assert "DeadlockDetected" not in caplog.text
    assert shop.broken() == []


def many_hands(app, chance, books, customers):
    """Do 200 random things that customers and staff do; returns what was answered."""
    things = [*[reserve] * 6, *[cancel] * 2, sell_out, *[restock] * 2, deliver, withdraw, *[put_back] * 2, deactivate]
    answers = []
    for _ in range(200):
        thing = partial(chance.choice(things), chance.choice(customers), chance.choice(books))
        answers.append(races.attempt(app, thing))
    return answers


def cancel(customer_id, book_id):
    latest = services.repository(PreBookRepository).latest(customer_id, book_id)
    return services.prebookings().cancel(customer_id, latest.id if latest else 1)


def sell_out(_customer_id, book_id):
    return services.shelf().update_stock(StockChange(book_id=book_id, quantity=0, reason="sale")).notified


def deliver(_customer_id, book_id):
    """A delivery of three books at once, in no order."""
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
