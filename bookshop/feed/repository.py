"""SQL that reads events, with all that is said of them."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import case, func, literal_column, select
from sqlalchemy.orm import Session

from bookshop.catalog.models import Book
from bookshop.events.kinds import BOOK_RESTOCKED
from bookshop.events.repository import LAST_POSITION, events
from bookshop.inventory.models import Movement
from bookshop.kit.database import table_of
from bookshop.orders.models import Order
from bookshop.prebookings.models import NOTIFIED, PreBook

told = table_of(PreBook).alias("told")
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


class FeedRepository:
    """Reads events in their places."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def last_position(self) -> int:
        """The last place that is given."""
        return self.session.connection().scalar(select(LAST_POSITION)) or 0

    def list_between(self, after: int, until: int, kinds: Collection[str], size: int) -> Sequence[Any]:
        """At most so many events of these kinds with places beyond `after` up to `until`, in order; see READ."""
        found = READ.where(events.c.position > after, events.c.position <= until, events.c.kind.in_(kinds))
        return self.session.connection().execute(found.order_by(events.c.position).limit(size)).all()
