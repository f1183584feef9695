"""One deadline per request, and threads reserved for readers, whatever locks are held."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO

import pytest
from sqlalchemy import select, text

from bookshop import create_app, extensions
from bookshop.catalog.models import Book
from bookshop.extensions import db
from bookshop.kit import transactions
from bookshop.kit.database import WRITES
from bookshop.kit.exceptions import Busy
from bookshop.kit.transactions import in_transaction, set_deadline
from bookshop.prebookings.repository import PreBookRepository
from tests.support.clients import ApiClient, WebClient
from tests.support.settings import settings_for

ADA, STAFF = "ada@example.com", "staff@example.com"
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Clock:
    """A clock that advances only when the shop sleeps, by `step` seconds."""

    def __init__(self, step):
        self.step, self.passed, self.sleeps = step, 0.0, 0

    def monotonic(self):
        return time.monotonic() + self.passed

    def sleep(self, _seconds):
        self.sleeps += 1
        self.passed += self.step


@pytest.fixture
def small_shop(app, database_url):
    """The shop with four threads, two of which may write."""
    made = create_app(settings_for(database_url, database_pool=4))
    yield made
    with made.app_context():
        db.engine.dispose()


@contextmanager
def locked_book(app):
    """Lock book 1 (SQLite: the database) and do not release it."""
    with app.app_context():
        engine = db.engine
    with engine.connect().execution_options(**{WRITES: 20}) as other:
        other.execute(select(Book.id).where(Book.id == 1).with_for_update())
        yield
        other.rollback()


@pytest.mark.parametrize(("step", "tries"), [(0.1, transactions.ATTEMPTS), (6, 2), (60, 1)])
def test_all_tries_of_a_request_share_one_deadline(app, shop, monkeypatch, step, tries):
    shop.customer(ADA)
    shop.book()
    clock, begun = Clock(step), []
    begin = transactions._begin

    def count(session):
        begun.append(session)
        return begin(session)

    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.02)
    monkeypatch.setattr(transactions, "time", clock)
    monkeypatch.setattr(transactions, "_begin", count)
    ada = ApiClient(app, ADA)
    begun.clear()
    with locked_book(app):
        answer = ada.reserve(1)
    assert (answer.status_code, len(begun[:tries]), answer.headers["Retry-After"]) == (503, tries, "2")
    assert len(begun) <= tries + 1  # the last one finds its time used up


def test_no_statement_starts_after_the_deadline(app, shop, monkeypatch):
    """However short each of them is, and whichever took so long."""
    shop.customer(ADA)
    shop.book()
    clock = Clock(0)
    monkeypatch.setattr(transactions, "time", clock)
    insert = PreBookRepository.insert_if_out_of_stock

    def slow(self, *which):
        reserved = insert(self, *which)
        clock.passed += 60
        self.session.execute(text("SELECT 1"))
        return reserved

    monkeypatch.setattr(PreBookRepository, "insert_if_out_of_stock", slow)
    before = shop.rows("SELECT count(*) FROM prebookings")
    assert (ApiClient(app, ADA).reserve(1).status_code, shop.rows("SELECT count(*) FROM prebookings")) == (503, before)


def test_a_command_has_no_deadline(app, shop, monkeypatch):
    clock = Clock(3600)
    monkeypatch.setattr(transactions, "time", clock)
    with app.app_context():
        clock.passed = 3600
        assert in_transaction(db.session(), lambda: db.session.scalar(text("SELECT 1"))) == 1


def test_a_request_past_its_deadline_does_not_even_start(app):
    with app.app_context():
        set_deadline(db.session(), -1)
        with pytest.raises(Busy):
            in_transaction(db.session(), lambda: pytest.fail("it began"))


def test_half_of_the_threads_are_reserved_for_readers(small_shop, shop, monkeypatch):
    """Two of the four threads wait for a lock: a third writer is refused, and a reader is unaffected."""
    shop.staff(STAFF)
    shop.book()
    monkeypatch.setattr(extensions, "WRITER_TIMEOUT", 0.01)
    scripts = [ApiClient(small_shop, STAFF) for _writer in range(3)]
    inside, go, commit = threading.Semaphore(0), threading.Event(), transactions.in_transaction

    def wait(session, work):
        inside.release()
        assert go.wait(30)
        return commit(session, work)

    monkeypatch.setattr(transactions, "in_transaction", wait)
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(api_client.set_stock, 1, 5) for api_client in scripts[:2]]
        assert all(inside.acquire(timeout=30) for _writer in writing)
        third = scripts[2].set_stock(1, 5)
        seen = WebClient(small_shop).get("/books/1").status_code
        go.set()
        assert [one.result().status_code for one in writing] == [200, 200]
    assert (third.status_code, third.headers["Retry-After"], seen) == (503, "2", 200)
    assert scripts[2].set_stock(1, 6).status_code == 200


def test_a_failed_writer_makes_way_for_the_next(small_shop, shop):
    shop.customer(ADA)
    ada = ApiClient(small_shop, ADA)
    assert [ada.reserve(99).status_code for _try in range(5)] == [404] * 5


@on_postgresql
def test_no_statement_may_take_longer_than_its_request(small_shop):
    with small_shop.test_request_context():
        assert db.session.scalar(text("SHOW statement_timeout")) == "10s"
        assert db.session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"


@on_postgresql
def test_a_command_may_take_hours(small_shop):
    with small_shop.app_context():
        assert db.session.scalar(text("SHOW statement_timeout")) == "0"


def test_the_deadline_starts_when_the_whole_request_has_arrived(app, shop, monkeypatch):
    """A slow sender must not use up the time for waiting on locks."""
    shop.customer(ADA)
    book, order = shop.book(), []
    ada = ApiClient(app, ADA)
    monkeypatch.setattr("bookshop.web.security.set_deadline", lambda *_given: order.append("clock"))

    class Body(BytesIO):
        def readinto(self, buffer):
            order.append("body")
            return super().readinto(buffer)

    body = b'{"book_id": %d}' % book
    answer = ada.client.post(
        "/api/v1/prebookings", input_stream=Body(body), content_length=len(body), content_type="application/json",
        headers=ada.headers,
    )  # fmt: skip
    assert (answer.status_code, order[0], order[-1]) == (201, "body", "clock")


def test_a_lock_held_beyond_the_deadline_is_a_503_on_every_database(shop):
    """In real time, with a deadline of 0.3 s."""
    app = shop.app
    shop.customer(ADA)
    shop.book()
    ada = ApiClient(app, ADA)
    changed = app.config["SETTINGS"].model_copy(update={"request_seconds": 0.3})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(app.config, "SETTINGS", changed)
        with locked_book(app):
            answer = ada.reserve(1)
    assert (answer.status_code, answer.headers["Retry-After"], shop.statuses(1)) == (503, "2", [])
