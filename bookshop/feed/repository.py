"""SQL that reads events with their data."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import case, func, literal_column, select
from sqlalchemy.orm import Session

from bookshop.catalog.models import Book
from bookshop.events.kinds import BOOK_RESTOCKED
from bookshop.events.repository import LAST_POSITION, events, next_position
from bookshop.inventory.models import Movement
from bookshop.kit.database import table_of
from bookshop.orders.models import Order
from bookshop.prebookings.models import NOTIFIED, PreBook

notified = table_of(PreBook).alias("notified")
NOTIFIED_COUNT = select(func.count()).where(
    notified.c.movement_id == Movement.id, notified.c.status == literal_column(f"'{NOTIFIED}'")
)
OLDEST_POSITION = select(func.min(events.c.position))
# Events with their data. Movements never change, so this is the data at the time of the event, except that the ISBN is
# the current one of the book.
FEED = (
    select(
        *(events.c[name] for name in ("position", "kind", "created_at", "movement_id", "prebooking_id")),
        func.coalesce(events.c.order_id, Movement.order_id).label("order_id"),
        Book.id.label("book_id"),
        Book.isbn,
        Movement.delta,
        Movement.quantity_after.label("stock_quantity"),
        Movement.reason,
        case((events.c.kind == BOOK_RESTOCKED, NOTIFIED_COUNT.correlate(Movement).scalar_subquery())).label(
            "notified_count"
        ),
        Order.number,
    )
    .select_from(events)
    .outerjoin(Movement, Movement.id == events.c.movement_id)
    .outerjoin(PreBook, PreBook.id == events.c.prebooking_id)
    .outerjoin(Book, Book.id == func.coalesce(Movement.book_id, PreBook.book_id))
    .outerjoin(Order, Order.id == events.c.order_id)
)


class FeedRepository:
    """Reads events in order of position."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def last_position(self) -> int:
        """Return the last position that has been assigned, or 0."""
        return self.session.connection().scalar(select(LAST_POSITION)) or 0

    def oldest_position(self) -> int:
        """Return the position of the oldest event that is kept; 1 if there is none yet."""
        return self.session.connection().scalar(OLDEST_POSITION) or 1

    def next_position(self, after: int) -> int:
        """Return the first position after this one that an event has; otherwise the next number."""
        return self.session.connection().scalar(next_position(after)) or after + 1

    def list_between(self, after: int, until: int, kinds: Collection[str], size: int) -> Sequence[Any]:
        """Return up to `size` events of these kinds after position `after`, up to and including `until`; see FEED."""
        query = FEED.where(events.c.position > after, events.c.position <= until, events.c.kind.in_(kinds))
        return self.session.connection().execute(query.order_by(events.c.position).limit(size)).all()
