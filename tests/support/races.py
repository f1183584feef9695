"""How races are run: who overtakes whom and where, and how a lock is taken out of the shop to see what it is for."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, Index, delete, event, insert, select, update

from bookshop.accounts.models import User
from bookshop.cart.models import CartItem
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.events.models import Event
from bookshop.extensions import db
from bookshop.kit import database, transactions
from bookshop.kit.exceptions import BookshopError
from bookshop.prebookings.models import NOTIFIED, WAITING, PreBook
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support.factories import Shop

SHORT = 5.0  # seconds to wait for a thread that a lock may hold up; the wait ends as soon as the lock is seen
LONG = 60.0  # seconds to wait for a thread that nothing holds up
HELD_UP = 0.02  # seconds after which BEGIN IMMEDIATE is waiting for another writer
OF_TRANSACTIONS = re.compile(r"BEGIN|SAVEPOINT|RELEASE|ROLLBACK")
# To be taken out beside the lock of the books: the stock is written whatever it was; an order becomes whatever it was.
ANY_STOCK = {" AND books.stock_quantity = ": " AND 0 <= "}
ANY_STATE = {" AND orders.status IN (": " AND '' NOT IN ("}

asked: dict[int, float] = {}  # thread -> when it asked for the lock that lets one of all write (SQLite)

Work = Callable[[], Any]
Point = tuple[type, str]


def overtake(point: Point, slow: Work, fast: Work, patience: float = SHORT) -> tuple[Any, Any]:
    """Run `slow`; as soon as it has passed `point`, a method, start `fast` beside it and let it go first.

    `slow` goes on when `fast` is done or, with SHORT patience, when a lock is seen to hold it up. Returns what the two
    returned.
    """
    owner, name = point
    original, first = getattr(owner, name), threading.Lock()
    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        started: list[Any] = []

        def passed(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if first.acquire(blocking=False):
                with waiting_for_lock(db.engine) as held_up:
                    started.append(pool.submit(fast))
                    wait_for(started[0].done, held_up, patience)
            return result

        patch.setattr(owner, name, passed)
        answer = slow()
        return answer, started[0].result()


def wait_for(done: Callable[[], bool], held_up: Callable[[], bool], patience: float) -> None:
    """Wait until it is done, or for as long as there is patience; with SHORT patience also until a lock holds it up."""
    end = time.monotonic() + patience
    while not done() and time.monotonic() < end and not (patience < LONG and held_up()):
        time.sleep(0.002)


@event.listens_for(Engine, "before_cursor_execute")
def _ask(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
    if statement == "BEGIN IMMEDIATE":
        asked[threading.get_ident()] = time.monotonic()


@event.listens_for(Engine, "after_cursor_execute")
@event.listens_for(Engine, "handle_error")
def _got_it(*_statement: Any) -> None:
    asked.pop(threading.get_ident(), None)


@contextmanager
def waiting_for_lock(engine: Engine) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether anybody waits for a lock just now."""
    if engine.dialect.name == "sqlite":
        yield lambda: any(time.monotonic() - since > HELD_UP for since in list(asked.values()))
        return
    sql = "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as connection:
        watching = connection.execution_options(isolation_level="AUTOCOMMIT")
        yield lambda: watching.exec_driver_sql(sql).first() is not None


@contextmanager
def meeting(point: Point, parties: int, patience: float = SHORT) -> Iterator[None]:
    """Let all threads that call `point` wait there for each other; with SHORT patience, not for a blocked one."""
    owner, name = point
    original, arrived, over = getattr(owner, name), count(1), threading.Event()

    def passed(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if next(arrived) < parties:
            with waiting_for_lock(db.engine) as held_up:
                wait_for(over.is_set, held_up, patience)
        over.set()
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, passed)
        yield


def together(works: Sequence[Work]) -> list[Any]:
    """Run each work in a thread of its own, all at once; returns what they returned."""
    start = threading.Barrier(len(works))

    def run(work: Work) -> Any:
        start.wait(LONG)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(run, work) for work in works]]


def attempt(app: Flask, work: Work) -> Any:
    """What a service call returned, committed as the faces do it, or the code with which it was refused."""
    with app.app_context():
        try:
            return services.commit(work)
        except BookshopError as refused:
            return refused.code


