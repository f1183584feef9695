"""SQL for events. Only the repositories that change movements, pre-bookings and orders write them."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    Executable,
    Integer,
    Select,
    String,
    bindparam,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from bookshop.events.kinds import MOVEMENT_KINDS, PREBOOKING_KINDS
from bookshop.events.models import HAS_NO_POSITION, Event, SkippedPositions
from bookshop.kit.database import UtcDateTime, dialect_of, now, rows_from_json, table_of

# Only one transaction at a time assigns positions; the number is not used by any other advisory lock.
POSITIONS_LOCK = text("SELECT pg_advisory_xact_lock(20120)")
BATCH = 10_000  # positions assigned in one transaction

SUBJECTS = ("movement_id", "prebooking_id", "order_id")

# Prebuilt from tables, because reservations and checkouts run them: 164 µs instead of 280 (bench/statements.py).
events = table_of(Event)
positioned = events.alias("positioned")
skipped = table_of(SkippedPositions)
LAST_POSITION = select(func.coalesce(func.max(positioned.c.position), 0)).scalar_subquery()
_highest = (func.max(positioned.c.position).label("position"), func.max(skipped.c.until_position))
_taken = union_all(*map(select, _highest)).subquery("taken")
LAST_TAKEN = select(func.coalesce(func.max(_taken.c.position), 0)).scalar_subquery()
IS_BEHIND = select(select(events.c.id).where(HAS_NO_POSITION).exists())


@cache
def _insert(dialect: str) -> Executable:
    """Insert all events in one statement. SQLite has one writer at a time, so positions are assigned at once there."""
    rows = rows_from_json(dialect, "rows", number=Integer, kind=String, **dict.fromkeys(SUBJECTS, Integer))
    values: dict[str, Any] = {name: rows.c[name] for name in ("kind", *SUBJECTS)}
    values["created_at"] = bindparam("time", type_=UtcDateTime)
    if dialect == "sqlite":
        values["position"] = LAST_TAKEN + rows.c.number
    source = select(*values.values()).order_by(rows.c.number)
    return insert(events).from_select(list(values), source, include_defaults=False)


@cache
def _insert_each(dialect: str, kind: str, subjects: Select[int]) -> Executable:
    """Insert one event for each id that a query returns, in the order of the ids."""
    (subject_id,) = subjects.subquery("subjects").c
    values: dict[str, Any] = {
        "kind": literal(kind),
        _subject(kind): subject_id,
        "created_at": bindparam("time", type_=UtcDateTime),
    }
    if dialect == "sqlite":
        values["position"] = LAST_TAKEN + func.row_number().over(order_by=subject_id)
    source = select(*values.values()).order_by(subject_id)
    return insert(events).from_select(list(values), source, include_defaults=False)


class EventRepository:
    """Writes events in the caller's transaction and assigns positions; never commits.

    The caller must hold the lock on the book, pre-booking or order that it changes until the commit, so that events
    about the same row are written, and therefore numbered, in the order of their commits. Independent events that are
    numbered together are in the order in which they were written, which may differ from that of their commits.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = dialect_of(session)

    def insert(self, *changes: tuple[str, Iterable[int]]) -> None:
        """Write events: each change is a kind and the ids of its movements, pre-bookings or orders."""
        rows = [{"kind": kind, _subject(kind): subject_id} for kind, ids in changes for subject_id in ids]
        if rows:
            numbered = [{**row, "number": number} for number, row in enumerate(rows, start=1)]
            self.session.connection().execute(_insert(self.dialect), {"rows": numbered, "time": now()})

    def insert_each(self, kind: str, subjects: Select[int], values: Mapping[str, Any]) -> None:
        """Write an event of this kind for each id that a query returns, in one statement.

        The statement is cached by `subjects`, which must be a prebuilt query; `values` are its parameters.
        """
        self.session.connection().execute(_insert_each(self.dialect, kind, subjects), {**values, "time": now()})

    def is_behind(self) -> bool:
        """Return whether any committed event has no position yet."""
        return bool(self.session.connection().scalar(IS_BEHIND))

    def assign_positions(self) -> bool:
        """Assign the next positions to up to 10,000 committed events without one; returns whether there may be more.

        Run it in its own transaction on PostgreSQL, under READ COMMITTED. If positions were assigned before the commit,
        event 7 could become visible before event 6, and a client that had read 7 would miss 6. Assigned after the
        commit, by one transaction at a time, they become visible in order. The lock is a separate statement so that the
        update sees what the previous holder committed.
        """
        connection = self.session.connection()
        connection.execute(POSITIONS_LOCK)
        unpositioned = select(events.c.id, func.row_number().over(order_by=events.c.id).label("number"))
        batch = unpositioned.where(HAS_NO_POSITION).order_by(events.c.id).limit(BATCH).subquery("waiting")
        assigned = update(events).where(events.c.id == batch.c.id)
        result: Any = connection.execute(assigned.values(position=LAST_TAKEN + batch.c.number))
        return bool(result.rowcount == BATCH)

    def skip_positions(self, number: int) -> None:
        """Let the next event have a position that is larger by at least `number`."""
        connection = self.session.connection()
        while self.is_behind() and self.assign_positions():
            pass
        source = select(LAST_TAKEN + number, LAST_POSITION)
        connection.execute(insert(skipped).from_select(["until_position", "after_position"], source))


def next_position(after: int) -> Select[int]:
    """Return the query for the first position after this one that an event has."""
    return select(func.min(events.c.position)).where(events.c.position > after)


def _subject(kind: str) -> str:
    """Return the foreign key column for events of this kind."""
    return "movement_id" if kind in MOVEMENT_KINDS else "prebooking_id" if kind in PREBOOKING_KINDS else "order_id"
