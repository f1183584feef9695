"""Run races: let one call overtake another at a given point, and remove a lock to prove that it is needed."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from types import ModuleType
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

SHORT = 5.0  # seconds to wait for a thread that may be blocked by a lock; the wait ends once that is detected
LONG = 60.0  # seconds to wait for a thread that is not blocked
BLOCKED = 0.02  # seconds after which BEGIN IMMEDIATE counts as blocked by another writer
TRANSACTION_STATEMENT = re.compile(r"BEGIN|SAVEPOINT|RELEASE|ROLLBACK")
# Checks to be removed together with the lock: write the stock, or change the order, whatever its current value is.
ANY_STOCK = {" AND books.stock_quantity = ": " AND 0 <= "}
ANY_STATE = {" AND orders.status IN (": " AND '' NOT IN ("}

begun: dict[int, float] = {}  # thread -> when it requested the write lock (SQLite)

Task = Callable[[], Any]
Point = tuple[type | ModuleType, str]


def interleave(point: Point, slow: Task, fast: Task, patience: float = SHORT) -> tuple[Any, Any]:
    """Run `slow` up to the end of the method `point`, then run `fast` in a second thread before `slow` continues.

    `slow` continues when `fast` is done or, with SHORT patience, when `fast` is blocked by a lock. Return both results.
    """
    owner, name = point
    original, first = getattr(owner, name), threading.Lock()
    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        started: list[Any] = []

        def passed(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if first.acquire(blocking=False):
                with waiting_for_lock(db.engine) as is_blocked:
                    started.append(pool.submit(fast))
                    wait_for(started[0].done, is_blocked, patience)
            return result

        patch.setattr(owner, name, passed)
        result = slow()
        return result, started[0].result()


def wait_for(done: Callable[[], bool], is_blocked: Callable[[], bool], patience: float) -> None:
    """Wait until it is done or `patience` has run out; with SHORT patience, also until it is blocked by a lock."""
    end = time.monotonic() + patience
    while not done() and time.monotonic() < end and not (patience < LONG and is_blocked()):
        time.sleep(0.002)


@event.listens_for(Engine, "before_cursor_execute")
def _lock_requested(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
    if statement == "BEGIN IMMEDIATE":
        begun[threading.get_ident()] = time.monotonic()


@event.listens_for(Engine, "after_cursor_execute")
@event.listens_for(Engine, "handle_error")
def _lock_granted(*_statement: Any) -> None:
    begun.pop(threading.get_ident(), None)


@contextmanager
def waiting_for_lock(engine: Engine) -> Iterator[Callable[[], bool]]:
    """Yield a function that reports whether any thread is waiting for a lock."""
    if engine.dialect.name == "sqlite":
        yield lambda: any(time.monotonic() - since > BLOCKED for since in list(begun.values()))
        return
    sql = "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as connection:
        watching = connection.execution_options(isolation_level="AUTOCOMMIT")
        yield lambda: watching.exec_driver_sql(sql).first() is not None


@contextmanager
def barrier_at(point: Point, parties: int, patience: float = SHORT) -> Iterator[None]:
    """Make all threads that call `point` wait there for each other; with SHORT patience, not for a blocked one."""
    owner, name = point
    original, arrived, over = getattr(owner, name), count(1), threading.Event()

    def passed(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if next(arrived) < parties:
            with waiting_for_lock(db.engine) as is_blocked:
                wait_for(over.is_set, is_blocked, patience)
        over.set()
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, passed)
        yield


def run_concurrently(tasks: Sequence[Task]) -> list[Any]:
    """Run each function in its own thread, all at once; return their results."""
    start = threading.Barrier(len(tasks))

    def run(task: Task) -> Any:
        start.wait(LONG)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]


def result_or_code(app: Flask, task: Task) -> Any:
    """Commit a service call as views do; return its result, or the code of its error."""
    with app.app_context():
        try:
            return services.commit(task)
        except BookshopError as error:
            return error.code


@contextmanager
def without_lock(app: Flask, clauses: Mapping[str, str]) -> Iterator[None]:
    """Run the shop without a lock: replace these clauses in every statement.

    On SQLite the lock is BEGIN IMMEDIATE. Without it, every statement is its own transaction.
    """

    def weaken(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> tuple[str, Any]:
        if sqlite and TRANSACTION_STATEMENT.match(statement):
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
        engine.dispose()  # connections without transactions cannot be reused


@contextmanager
def users_locked(app: Flask) -> Iterator[Callable[[], None]]:
    """Lock all users (SQLite: the database) until the yielded function is called; others wait for 50 ms at most."""

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
    """Run the shop without the index that allows one waiting pre-booking per customer and book."""
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
def naive_reservation() -> Iterator[None]:
    """Run the shop with a naive reservation: check the stock, then insert."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreBookRepository, "insert_if_out_of_stock", _check_then_insert)
        yield


