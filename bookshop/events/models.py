"""Events: each is written in the same transaction as the change it records."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now

HAS_NO_POSITION = text("position IS NULL")


class Event(Base):
    """A stock movement, or a change to a pre-booking or an order; the details are read from that row.

    `id` is the order in which events were written. `position`, the public id of an event, is its number among committed
    events. On PostgreSQL it is assigned after the commit; see EventRepository.assign_positions.
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


class SkippedPositions(Base):
    """Positions that no event has, because a restored shop may have given them before it was restored."""

    __tablename__ = "skipped_positions"

    until_position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # the last that was skipped
    after_position: Mapped[int]  # that of the last event before, 0 if there was none
