"""Shops to back up and to restore into, and their contents in comparable form."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import Result
from flask import Flask
from sqlalchemy import select

from bookshop import create_app
from bookshop.extensions import db
from tests.support.databases import TABLES, new_database
from tests.support.settings import settings_for

PICTURE = "c" * 32
# What a restore changes, besides unsent messages.
SILENCED = {"login_sessions", "worker_beats", "audit_entries", "backups", "skipped_positions"}


def run(app: Flask, *words: object, typed: str | None = None) -> Result:
    """Run a command of `flask`."""
    return app.test_cli_runner().invoke(args=[str(word) for word in words], input=typed)


@contextmanager
def shop_at(url: str, folder: Path, **changes: object) -> Iterator[Flask]:
    """Create the application on a database, with its own folder of covers; close its connections at the end."""
    app = create_app(settings_for(url, covers=folder / "covers", database_pool=4, **changes))
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


@contextmanager
def new_shop(dialect: str, server_url: str, folder: Path) -> Iterator[Flask]:
    """Create the application on a new and empty database."""
    folder.mkdir()
    if dialect == "sqlite":
        with shop_at(f"sqlite:///{folder}/shop.db", folder) as app:
            yield app
        return
    with new_database(server_url, "bookshop_restored") as url, shop_at(url, folder) as app:
        yield app


def contents(app: Flask) -> dict[str, list[Any]]:
    """Return all rows of all tables, the same for the same shop on both databases."""
    with app.app_context(), db.engine.connect() as connection:
        columns_of = {table: [column for column in table.columns if column.computed is None] for table in TABLES}
        return {
            table.name: sorted(map(tuple, connection.execute(select(*columns))), key=repr)
            for table, columns in columns_of.items()
        }


def differences(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> set[str]:
    """Return the names of the tables that differ."""
    return {name for name in one if one[name] != other[name]}
