"""SQL about events, which are written by the repositories that change movements, pre-bookings and orders alone."""

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
    update,
)
from sqlalchemy.orm import Session

from bookshop.events.kinds import OF_MOVEMENTS, OF_PREBOOKINGS
from bookshop.events.models import HAS_NO_POSITION, Event
from bookshop.kit.database import UtcDateTime, dialect_of, now, rows_from_json, table_of

POSITIONS_LOCK = text(
    "SELECT pg_advisory_xact_lock(20120)"
)  # as one gives out places at a time; a number of no other lock
AT_ONCE = 10_000  # places that are given in one transaction

SUBJECTS = ("movement_id", "prebooking_id", "order_id")

# Made once, of tables, as reservations and checkouts send them: 164 µs instead of 280 (bench/statements.py).
events = table_of(Event)
placed = events.alias("placed")
LAST_POSITION = select(func.coalesce(func.max(placed.c.position), 0)).scalar_subquery()
IS_BEHIND = select(select(events.c.id).where(HAS_NO_POSITION).exists())


@cache
def _insert(dialect: str) -> Executable:
    """One statement for all events. SQLite's writers are one at a time, so there each has its place at once."""
    given = rows_from_json(dialect, "rows", number=Integer, kind=String, **dict.fromkeys(SUBJECTS, Integer))
    values: dict[str, Any] = {name: given.c[name] for name in ("kind", *SUBJECTS)}
    values["created_at"] = bindparam("time", type_=UtcDateTime)
    if dialect == "sqlite":
        values["position"] = LAST_POSITION + given.c.number
    happened = select(*values.values()).order_by(given.c.number)
    return insert(events).from_select(list(values), happened, include_defaults=False)


@cache
def _insert_each(dialect: str, kind: str, subjects: Select[int]) -> Executable:
    """One event for each row of a query, however many there are, in the order of the ids."""
    found = subjects.subquery("subjects")
    (subject_id,) = found.c
    values: dict[str, Any] = {
        "kind": literal(kind),
        _subject(kind): subject_id,
        "created_at": bindparam("time", type_=UtcDateTime),
    }
    if dialect == "sqlite":
        values["position"] = LAST_POSITION + func.row_number().over(order_by=subject_id)
    happened = select(*values.values()).order_by(subject_id)
    return insert(events).from_select(list(values), happened, include_defaults=False)


class EventRepository:
    """Writes events in the caller's transaction and gives them their places; never commits.

    Who writes an event holds the lock that lets others wait who would change the same thing, so that the events of a
    book, or of an order, are written in the order of the commits.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = dialect_of(session)

    def insert(self, *happened: tuple[str, Iterable[int]]) -> None:
        """Write what happened: kinds, each with the ids of the movements, pre-bookings or orders of which it is so."""
        rows = [{"kind": kind, _subject(kind): subject_id} for kind, ids in happened for subject_id in ids]
        if rows:
            numbered = [{**row, "number": number} for number, row in enumerate(rows, start=1)]
            self.session.connection().execute(_insert(self.dialect), {"rows": numbered, "time": now()})

    def insert_each(self, kind: str, subjects: Select[int], values: Mapping[str, Any]) -> None:
        """Write that this happened to each of the ids that a query finds; one statement for all.

        The query is made once, and its parameters are `values`: the statement around it is kept.
        """
        self.session.connection().execute(_insert_each(self.dialect, kind, subjects), {**values, "time": now()})

    def is_behind(self) -> bool:
        """Whether any committed event has no place yet."""
        return bool(self.session.connection().scalar(IS_BEHIND))

    def assign_positions(self) -> bool:
        """Give committed events without a place the next ones, at most 10,000; returns whether more may wait.

        In a transaction of its own on PostgreSQL, under READ COMMITTED. Places given before the commits would be seen
        in the order of the commits, and who had read 7 would never be shown a 6 that was committed later. Given
        afterwards, by one at a time, they are seen in their order: 6 waits for nobody, and gets a later place. The
        lock is a statement of its own, as the next one must see what those have done who had it before.
        """
        connection = self.session.connection()
        connection.execute(POSITIONS_LOCK)
        waiting = select(events.c.id, func.row_number().over(order_by=events.c.id).label("number"))
        waiting_ids = waiting.where(HAS_NO_POSITION).order_by(events.c.id).limit(AT_ONCE).subquery("waiting")
        given = update(events).where(events.c.id == waiting_ids.c.id)
        result: Any = connection.execute(given.values(position=LAST_POSITION + waiting_ids.c.number))
        return bool(result.rowcount == AT_ONCE)


def _subject(kind: str) -> str:
    """The column that says what an event of this kind is about."""
    return "movement_id" if kind in OF_MOVEMENTS else "prebooking_id" if kind in OF_PREBOOKINGS else "order_id"
