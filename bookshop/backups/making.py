"""Makes backups of the running shop, and tries each of them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from bookshop.backups import files, schema
from bookshop.backups.archive import COVER_NAME, FORMAT, MADE_AT, Archive, ArchiveWriter, Covers, Manifest, Part
from bookshop.backups.rows import Row, read_rows, tables_of
from bookshop.backups.service import BackupService, load
from bookshop.checks import broken_invariants
from bookshop.extensions import db, settings
from bookshop.kit.database import configure_sqlite
from bookshop.kit.exceptions import BookshopError, Conflict, reason_of
from bookshop.kit.storage import storage_at
from bookshop.retention.repository import RetentionRepository
from bookshop.web import services

Continue = Callable[[], None]  # called all along; raises an exception to give up
HURRY = ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536")  # a trial need not survive anything

NOT_READ = "The pictures cannot be read from {}: {}. Check BOOKSHOP_COVERS, then make the backup again."
NOT_TRIED = (
    "The backup cannot be tried in {}: {}. The trial needs about as much free space there as the database takes: free "
    "some, or choose another folder."
)
TOO_NEW = "The schema {} is newer than this version of the shop: back up with the version that is in use."


@dataclass(frozen=True)
class Made:
    """A backup that is complete; `problems` are the lines of `flask check` on a copy that was restored from it."""

    manifest: Manifest
    size: int
    problems: Sequence[str]
    missing_pictures: int

    @property
    def rows(self) -> int:
        """How many rows it holds, in all tables."""
        return sum(part.rows for part in self.manifest.tables.values())


def make_backup(target: Path, carry_on: Continue = lambda: None) -> Made:
    """Write a backup of the running shop, and replace `target` once a trial has restored it.

    Nothing is locked: all rows are those of one moment. Raises OSError if the file cannot be written, and Conflict if
    the pictures cannot be read or the trial cannot be made.
    """
    with files.part_of(target) as file:
        manifest = _write(file, carry_on)
        file.flush()
        with files.trial_database(target.parent) as path:
            problems, missing = _try(Archive(file, carry_on), path)
        return Made(manifest, file.seek(0, 2), problems, missing)


def record(target: Path, made: Made) -> None:
    """Record a backup in the shop, unless its schema is still an older one."""
    backups = BackupService(db.session())
    if backups.can_record():
        services.commit(lambda: backups.record(target.name, made.size, settings().keep_backups))


def try_record(target: Path, made: Made) -> str:
    """Record a backup, which is complete without that; returns why it cannot be recorded, or ''."""
    try:
        record(target, made)
    except (BookshopError, SQLAlchemyError) as error:
        db.session.rollback()
        return reason_of(error)
    return ""


def _write(file: BinaryIO, carry_on: Continue) -> Manifest:
    """Write everything. Pictures are read before the rows, as the purge may delete one that is replaced meanwhile.

    Those that are new since are read after the rows: the purge deletes none of that age.
    """
    with ArchiveWriter(file) as writer:
        _add_covers(writer, carry_on)
        with _snapshot() as connection:
            revision, made_at = schema.revision_of(connection), datetime.now(UTC)
            if not schema.is_known(revision):
                raise Conflict(TOO_NEW.format(revision))
            for table in tables_of(connection):
                writer.add_rows(table.name, list(table.columns), _each(read_rows(connection, table), carry_on))
        _add_covers(writer, carry_on)
        return writer.finish(partial(_manifest, revision, made_at))


def _add_covers(writer: ArchiveWriter, carry_on: Continue) -> None:
    for name, content in _read_covers(without=writer.covers):
        writer.add_cover(name, content)
        carry_on()


def _read_covers(without: Collection[str]) -> Iterator[tuple[str, bytes]]:
    storage = storage_at(settings().covers)
    try:
        stored = sorted(name for name, _age in storage.names() if COVER_NAME.fullmatch(name) and name not in without)
        for name in stored:
            if (content := storage.read(name)) is not None:
                yield name, content
    except OSError as error:
        raise Conflict(NOT_READ.format(storage, reason_of(error))) from error


def _manifest(revision: str, made_at: datetime, tables: dict[str, Part], covers: Covers) -> Manifest:
    return Manifest(
        format=FORMAT,
        version=version("bookshop"),
        schema_revision=revision,
        database=db.engine.dialect.name,
        made_at=made_at.strftime(MADE_AT),
        tables=tables,
        covers=covers,
    )


def _each(batches: Iterator[Sequence[Row]], carry_on: Continue) -> Iterator[Sequence[Row]]:
    for batch in batches:
        carry_on()
        yield batch


@contextmanager
def _snapshot() -> Iterator[Connection]:
    """Open a connection that sees one moment of the shop, on which nobody waits."""
    options = {} if db.engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with db.engine.connect().execution_options(**options, postgresql_readonly=True) as connection, connection.begin():
        yield connection


def _try(archive: Archive, path: Path) -> tuple[Sequence[str], int]:
    """Restore a backup into a new SQLite file; return the lines of `flask check`, and how many pictures are missing."""
    archive.verify()
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, hide_parameters=True)
    configure_sqlite(engine)
    event.listen(engine, "connect", _hurry)
    try:
        with engine.begin() as connection:
            load(connection, archive)
    except OperationalError as error:
        raise Conflict(NOT_TRIED.format(path.parent, reason_of(error))) from error
    with Session(engine) as session:
        stored = {name.partition("-")[0] for name in archive.covers}
        missing = set(RetentionRepository(session).pictures_in_use()) - stored
        return list(broken_invariants(session)), len(missing)


def _hurry(connection: Any, _record: Any) -> None:
    for pragma in HURRY:
        connection.execute(f"PRAGMA {pragma}")
