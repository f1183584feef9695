"""Events: what happened, written in the transaction in which it did."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now

HAS_NO_POSITION = text("position IS NULL")


class Event(Base):
    """That something happened to a movement, a pre-booking or an order; what exactly is read where that is kept.

    `id` is the order in which events were written. `position`, by which the outside knows an event, is its place among
    those that are committed: on PostgreSQL it is given after the commit; see EventRepository.give_places.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('stock.changed', 'book.restocked', 'prebooking.created', 'prebooking.cancelled', "
            "'prebooking.notified', 'order.placed', 'order.ready', 'order.collected', 'order.cancelled')",
            name="kind",
        ),
        CheckConstraint(
            "(kind IN ('stock.changed', 'book.restocked')) = (movement_id IS NOT NULL)", name="movement_id"
        ),
        CheckConstraint("(kind LIKE 'prebooking.%') = (prebooking_id IS NOT NULL)", name="prebooking_id"),
        CheckConstraint("(kind LIKE 'order.%') = (order_id IS NOT NULL)", name="order_id"),
        Index("ix_events_without_place", "id", sqlite_where=HAS_NO_POSITION, postgresql_where=HAS_NO_POSITION),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int | None] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    movement_id: Mapped[int | None] = mapped_column(ForeignKey("movements.id"))
    prebooking_id: Mapped[int | None] = mapped_column(ForeignKey("prebookings.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