def _check_then_insert(self: PreBookRepository, user_id: int, book_id: int) -> PreBook | None:
    book = BookRepository(self.session).get(book_id)
    if book is None or book.stock_quantity > 0 or book.withdrawn_at is not None:
        return None
    prebook = PreBook(user_id=user_id, book_id=book_id)
    self.session.add(prebook)
    self.session.flush()
    return prebook


@contextmanager
def naive_restock() -> Iterator[None]:
    """Run the shop with a naive restock: read stock and waiting customers, then notify these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BookRepository, "lock", _read_waiting)
        patch.setattr(PreBookRepository, "notify_waiting_by_book", _notify_read)
        yield


def _read_waiting(self: BookRepository, book_ids: Sequence[int]) -> Sequence[StockedBook]:
    waiting = select(PreBook.id, User.email).join(User, User.id == PreBook.user_id)
    waiting = waiting.where(PreBook.book_id.in_(book_ids), PreBook.status == WAITING)
    self.session.info["seen"] = self.session.execute(waiting).all()
    books = select(*(getattr(Book, name) for name in StockedBook._fields)).where(Book.id.in_(book_ids))
    return [StockedBook(*row) for row in self.session.execute(books)]


def _notify_read(self: PreBookRepository, restocks: Mapping[int, int]) -> list[str]:
    seen = self.session.info.pop("seen")
    statement = update(PreBook).where(PreBook.id.in_([prebook_id for prebook_id, _email in seen]))
    values = {"status": NOTIFIED, "notified_at": database.now(), "movement_id": min(restocks)}
    self.session.execute(statement.values(values), execution_options={"synchronize_session": False})
    return [email for _prebook_id, email in seen]


def insert_customers(shop: Shop, number: int) -> list[int]:
    """Insert thousands of customers at once, without usable passwords; return their ids."""
    emails = [f"customer{index}@example.com" for index in range(number)]
    values = {"password_hash": "none", "email_confirmed_at": database.now()}
    rows = [{"email": email, "email_key": email, **values} for email in emails]
    with shop.app.app_context():
        db.session.execute(insert(User), rows)
        db.session.commit()
    return shop.rows("SELECT id FROM users WHERE password_hash = 'none' ORDER BY id")


def insert_books(shop: Shop, number: int) -> list[int]:
    """Insert books that are out of stock, all at once; return their ids."""
    values = {"authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}
    rows = [{"title": f"Volume {index}", **values} for index in range(number)]
    return shop.commit(lambda: services.catalog().create_all(rows))


def insert_reservations(shop: Shop, user_id: int, book_ids: Sequence[int]) -> None:
    """Insert a waiting reservation of each book for a customer, all at once."""
    rows = [{"user_id": user_id, "book_id": book_id} for book_id in book_ids]
    with shop.app.app_context():
        db.session.execute(insert(PreBook), rows)
        db.session.commit()


def fill_carts(shop: Shop, carts: Mapping[int, Sequence[int]]) -> None:
    """Insert one copy of each book into customers' carts, in this order, all at once: user id -> book ids."""
    now, seen = database.now(), {"quantity": 1, "price_cents": 950, "currency": "EUR", "stock_quantity": 1}
    rows = [
        {"user_id": user_id, "book_id": book_id, "created_at": now + timedelta(microseconds=position), **seen}
        for user_id, books in carts.items()
        for position, book_id in enumerate(books)
    ]
    with shop.app.app_context():
        db.session.execute(insert(CartItem), rows)
        db.session.commit()
