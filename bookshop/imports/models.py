"""Imports, what they report, and what they remember."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now

CHECKING, CHECKED, IMPORTING, PAUSED = "checking", "checked", "importing", "paused"
DONE, CANCELLED, FAILED, UNDOING, UNDONE = "done", "cancelled", "failed", "undoing", "undone"
ACTIVE = (CHECKING, IMPORTING, UNDOING)  # states in which a worker has something to do
REFUSED, GUESS, ADOPTED, WAITING, KEPT, HIDDEN = "refused", "guess", "adopted", "waiting", "kept", "hidden"
FILE_NAME_MAX = 200
IS_ACTIVE = text("state IN ('checking', 'importing', 'undoing')")


class ImportJob(Base):
    """One import of a file, from its check to its report.

    The counts are what the import would do until it has begun, then what it has done. `position` is how many bytes of
    the plan have been applied, or the last book that an undo has looked at. A worker holds the import as `worker` until
    `claimed_until`, and renews this with each batch.
    """

    __tablename__ = "import_jobs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('checking', 'checked', 'importing', 'paused', 'done', 'cancelled', 'failed', "
            "'undoing', 'undone')",
            name="state",
        ),
        CheckConstraint("lines = added + updated + unchanged + refused", name="lines"),
        CheckConstraint("(worker IS NULL) = (claimed_until IS NULL)", name="worker"),
        Index("ix_import_jobs_active", "id", sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # NULL: a command
    file_name: Mapped[str] = mapped_column(String(FILE_NAME_MAX))
    state: Mapped[str] = mapped_column(String(10), default=CHECKING)
    price_cents: Mapped[int | None]  # for new books without one in the file
    stock_quantity: Mapped[int | None]  # likewise
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)  # why it failed, for staff

    # What the check has found out about the file.
    format: Mapped[str | None] = mapped_column(String(500))
    encoding: Mapped[str | None] = mapped_column(String(30))  # for people; found by the check or chosen by staff
    header: Mapped[list[str]] = mapped_column(JSON, default=list)
    mapping: Mapped[list[str]] = mapped_column(JSON, default=list)  # the field of each column; "": it is not used
    decimal: Mapped[str | None] = mapped_column(String(1))  # the decimal separator; chosen by staff or by the check
    names: Mapped[str | None] = mapped_column(String(11))  # the order of names, likewise
    preview: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)  # the first books as they would become

    lines: Mapped[int] = mapped_column(default=0)
    added: Mapped[int] = mapped_column(default=0)
    updated: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    unpriced: Mapped[int] = mapped_column(default=0)
    notified: Mapped[int] = mapped_column(default=0)  # customers
    removed: Mapped[int] = mapped_column(default=0)  # books, by undoing it

    position: Mapped[int] = mapped_column(BigInteger, default=0)
    size: Mapped[int] = mapped_column(BigInteger, default=0)  # of the plan, in bytes
    worker: Mapped[str | None] = mapped_column(String(16))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ImportNote(Base):
    """Something to report about a line of an import: why it was refused, what was guessed, and so on."""

    __tablename__ = "import_notes"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("import_jobs.id", ondelete="CASCADE"))
    line: Mapped[int | None]  # NULL: it is about a book of the shop
    kind: Mapped[str] = mapped_column(String(10))
    sentence: Mapped[str] = mapped_column(Text)


class ColumnMapping(Base):
    """What staff have chosen for the columns of a header, remembered for the next file with it."""

    __tablename__ = "column_mappings"

    header_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    mapping: Mapped[list[str]] = mapped_column(JSON)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class OnixRecord(Base):
    """The ONIX record of a book, compressed (zlib), for what the shop has no field for yet."""

    __tablename__ = "onix_records"

    book_id: Mapped[int] = mapped_column(ForeignKey("books.id"), primary_key=True, autoincrement=False)
    record: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
