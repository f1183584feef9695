"""SQL about events, which are written by the repositories that change movements, pre-bookings and orders alone."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Executable,
    Integer,
    String,
    bindparam,
    case,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from bookshop.catalog.models import Book
from bookshop.events.kinds import BOOK_RESTOCKED, OF_MOVEMENTS, OF_PREBOOKINGS, PREBOOKING_NOTIFIED
from bookshop.events.models import HAS_NO_PLACE
from bookshop.inventory.models import Movement
from bookshop.kit.database import Base, UtcDateTime, given_rows, now
from bookshop.orders.models import Order
from bookshop.prebookings.models import IS_NOTIFIED, NOTIFIED, PreBook

PLACES = text("SELECT pg_advisory_xact_lock(20120)")  # as one gives out places at a time; a number of no other lock
AT_ONCE = 10_000  # places that are given in one transaction

SUBJECTS = ("movement_id", "prebooking_id", "order_id")

# Made once, of tables, as reservations and checkouts send them.
events, prebookings = (Base.metadata.tables[name] for name in ("events", "prebookings"))
told = prebookings.alias("told")
placed = events.alias("placed")
LAST_PLACE = select(func.coalesce(func.max(placed.c.position), 0)).scalar_subquery()
IS_BEHIND = select(select(events.c.id).where(HAS_NO_PLACE).exists())
TOLD = select(func.count()).where(told.c.movement_id == Movement.id, told.c.status == literal_column(f"'{NOTIFIED}'"))
# An event and all that is said of it. Movements never change, so what is read later is what was so then; but for the
# ISBN, which is the book's present one.
READ = (
    select(
        *(events.c[name] for name in ("position", "kind", "created_at", "movement_id", "prebooking_id")),
        func.coalesce(events.c.order_id, Movement.order_id).label("order_id"),
        Book.id.label("book_id"),
        Book.isbn,
        Movement.delta,
        Movement.quantity_after.label("stock_quantity"),
        Movement.reason,
        case((events.c.kind == BOOK_RESTOCKED, TOLD.correlate(Movement).scalar_subquery())).label("notified_count"),
        Order.number,
    )
    .select_from(events)
    .outerjoin(Movement, Movement.id == events.c.movement_id)
    .outerjoin(PreBook, PreBook.id == events.c.prebooking_id)
    .outerjoin(Book, Book.id == func.coalesce(Movement.book_id, PreBook.book_id))
    .outerjoin(Order, Order.id == events.c.order_id)
)


@cache
def _insert(dialect: str) -> Executable:
    """One statement for all events. SQLite's writers are one at a time, so there each has its place at once."""
    given = given_rows(dialect, "rows", number=Integer, kind=String, **dict.fromkeys(SUBJECTS, Integer))
    values: dict[str, Any] = {name: given.c[name] for name in ("kind", *SUBJECTS)}
    values["created_at"] = bindparam("time", type_=UtcDateTime)
    if dialect == "sqlite":
        values["position"] = LAST_PLACE + given.c.number
    happened = select(*values.values()).order_by(given.c.number)
    return insert(events).from_select(list(values), happened, include_defaults=False)


@cache
def _insert_notified(dialect: str) -> Executable:
    """One event for each whom restocks notified, however many they are, first come first."""
    values: dict[str, Any] = {
        "kind": literal(PREBOOKING_NOTIFIED),
        "prebooking_id": prebookings.c.id,
        "created_at": bindparam("time", type_=UtcDateTime),
    }
    if dialect == "sqlite":
        values["position"] = LAST_PLACE + func.row_number().over(order_by=prebookings.c.id)
    restocks = bindparam("restocks", type_=Integer, expanding=True)
    notified = select(*values.values()).where(prebookings.c.movement_id.in_(restocks), IS_NOTIFIED)
    return insert(events).from_select(list(values), notified.order_by(prebookings.c.id), include_defaults=False)


class EventRepository:
    """Writes events in the caller's transaction, gives them their places, and reads them; never commits.

    Who writes an event holds the lock that lets others wait who would change the same thing, so that the events of a
    book, or of an order, are written in the order of the commits.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = session.get_bind().dialect.name

    def insert(self, *happened: tuple[str, Iterable[int]]) -> None:
        """Write what happened: kinds, each with the ids of the movements, pre-bookings or orders of which it is so."""
        rows = [{"kind": kind, _subject(kind): subject_id} for kind, ids in happened for subject_id in ids]
        if rows:
            numbered = [{**row, "number": number} for number, row in enumerate(rows, start=1)]
            self.session.connection().execute(_insert(self.dialect), {"rows": numbered, "time": now()})

    def insert_notified(self, movement_ids: Collection[int]) -> None:
        """Write that everyone was notified whom these restocks did notify; one statement for all."""
        values = {"restocks": list(movement_ids), "time": now()}
        self.session.connection().execute(_insert_notified(self.dialect), values)

    def is_behind(self) -> bool:
        """Whether any committed event has no place yet."""
        return bool(self.session.connection().scalar(IS_BEHIND))

    def give_places(self) -> bool:
        """Give committed events without a place the next ones, at most 10,000; returns whether more may wait.

        In a transaction of its own on PostgreSQL, under READ COMMITTED. Places given before the commits would be seen
        in the order of the commits, and who had read 7 would never be shown a 6 that was committed later. Given
        afterwards, by one at a time, they are seen in their order: 6 waits for nobody, and gets a later place. The
        lock is a statement of its own, as the next one must see what those have done who had it before.
        """
        connection = self.session.connection()
        connection.execute(PLACES)
        waiting = select(events.c.id, func.row_number().over(order_by=events.c.id).label("number"))
        waiting_ids = waiting.where(HAS_NO_PLACE).order_by(events.c.id).limit(AT_ONCE).subquery("waiting")
        given = update(events).where(events.c.id == waiting_ids.c.id)
        result: Any = connection.execute(given.values(position=LAST_PLACE + waiting_ids.c.number))
        return bool(result.rowcount == AT_ONCE)

    def last_place(self) -> int:
        """The last place that is given."""
        return self.session.connection().scalar(select(LAST_PLACE)) or 0

    def list_between(self, after: int, until: int, kinds: Collection[str], size: int) -> Sequence[Any]:
        """At most so many events of these kinds with places beyond `after` up to `until`, in order; see READ."""
        found = READ.where(events.c.position > after, events.c.position <= until, events.c.kind.in_(kinds))
        return self.session.connection().execute(found.order_by(events.c.position).limit(size)).all()


def _subject(kind: str) -> str:
    """The column that says what an event of this kind is about."""
    return "movement_id" if kind in OF_MOVEMENTS else "prebooking_id" if kind in OF_PREBOOKINGS else "order_id"
