"""`flask move`: from SQLite to PostgreSQL, only while nobody else has the file open, and everything arrives."""

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import text

from bookshop.backups import service
from bookshop.backups.rows import read_rows, write_rows
from bookshop.extensions import db
from bookshop.kit.exceptions import Busy
from tests.support.backups import contents, differences, run, shop_at
from tests.support.databases import new_database
from tests.support.factories import Shop
from tests.support.full_tables import fill

LOCKED = sqlite3.OperationalError


@pytest.fixture
def old(tmp_path):
    """A shop on SQLite with a row in every table."""
    with shop_at(f"sqlite:///{tmp_path}/shop.db", tmp_path) as app:
        assert run(app, "db", "upgrade").exit_code == 0
        fill(Shop(app))
        Shop(app).execute("UPDATE onix_records SET record = :record", record=b"\x00 <Product>\xff")
        yield app


@pytest.fixture
def new_url(postgresql_url):
    """The URL of an empty PostgreSQL database."""
    with new_database(postgresql_url, "bookshop_moved") as url:
        yield url


def test_everything_is_moved_and_the_old_file_is_read_only(old, new_url, tmp_path):
    before = contents(old)
    moved = run(old, "move", new_url)
    assert (moved.exit_code, moved.stderr) == (0, "")
    said = {line.split()[0]: line.split()[1] for line in moved.stdout.splitlines() if line.endswith("checksum equal")}
    assert said == {name: str(len(rows)) for name, rows in before.items()}
    assert "`flask check` finds no problems" in moved.stdout
    assert "Now set BOOKSHOP_DATABASE_URL to this URL" in moved.stdout
    assert (tmp_path / "shop.db").stat().st_mode & 0o222 == 0
    with shop_at(new_url, tmp_path) as new:
        assert differences(before, contents(new)) == set()
        shop = Shop(new)
        assert shop.book("Sanditon") == len(before["books"]) + 1
        assert shop.broken() == []
        again = run(old, "move", new_url)
    assert "The database has a shop already: it has users or books. Use an empty one." in again.stderr


def test_a_running_shop_is_not_moved_and_cannot_write_meanwhile(old, new_url, tmp_path, monkeypatch):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as server:
        server.execute("SELECT count(*) FROM books").fetchone()
        refused = run(old, "move", new_url)
    assert (refused.exit_code, "Error: The shop is running" in refused.stderr) == (1, True)

    def somebody_writes(connection, table):
        with closing(sqlite3.connect(tmp_path / "shop.db", timeout=0)) as server, pytest.raises(LOCKED, match="locked"):
            server.execute("SELECT count(*) FROM books")
        return read_rows(connection, table)

    monkeypatch.setattr(service, "read_rows", somebody_writes)
    assert run(old, "move", new_url).exit_code == 0


def test_a_server_that_waited_for_the_lock_cannot_write_what_would_be_lost(old, new_url, tmp_path, monkeypatch):
    with shop_at(f"sqlite:///{tmp_path}/shop.db", tmp_path) as server, ThreadPoolExecutor(1) as beside:
        waiting: list[Future[int]] = []

        def somebody_waits(connection, table):
            if not waiting:
                waiting.append(beside.submit(Shop(server).book, "Written too late"))
            return read_rows(connection, table)

        monkeypatch.setattr(service, "read_rows", somebody_waits)
        assert run(old, "move", new_url).exit_code == 0
        with pytest.raises(Busy, match=r"The shop has moved to another database.* new BOOKSHOP_DATABASE_URL\."):
            waiting[0].result()
    with pytest.raises(Busy, match="The shop has moved"):
        Shop(old).book("Written later")
    assert Shop(old).rows("SELECT id FROM books WHERE title LIKE 'Written%'") == []


def test_a_value_that_postgresql_cannot_store_is_reported_and_the_shop_stays_as_it_was(old, new_url):
    Shop(old).execute("UPDATE books SET title = 'Em' || char(0) || 'ma'")
    failed = run(old, "move", new_url)
    assert (failed.exit_code, failed.stderr.count("\n")) == (1, 1)
    assert "NUL (0x00) bytes. The old database was not changed, and the shop can go on with it." in failed.stderr
    assert Shop(old).book("Written later")


def test_rows_that_do_not_arrive_are_noticed_and_nothing_is_moved(old, new_url, tmp_path, monkeypatch):
    def write_fewer(connection, table, rows):
        write_rows(connection, table, list(rows)[1:] if table.name == "movements" else rows)

    monkeypatch.setattr(service, "write_rows", write_fewer)
    failed = run(old, "move", new_url)
    assert (failed.exit_code, "The rows of movements are not the same" in failed.stderr) == (1, True)
    assert (tmp_path / "shop.db").stat().st_mode & 0o200
    with shop_at(new_url, tmp_path) as new, new.app_context(), db.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_class WHERE relname = 'books'")) == 0


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://root@localhost/shop", "URL has the unknown scheme 'mysql'"),
        ("shop", "URL is not a database URL"),
        ("sqlite:////tmp/other.db", "moves a shop from SQLite to PostgreSQL"),
        ("postgresql:///shop?host=/nowhere", "The database reported an error"),
    ],
)
def test_other_targets_are_refused_in_a_sentence(old, url, sentence):
    refused = run(old, "move", url)
    assert (refused.exit_code, sentence in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)
