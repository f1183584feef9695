"""The databases of the tests: where they lie, how they are emptied, and how a state is kept and restored."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Connection, Engine, create_engine, insert, make_url, select, text

from bookshop.extensions import db, limiter
from bookshop.kit.database import WRITES, Base
from tests.support.settings import settings_for

TABLES = Base.metadata.sorted_tables
BY_TEST = "bookshop_by_test"  # marks statements that a test sends itself, see tests/support/cases.py
ROOM = 500_000_000  # bytes that a folder in memory must have left; containers often have only 64 MB
LARGE = 2_000_000  # bytes from which on TRUNCATE is quicker than DELETE

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


def memory_folder() -> str | None:
    """A folder in memory for files that need not survive a crash; None where there is none, or none with room."""
    folder = "/dev/shm"
    usable = os.path.isdir(folder) and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM
    return folder if usable else None


@contextmanager
def folder_in_memory(prefix: str) -> Iterator[Path]:
    """A new folder, in memory if possible, deleted at the end."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=memory_folder()) as folder:
        yield Path(folder)


# ---------------------------------------------------------------- databases of PostgreSQL


@contextmanager
def new_database(server_url: str, name: str) -> Iterator[str]:
    """An empty database beside the one at this address of PostgreSQL, gone at the end; yields its address."""
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
    """Drop whatever is in a PostgreSQL database that was handed to us."""
    engine = create_engine(settings_for(url).database_url, execution_options={BY_TEST: True})
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


# ---------------------------------------------------------------- emptying


def empty(app: Flask) -> None:
    """Empty all tables, the folders of covers and e-mail, and the counters of limits; ids count from 1 again."""
    with app.app_context():
        engine = db.engine
        limiter.reset()
    with driver_connection(engine) as connection:
        (_empty_sqlite if engine.dialect.name == "sqlite" else _empty_postgresql)(connection)
    for path in _files(app):
        path.unlink()


@contextmanager
def driver_connection(engine: Engine) -> Iterator[Any]:
    """A connection of the database's driver: for what should cost a test next to nothing."""
    connection = engine.raw_connection()
    try:
        yield connection
    finally:
        connection.close()  # goes back to the pool, rolled back


def _empty_sqlite(connection: Any) -> None:
    deletes = "; ".join(f"DELETE FROM {table.name}" for table in reversed(TABLES))
    connection.cursor().executescript(f"BEGIN IMMEDIATE; {deletes}; COMMIT")


def _empty_postgresql(connection: Any) -> None:
    """DELETE is quick where there is little; TRUNCATE makes new files for each table and index."""
    cursor = connection.cursor()
    size = (
        "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    if cursor.execute(size).fetchone()[0] > LARGE:
        cursor.execute(f"TRUNCATE {', '.join(table.name for table in TABLES)} RESTART IDENTITY CASCADE")
    else:
        cursor.execute(_deletes(tuple(_sequences(cursor))))
    connection.commit()


def _sequences(cursor: Any) -> dict[str, int | None]:
    """The last value of each sequence; None if it was never asked."""
    found = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
    return dict(cursor.execute(found).fetchall())


@cache
def _deletes(sequences: tuple[str, ...]) -> str:
    begin_again = ", ".join(f"setval('{name}', 1, false)" for name in sequences)
    return "; ".join([*(f"DELETE FROM {table.name}" for table in reversed(TABLES)), f"SELECT {begin_again}"])


def _files(app: Flask) -> list[Path]:
    """The covers that were uploaded, and the e-mails that were written into a folder."""
    folders = app.config["SETTINGS"].covers, app.config["SETTINGS"].mail_folder
    return [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]


# ---------------------------------------------------------------- reading and restoring


def rows_of(app: Flask, *queries: str) -> list[list[tuple[Any, ...]]]:
    """The rows of each query as the driver gives them, all over one connection: cheap enough for every test."""
    with app.app_context():
        engine = db.engine
    with driver_connection(engine) as connection:
        cursor = connection.cursor()
        return [list(map(tuple, cursor.execute(query).fetchall())) for query in queries]


class Snapshot:
    """What an application has stored at this moment, in tables, sequences and folders; it can be put back any time."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        kept = {table: [column for column in table.columns if column.computed is None] for table in TABLES}
        with _connection(app) as connection:
            found = ((table, connection.execute(select(*columns))) for table, columns in kept.items())
            self.rows = [(table, [dict(row) for row in result.mappings()]) for table, result in found]
            self.sequences = self._on_postgresql(connection, _sequences) or {}
        self.files = {path: path.read_bytes() for path in _files(app)}

    def restore(self) -> None:
        """Put everything back into the emptied application."""
        with _connection(self.app) as connection:
            for table, rows in self.rows:
                if rows:
                    connection.execute(insert(table), rows)
            self._on_postgresql(connection, self._set_sequences)
            connection.commit()
        for path, content in self.files.items():
            path.write_bytes(content)

    def _set_sequences(self, cursor: Any) -> None:
        asked = {name: value for name, value in self.sequences.items() if value is not None}
        cursor.execute("SELECT " + ", ".join(f"setval('{name}', {value})" for name, value in asked.items()))

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
