"""An unwritable database: every change is a 503, data stay consistent, and the shop recovers by itself."""

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
from tests.support.routes import ROUTES, UNSAFE
from tests.support.settings import settings_for

READ_ONLY, FULL = "read-only", "full"
LARGEST = 17_000_000  # bytes: a segment of PostgreSQL's write-ahead log has 16 MB


@pytest.fixture
def engine(target):
    with target.app.app_context():
        return db.engine


@contextmanager
def unwritable(engine, how):
    """Make all writes fail, as on a replica or a read-only disk, or on a full disk (SQLite)."""

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
def test_a_read_only_database_is_an_honest_503_until_it_is_writable_again(target, engine, route):
    empty(target.app)
    target.reset()
    right = send(target, route).status_code
    empty(target.app)
    target.reset()
    before = target.tables()
    with unwritable(engine, READ_ONLY):
        answer = send(target, route)
    assert answer.status_code == right or (answer.status_code, "Nothing was changed" in answer.text) == (503, True)
    assert target.tables() == before
    assert (send(target, route).status_code, target.shop.broken()) == (right, [])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_is_a_503_and_leaves_data_consistent(target, engine):
    """The import is large enough to need more disk space than there is."""
    empty(target.app)
    target.reset()
    with contextlib.closing(engine.raw_connection()) as connection:
        connection.driver_connection.execute("VACUUM")  # the space left by other tests cannot be used either
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
def small_disk_shop():
    """The shop on a PostgreSQL whose files cannot grow beyond LARGEST, as on a small disk."""
    with server(largest_file=LARGEST) as url:
        app = create_app(settings_for(url))
        with app.app_context():
            flask_migrate.upgrade()
        yield Shop(app)
        with app.app_context():
            db.engine.dispose()


def free_space(shop):
    """Delete half of the books and free their space."""
    for statement in ("DELETE FROM events", "DELETE FROM movements", "DELETE FROM books WHERE id % 2 = 0"):
        shop.execute(statement)
    with shop.app.app_context(), db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM books")


@pytest.mark.prove
def test_a_full_postgresql_disk_is_a_503_until_there_is_space_and_data_stay_consistent(small_disk_shop):
    shop, chance = small_disk_shop, random.Random(1)
    statuses: list[Any] = []
    shop.staff()
    staff = ApiClient(shop.app, "staff@example.com")

    def add_a_book():
        words = base64.b85encode(chance.randbytes(7_500)).decode()  # incompressible
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
    free_space(shop)
    assert add_a_book() == 201
