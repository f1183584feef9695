"""Restores a backup into the shop's database."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import inspect

from bookshop.backups import schema
from bookshop.backups.archive import Archive, Manifest
from bookshop.backups.service import BackupService, check_empty, check_version, load
from bookshop.backups.sqlite_file import file_of_shop, only_user
from bookshop.checks import broken_invariants
from bookshop.extensions import db, settings
from bookshop.kit.database import truncate_wal
from bookshop.kit.exceptions import Conflict, in_seconds_or_minutes, reason_of
from bookshop.kit.storage import storage_at
from bookshop.operations.models import WorkerBeat
from bookshop.operations.repository import OperationsRepository
from bookshop.operations.service import ALIVE
from bookshop.web import services

OR_REPLACE = ", or replace the shop with --replace"
STILL_ALIVE = (
    "The shop is running: a worker was alive {} ago. Stop the server and all workers, and try again. If it was killed, "
    "wait a minute, or use --even-if-running."
)
NOT_WRITTEN = "The pictures cannot be written into {}: {}. Check BOOKSHOP_COVERS and its disk or bucket."


@dataclass(frozen=True)
class Restored:
    """What was restored: how many messages are held, and the lines of `flask check`."""

    manifest: Manifest
    held: int
    problems: Sequence[str]


def restore_backup(path: Path, *, replace: bool, hold_messages: bool, even_if_running: bool = False) -> Restored:
    """Replace the shop by a backup, all of it or nothing, and check it.

    The file is read once to the end before anything is changed. Everything that the database then holds is written in
    one transaction: a killed restore leaves the database as it was, and can be repeated. Raises Conflict if there is a
    shop already, unless `replace`, if it is running, if the backup is newer than this version, or if the pictures
    cannot be written; Invalid if the file is damaged, and OSError if it cannot be read.
    """
    if not even_if_running:
        check_stopped()
    with path.open("rb") as file:
        archive = Archive(file)
        check_version(archive)
        archive.verify()
        if not replace:
            check_empty(db.session.connection(), OR_REPLACE)
            db.session.rollback()
        _write_covers(archive)
        held = services.commit(lambda: _restore(archive, replace=replace, hold_messages=hold_messages))
    truncate_wal(db.engine)
    return Restored(archive.manifest, held, list(broken_invariants(db.session())))


def check_stopped() -> None:
    """Raise Conflict if the shop seems to be running: a worker is alive, or others have the file of SQLite open."""
    session = db.session()
    if inspect(session.connection()).has_table(WorkerBeat.__tablename__):
        ages = [beat.age for beat in OperationsRepository(session).list_beats()]
        if ages and min(ages) < ALIVE:
            raise Conflict(STILL_ALIVE.format(in_seconds_or_minutes(max(1, round(min(ages))))))
    session.rollback()
    if db.engine.dialect.name == "sqlite" and file_of_shop().is_file():
        with only_user():
            pass


def has_shop() -> bool:
    """Whether the database has a shop, which a restore would replace."""
    found = schema.has_shop(db.session.connection())
    db.session.rollback()  # PostgreSQL ends a transaction that waits for a person
    return found


def _write_covers(archive: Archive) -> None:
    storage = storage_at(settings().covers)
    for name, content in archive.read_covers():
        try:
            storage.write(name, content)
        except OSError as error:
            raise Conflict(NOT_WRITTEN.format(storage, reason_of(error))) from error


def _restore(archive: Archive, *, replace: bool, hold_messages: bool) -> int:
    connection = db.session.connection()
    if not replace:
        check_empty(connection, OR_REPLACE)
    load(connection, archive)
    return BackupService(db.session()).silence(archive.manifest, hold_messages=hold_messages)
