"""What becomes of the rows of a backup in another database, and which backups were made."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, inspect
from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.backups import schema
from bookshop.backups.archive import Archive, Manifest
from bookshop.backups.models import NAME_MAX, Backup
from bookshop.backups.repository import BackupRepository
from bookshop.backups.rows import (
    Digest,
    Row,
    Table,
    digest_of,
    line_of,
    read_rows,
    set_sequences,
    tables_of,
    write_rows,
)
from bookshop.events.repository import EventRepository
from bookshop.kit.exceptions import Conflict, Invalid

SKIPPED = 10_000_000  # positions of events, besides one for each second since the backup
NOT_EMPTY = "The database has a shop already: it has users or books. Use an empty one{}."
NOT_THE_SAME = "The rows of {} are not the same after they were copied, so nothing was changed. Report this as a bug."
TOO_NEW = (
    "This backup has the schema {}, which is newer than this version of the shop. Restore it with version {} of the "
    "shop, which made it, or with a later one."
)


class BackupService:
    """Records backups, and silences a shop that was restored; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.backups = BackupRepository(session)

    def record(self, file: str, size: int, kept: int) -> None:
        """Record a backup that is complete now, and forget all but the newest `kept` ones."""
        self.backups.insert(file[-NAME_MAX:], size)
        self.backups.keep_newest(kept)

    def can_record(self) -> bool:
        """Whether the schema is new enough to have the list of backups."""
        return inspect(self.session.connection()).has_table(Backup.__tablename__)

    def silence(self, manifest: Manifest, *, hold_messages: bool) -> int:
        """Let a restored shop repeat nothing; returns how many messages are held.

        Unsent messages are held unless told otherwise, logins are ended, former backups are no longer listed, the
        positions of events jump beyond those given since the backup, and the audit log says what was restored.
        """
        held = self.backups.hold_messages() if hold_messages else 0
        self.backups.forget_former_machine()
        EventRepository(self.session).skip_positions(SKIPPED + manifest.age)
        details = {"made_at": manifest.made_at, "held_messages": held}
        AuditService(self.session).record("shop.restored", None, None, details)
        return held


def check_empty(connection: Connection, otherwise: str = "") -> None:
    """Raise Conflict if the database has a shop; `otherwise` is what else can be done."""
    if schema.has_shop(connection):
        raise Conflict(NOT_EMPTY.format(otherwise))


def check_version(archive: Archive) -> None:
    """Raise Conflict if a backup is newer than this version of the shop."""
    manifest = archive.manifest
    if not schema.is_known(manifest.schema_revision):
        raise Conflict(TOO_NEW.format(manifest.schema_revision, manifest.version))


def load(connection: Connection, archive: Archive) -> None:
    """Replace everything in a database by what a backup holds, in the schema of this version.

    All in the transaction of this connection. Compares the rows that are then in the database with the manifest.
    """
    parts = archive.manifest.tables
    for table in _empty_tables(connection, archive.manifest.schema_revision):
        part = parts.get(table.name)
        if part is None or part.columns != list(table.columns):
            raise Invalid(f"The backup has other columns of {table.name} than its schema. Use another backup.")
        write_rows(connection, table, archive.rows(table.name))
        _compare(table, (part.rows, part.digest), digest_of(connection, table))
    _complete(connection)


def copy(source: Connection, target: Connection) -> dict[str, int]:
    """Replace everything in the target by what the source has, and compare; returns the rows of each table.

    In the transactions of both; the source must see the same moment in all of its own.
    """
    copied = {}
    for table in _empty_tables(target, schema.revision_of(source)):
        digest = Digest()
        write_rows(target, table, _added_to(digest, read_rows(source, table)))
        _compare(table, (digest.rows, str(digest)), digest_of(target, table))
        copied[table.name] = digest.rows
    _complete(target)
    return copied


def _added_to(digest: Digest, batches: Iterator[Sequence[Row]]) -> Iterator[Row]:
    for batch in batches:
        for row in batch:
            digest.add(line_of(row))
            yield row


def _empty_tables(connection: Connection, revision: str) -> Collection[Table]:
    """Create the schema anew, without the rows that migrations may have added; returns its tables."""
    schema.drop_all(connection)
    schema.migrate(connection, revision)
    tables = tables_of(connection)
    for table in reversed(tables):
        connection.exec_driver_sql(f'DELETE FROM "{table.name}"')  # noqa: S608 - names from the schema
    return tables


def _compare(table: Table, expected: tuple[int, str], found: Digest) -> None:
    if (found.rows, str(found)) != expected:
        raise Conflict(NOT_THE_SAME.format(table.name))


def _complete(connection: Connection) -> None:
    set_sequences(connection)
    schema.migrate(connection)
