"""Moves the shop from SQLite to PostgreSQL."""

import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bookshop.backups.service import check_empty, copy
from bookshop.backups.sqlite_file import file_of_shop, only_user
from bookshop.checks import broken_invariants
from bookshop.config import TCP_TIMEOUTS
from bookshop.extensions import db
from bookshop.kit.database import MOVED, configure_engine
from bookshop.kit.exceptions import Conflict, reason_of

NO_FILE = "There is no file {}: the shop's database has not been created yet."
ONLY_TO_POSTGRESQL = (
    "This command moves a shop from SQLite to PostgreSQL. For any other way, make a backup with `flask backup`, set "
    "BOOKSHOP_DATABASE_URL to the new database, and restore it with `flask restore`."
)
NOT_COPIED = "The database reported an error: {}. The old database was not changed, and the shop can go on with it."
NOT_CLOSED = (
    "Everything is copied, but the old database could not be marked as moved: {}. Start the shop with one of the two "
    "databases only: with the old one, empty the new one and move again."
)


def move_shop(target_url: str) -> tuple[Mapping[str, int], Sequence[str]]:
    """Copy everything into the empty database at a URL; returns the rows of each table, and the lines of `flask check`.

    While it runs, nobody else can open the SQLite file, so nothing changes meanwhile. In the same transaction the file
    is marked as moved: a server that was not stopped cannot write what would be lost. Raises Conflict if the shop is
    running, if the target has a shop, or if a database fails.
    """
    if db.engine.dialect.name != "sqlite" or target_url.startswith("sqlite"):
        raise Conflict(ONLY_TO_POSTGRESQL)
    if not file_of_shop().is_file():
        raise Conflict(NO_FILE.format(file_of_shop()))
    target_engine = create_engine(target_url, poolclass=NullPool, hide_parameters=True, connect_args=TCP_TIMEOUTS)
    configure_engine(target_engine)
    with only_user() as source:
        try:
            with target_engine.begin() as target:
                check_empty(target)
                copied = copy(source, target)
                source.exec_driver_sql(f"PRAGMA user_version = {MOVED}")
        except DBAPIError as error:
            raise Conflict(NOT_COPIED.format(reason_of(error))) from error
        try:
            source.commit()
        except DBAPIError as error:
            raise Conflict(NOT_CLOSED.format(reason_of(error))) from error
    _make_read_only()
    with Session(target_engine) as session:
        return copied, list(broken_invariants(session))


def _make_read_only() -> None:
    """Let no other program write into the file either, if its owner runs the command."""
    file = file_of_shop()
    with suppress(OSError):
        file.chmod(file.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