@contextmanager
def unlocked(app: Flask, clauses: Mapping[str, str]) -> Iterator[None]:
    """The shop with a lock taken out: these clauses are replaced in every statement.

    On SQLite BEGIN IMMEDIATE is the lock. Without it, every statement is a transaction of its own.
    """

    def weaken(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> tuple[str, Any]:
        if sqlite and OF_TRANSACTIONS.match(statement):
            return "SELECT 1", parameters
        for clause, other in clauses.items():
            statement = statement.replace(clause, other)
        return statement, parameters

    with app.app_context():
        engine, sqlite = db.engine, db.engine.dialect.name == "sqlite"
    event.listen(engine, "before_cursor_execute", weaken, retval=True)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", weaken)
        engine.dispose()  # connections that were made to forget their transactions are of no further use


@contextmanager
def users_locked(app: Flask) -> Iterator[Callable[[], None]]:
    """Hold all users' rows (SQLite: the database) until what this yields is called; nobody waits longer than 50 ms."""

    with app.app_context():
        engine = db.engine
    with pytest.MonkeyPatch.context() as patch, engine.connect() as holder:
        patch.setattr(transactions, "LOCK_TIMEOUT", 0.05)
        holder.execution_options(**{database.WRITES: 1}).execute(update(User).values(role=User.role))
        try:
            yield holder.close
        finally:
            engine.dispose()


@contextmanager
def without_unique_index(app: Flask) -> Iterator[None]:
    """The shop without the index that allows one waiting pre-booking per customer and book."""
    indexes: set[Index] = PreBook.metadata.tables[PreBook.__tablename__].indexes
    index = next(index for index in indexes if index.unique)
    with app.app_context():
        engine = db.engine
    index.drop(engine)
    try:
        yield
    finally:
        with engine.begin() as connection:
            for model in (Event, PreBook):
                connection.execute(delete(model))
        index.create(engine)


@contextmanager
def plain_check() -> Iterator[None]:
    """The shop with a reservation as one would write it at first: look at the stock, then insert."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreBookRepository, "insert_if_out_of_stock", _look_then_insert)
        yield


def _look_then_insert(self: PreBookRepository, user_id: int, book_id: int) -> PreBook | None:
    book = BookRepository(self.session).get(book_id)
    if book is None or book.stock_quantity > 0 or book.withdrawn_at is not None:
        return None
    prebook = PreBook(user_id=user_id, book_id=book_id)
    self.session.add(prebook)
    self.session.flush()
    return prebook


@contextmanager
def plain_notice() -> Iterator[None]:
    """The shop with a restock as one would write it at first: look who waits and at the stock, then tell them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BookRepository, "lock", _look_who_waits)
        patch.setattr(PreBookRepository, "notify_waiting_by_book", _tell_the_seen)
        yield


def _look_who_waits(self: BookRepository, book_ids: Sequence[int]) -> Sequence[StockedBook]:
    waiting = select(PreBook.id, User.email).join(User, User.id == PreBook.user_id)
    waiting = waiting.where(PreBook.book_id.in_(book_ids), PreBook.status == WAITING)
    self.session.info["seen"] = self.session.execute(waiting).all()
    books = select(*(getattr(Book, name) for name in StockedBook._fields)).where(Book.id.in_(book_ids))
    return [StockedBook(*row) for row in self.session.execute(books)]


def _tell_the_seen(self: PreBookRepository, restocks: Mapping[int, int]) -> list[str]:
    seen = self.session.info.pop("seen")
    told = update(PreBook).where(PreBook.id.in_([prebook_id for prebook_id, _email in seen]))
    values = {"status": NOTIFIED, "notified_at": database.now(), "movement_id": min(restocks)}
    self.session.execute(told.values(values), execution_options={"synchronize_session": False})
    return [email for _prebook_id, email in seen]


def many_customers(shop: Shop, number: int) -> list[int]:
    """Customers by the thousand, written at once; nobody knows their passwords. Returns their ids."""
    emails = [f"customer{index}@example.com" for index in range(number)]
    rows = [{"email": email, "email_key": email, "password_hash": "none"} for email in emails]
    with shop.app.app_context():
        db.session.execute(insert(User), rows)
        db.session.commit()
    return shop.rows("SELECT id FROM users WHERE password_hash = 'none' ORDER BY id")


def many_books(shop: Shop, number: int) -> list[int]:
    """Books that are out of stock, written at once; returns their ids."""
    values = {"authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}
    rows = [{"title": f"Volume {index}", **values} for index in range(number)]
    return shop.commit(lambda: services.catalog().create_all(rows))


def waits_for_all(shop: Shop, user_id: int, book_ids: Sequence[int]) -> None:
    """Let a customer wait for all these books, written at once."""
    rows = [{"user_id": user_id, "book_id": book_id} for book_id in book_ids]
    with shop.app.app_context():
        db.session.execute(insert(PreBook), rows)
        db.session.commit()


def fill_carts(shop: Shop, carts: Mapping[int, Sequence[int]]) -> None:
    """Put a copy of each of these books into customers' carts, in this order, written at once: user id -> book ids."""
    begun, seen = database.now(), {"quantity": 1, "price_cents": 950, "currency": "EUR", "stock_quantity": 1}
    rows = [
        {"user_id": user_id, "book_id": book_id, "created_at": begun + timedelta(microseconds=place), **seen}
        for user_id, books in carts.items()
        for place, book_id in enumerate(books)
    ]
    with shop.app.app_context():
        db.session.execute(insert(CartItem), rows)
        db.session.commit()
