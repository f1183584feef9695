"""A database that cannot be written to: every change is answered 503, nothing is torn, and it goes on by itself."""

import base64
import contextlib
import random
from contextlib import contextmanager
from typing import Any

import flask_migrate
import pytest
from sqlalchemy import event

from bookshop import create_app
from bookshop.extensions import db
from tests.support.clients import ApiClient
from tests.support.databases import empty
from tests.support.factories import Shop
from tests.support.postgresql import server
from tests.support.settings import settings_for
from tests.support.world import ROUTES, UNSAFE

READ_ONLY, FULL = "read-only", "full"
LARGEST = 17_000_000  # bytes: a segment of PostgreSQL's log has 16 MB


@pytest.fixture
def engine(target):
    with target.app.app_context():
        return db.engine


@contextmanager
def unwritable(engine, how):
    """Nothing can be written: as on a replica or a read-only disk, or as on a full one (SQLite)."""

    def prepare(connection, _record=None, _proxy=None):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute("PRAGMA query_only = ON" if how == READ_ONLY else f"PRAGMA max_page_count = {pages}")

    def restore(connection, _record):
        connection.execute("PRAGMA query_only = OFF")
        connection.execute("PRAGMA max_page_count = 1073741823")

    def begin(connection):
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    listeners: list[tuple[str, Any]] = [("begin", begin)]
    if engine.dialect.name == "sqlite":
        listeners = [("checkout", prepare), ("checkin", restore)]
    for name, listener in listeners:
        event.listen(engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners:
            event.remove(engine, name, listener)


def send(target, route):
    return (target.send_json if "/api/" in route else target.send_form)(route, ROUTES[route][1])


@pytest.mark.parametrize("route", sorted(UNSAFE))
def test_a_database_that_is_read_only_is_a_503_that_is_true_and_is_over_when_it_is_over(target, engine, route):
    empty(target.app)
    target.begin_again()
    right = send(target, route).status_code
    empty(target.app)
    target.begin_again()
    before = target.tables()
    with unwritable(engine, READ_ONLY):
        answer = send(target, route)
    assert answer.status_code == right or (answer.status_code, "Nothing was changed" in answer.text) == (503, True)
    assert target.tables() == before
    assert (send(target, route).status_code, target.shop.broken()) == (right, [])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_disk_that_is_full_is_a_503_and_tears_nothing(target, engine):
    """An import is large enough to need more of the disk than there is."""
    empty(target.app)
    target.begin_again()
    with contextlib.closing(engine.raw_connection()) as connection:
        connection.driver_connection.execute("VACUUM")  # what others have left free is not to be had either
    before = target.tables()
    book = {"title": "Emma", "authors": "Jane Austen", "price_cents": 1, "description": "x" * 10_000}
    with unwritable(engine, FULL):
        statuses = {target.send_json("POST /api/v1/books", book).status_code for _book in range(20)}
    assert 503 in statuses
    assert statuses <= {201, 503}
    assert target.shop.broken() == []
    assert len(target.tables()["books"]) < len(before["books"]) + 20
    assert target.send_json("POST /api/v1/books", book).status_code == 201


@pytest.fixture
def crowded():
    """The shop on a PostgreSQL of which no file may grow beyond LARGEST: as on a small disk."""
    with server(largest_file=LARGEST) as url:
        app = create_app(settings_for(url))
        with app.app_context():
            flask_migrate.upgrade()
        yield Shop(app)
        with app.app_context():
            db.engine.dispose()


def make_room(shop):
    """Throw half of the books away, and let their room be used again."""
    for statement in ("DELETE FROM events", "DELETE FROM movements", "DELETE FROM books WHERE id % 2 = 0"):
        shop.execute(statement)
    with shop.app.app_context(), db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM books")


@pytest.mark.prove
def test_a_full_disk_under_postgresql_is_a_503_that_tears_nothing_and_is_over_when_there_is_room(crowded):
    shop, chance = crowded, random.Random(1)
    statuses: list[Any] = []
    shop.staff()
    staff = ApiClient(shop.app, "staff@example.com")

    def add_a_book():
        words = base64.b85encode(chance.randbytes(7_500)).decode()  # which nothing packs into less
        book = {"title": f"Book {len(statuses)}", "authors": "Ada", "price_cents": 1, "description": words}
        statuses.append(staff.post("/api/v1/books", book))
        return statuses[-1].status_code

    while add_a_book() == 201:
        assert len(statuses) * 7_500 < 2 * LARGEST
    assert (statuses[-1].status_code, "Nothing was changed" in statuses[-1].text) == (503, True)
    assert add_a_book() == 503
    assert shop.rows("SELECT count(*) FROM books") == [len(statuses) - 2]
    assert shop.broken() == []
    assert staff.set_stock(1, 3).status_code == 200
    make_room(shop)
    assert add_a_book() == 201
