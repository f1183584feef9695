"""The databases of the tests: where they are, how to empty them, and how to save and restore a state."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, create_engine, insert, make_url, select, text

from bookshop.extensions import db, limiter
from bookshop.kit.database import WRITES, Base
from tests.support.settings import settings_for

TABLES = Base.metadata.sorted_tables
BY_TEST = "bookshop_by_test"  # marks statements sent by a test itself, see tests/support/cases.py
MIN_FREE = 500_000_000  # bytes that a memory-backed folder must have free; containers often have only 64 MB
LARGE = 2_000_000  # bytes above which TRUNCATE is faster than DELETE

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


def memory_folder() -> str | None:
    """Return a memory-backed folder for files that need not survive a crash, or None if there is none with space."""
    folder = "/dev/shm"
    usable = os.path.isdir(folder) and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > MIN_FREE
    return folder if usable else None


@contextmanager
def folder_in_memory(prefix: str) -> Iterator[Path]:
    """Create a folder, in memory if possible; delete it at the end."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=memory_folder()) as folder:
        yield Path(folder)


# ---------------------------------------------------------------- PostgreSQL databases


@contextmanager
def new_database(server_url: str, name: str) -> Iterator[str]:
    """Create an empty database on the PostgreSQL server of this URL and yield its URL; drop it at the end."""
    url = make_url(settings_for(server_url).database_url)
    name = f"{name}_{WORKER}" if WORKER else name
    engine = create_engine(url, isolation_level="AUTOCOMMIT", execution_options={BY_TEST: True})
    try:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()


def drop_everything(url: str) -> None:
    """Drop everything in a PostgreSQL database that was given to us."""
    engine = create_engine(settings_for(url).database_url, execution_options={BY_TEST: True})
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


# ---------------------------------------------------------------- emptying


def empty(app: Flask) -> None:
    """Empty all tables, the folders of the shop's files and the rate limits; ids start at 1 again."""
    with app.app_context():
        engine = db.engine
        limiter.reset()
    with driver_connection(engine) as connection:
        (_empty_sqlite if engine.dialect.name == "sqlite" else _empty_postgresql)(connection)
    for path in _files(app):
        path.unlink()


@contextmanager
def driver_connection(engine: Engine) -> Iterator[Any]:
    """Yield a raw driver connection, for frequent work that must be cheap."""
    connection = engine.raw_connection()
    try:
        yield connection
    finally:
        connection.close()  # returns to the pool, rolled back


def _empty_sqlite(connection: Any) -> None:
    deletes = "; ".join(f"DELETE FROM {table.name}" for table in reversed(TABLES))
    connection.cursor().executescript(f"BEGIN IMMEDIATE; {deletes}; COMMIT")


def _empty_postgresql(connection: Any) -> None:
    """DELETE is fast for few rows; TRUNCATE creates new files for each table and index."""
    cursor = connection.cursor()
    size = (
        "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    if cursor.execute(size).fetchone()[0] > LARGE:
        cursor.execute(f"TRUNCATE {', '.join(table.name for table in TABLES)} RESTART IDENTITY CASCADE")
    else:
        _delete_all(connection, cursor)
    connection.commit()


def _delete_all(connection: Any, cursor: Any) -> None:
    """Delete all rows, again if a request whose connection was lost is still being rolled back by the server."""
    deletes = _deletes(tuple(_sequences(cursor)))
    for _attempt in range(5):
        try:
            cursor.execute(deletes)
        except DeadlockDetected:
            connection.rollback()
        else:
            return
    cursor.execute(deletes)


def _sequences(cursor: Any) -> dict[str, int | None]:
    """Return the last value of each sequence; None if it was never used."""
    query = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
    return dict(cursor.execute(query).fetchall())


@cache
def _deletes(sequences: tuple[str, ...]) -> str:
    restarts = ", ".join(f"setval('{name}', 1, false)" for name in sequences)
    return "; ".join([*(f"DELETE FROM {table.name}" for table in reversed(TABLES)), f"SELECT {restarts}"])


def _files(app: Flask) -> list[Path]:
    """List the uploaded covers, the files of imports and the e-mails written into a folder."""
    settings = app.config["SETTINGS"]
    folders = settings.covers, settings.imports, settings.mail_folder
    return [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]


# ---------------------------------------------------------------- reading and restoring


def columns_of(table: str) -> str:
    """List the columns of a table, but not when staff were last seen, which any request may change."""
    return ", ".join(column.name for column in Base.metadata.tables[table].columns if column.name != "last_seen_at")


def rows_of(app: Flask, *queries: str) -> list[list[tuple[Any, ...]]]:
    """Return each query's rows as raw tuples, over one connection: cheap enough for every test."""
    with app.app_context():
        engine = db.engine
    with driver_connection(engine) as connection:
        cursor = connection.cursor()
        return [list(map(tuple, cursor.execute(query).fetchall())) for query in queries]


class Snapshot:
    """A copy of an application's tables, sequences and files that can be restored repeatedly."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        columns_of = {table: [column for column in table.columns if column.computed is None] for table in TABLES}
        with _connection(app) as connection:
            results = ((table, connection.execute(select(*columns))) for table, columns in columns_of.items())
            self.rows = [(table, [dict(row) for row in result.mappings()]) for table, result in results]
            self.sequences = self._on_postgresql(connection, _sequences) or {}
        self.files = {path: path.read_bytes() for path in _files(app)}

    def restore(self) -> None:
        """Restore everything into the emptied application."""
        with _connection(self.app) as connection:
            for table, rows in self.rows:
                if rows:
                    connection.execute(insert(table), rows)
            self._on_postgresql(connection, self._set_sequences)
            connection.commit()
        for path, content in self.files.items():
            path.write_bytes(content)

    def _set_sequences(self, cursor: Any) -> None:
        used = {name: value for name, value in self.sequences.items() if value is not None}
        cursor.execute("SELECT " + ", ".join(f"setval('{name}', {value})" for name, value in used.items()))

    def _on_postgresql(self, connection: Connection, work: Callable[[Any], Any]) -> Any:
        if connection.dialect.name == "sqlite":
            return None
        driver: Any = connection.connection
        return work(driver.cursor())


@contextmanager
def _connection(app: Flask) -> Iterator[Connection]:
    with app.app_context():
        engine = db.engine
    with engine.connect() as connection:
        yield connection.execution_options(**{WRITES: 20, BY_TEST: True})
