"""SQL that links order lines to the pre-bookings that they end."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select
from sqlalchemy.orm import Session

from bookshop.kit.database import table_of
from bookshop.orders.models import OrderLine
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_BOUGHT, IS_NOTIFIED

order_lines = table_of(OrderLine)
# The customer's latest notified pre-booking of the book: if they have not bought the book since, this sale ends it.
LATEST_NOTIFIED = select(func.max(PreBook.id)).where(
    PreBook.user_id == bindparam("user"), PreBook.book_id == bindparam("book"), IS_NOTIFIED
)
ENDED_PREBOOKING = select(PreBook.id).where(PreBook.id == LATEST_NOTIFIED.scalar_subquery(), ~IS_BOUGHT)
INSERT_LINES = (
    insert(order_lines)
    .values(prebooking_id=ENDED_PREBOOKING.scalar_subquery())
    .returning(*order_lines.c, sort_by_parameter_order=True)
)


class CheckoutRepository:
    """Writes order lines; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def insert(self, user_id: int, rows: Sequence[Mapping[str, Any]]) -> Sequence[Row[*tuple[Any, ...]]]:
        """Insert the lines of the customer's order, each with the pre-booking it ends; returns their rows in order."""
        lines = [{**row, "user": user_id, "book": row["book_id"]} for row in rows]
        return self.session.connection().execute(INSERT_LINES, lines).all()
