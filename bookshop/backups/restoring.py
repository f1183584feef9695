"""Restores a backup into the shop's database, and moves the shop from SQLite to PostgreSQL."""

import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bookshop.backups.archive import Archive, Manifest
from bookshop.backups.service import BackupService, check_empty, check_version, copy, load
from bookshop.checks import broken_invariants
from bookshop.config import TCP_TIMEOUTS
from bookshop.extensions import db, settings
from bookshop.kit.database import configure_engine, truncate_wal
from bookshop.kit.exceptions import Conflict
from bookshop.kit.storage import storage_at
from bookshop.web import services

OR_REPLACE = ", or replace the shop with --replace"
NO_FILE = "There is no file {}: the shop's database has not been created yet."
IN_USE = (
    "The shop is running, or another program has its database open. Stop the server and all workers, and try again."
)
ONLY_TO_POSTGRESQL = (
    "This command moves a shop from SQLite to PostgreSQL. For any other way, make a backup with `flask backup`, set "
    "BOOKSHOP_DATABASE_URL to the new database, and restore it with `flask restore`."
)


@dataclass(frozen=True)
class Restored:
    """What was restored: how many messages are held, and the lines of `flask check`."""

    manifest: Manifest
    held: int
    problems: Sequence[str]


def restore_backup(path: Path, *, replace: bool, hold_messages: bool) -> Restored:
    """Replace the shop by a backup, all of it or nothing, and check it.

    The file is read once to the end before anything is changed. Everything that the database then holds is written in
    one transaction: a killed restore leaves the database as it was, and can be repeated. Raises Conflict if there is a
    shop already, unless `replace`, or if the backup is newer than this version; Invalid if the file is damaged.
    """
    with path.open("rb") as file:
        archive = Archive(file)
        check_version(archive)
        archive.verify()
        if not replace:
            services.commit(lambda: check_empty(db.session.connection(), OR_REPLACE))
        storage = storage_at(settings().covers)
        for name, content in archive.read_covers():
            storage.write(name, content)
        held = services.commit(lambda: _restore(archive, replace=replace, hold_messages=hold_messages))
    truncate_wal(db.engine)
    return Restored(archive.manifest, held, list(broken_invariants(db.session())))


def _restore(archive: Archive, *, replace: bool, hold_messages: bool) -> int:
    connection = db.session.connection()
    if not replace:
        check_empty(connection, OR_REPLACE)
    load(connection, archive)
    return BackupService(db.session()).silence(archive.manifest, hold_messages=hold_messages)


# ---------------------------------------------------------------- from SQLite to PostgreSQL


def move_shop(target_url: str) -> tuple[Mapping[str, int], Sequence[str]]:
    """Copy everything into the empty database at a URL; returns the rows of each table, and the lines of `flask check`.

    While it runs, nobody else can open the SQLite file, so nothing changes meanwhile. Afterwards the file is read-only:
    a server that was not stopped cannot write what would be lost. Raises Conflict if the shop is running, or if the
    target has a shop.
    """
    if db.engine.dialect.name != "sqlite" or target_url.startswith("sqlite"):
        raise Conflict(ONLY_TO_POSTGRESQL)
    target_engine = create_engine(target_url, poolclass=NullPool, hide_parameters=True, connect_args=TCP_TIMEOUTS)
    configure_engine(target_engine)
    with _source() as source, target_engine.begin() as target:
        check_empty(target)
        copied = copy(source, target)
    file = _file_of_shop()
    file.chmod(file.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    with Session(target_engine) as session:
        return copied, list(broken_invariants(session))


def _file_of_shop() -> Path:
    return Path(str(db.engine.url.database))


@contextmanager
def _source() -> Iterator[Connection]:
    """Open the SQLite file for this process alone; raises Conflict if any other has it open."""
    db.session.remove()
    db.engine.dispose()
    if not _file_of_shop().is_file():
        raise Conflict(NO_FILE.format(_file_of_shop()))
    engine = create_engine(db.engine.url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": 1})
    event.listen(engine, "connect", _lock_out_others)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
    except OperationalError as error:
        if isinstance(error.orig, sqlite3.OperationalError) and "locked" in str(error.orig):
            raise Conflict(IN_USE) from None
        raise


def _lock_out_others(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
