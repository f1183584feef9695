"""Pre-bookings: a customer's claim to be notified when a book is back in stock."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bookshop.catalog.models import Book
from bookshop.kit.database import Base, UtcDateTime, now

WAITING, NOTIFIED, CANCELLED = "waiting", "notified", "cancelled"
WHERE_WAITING, WHERE_NOTIFIED = text("status = 'waiting'"), text("status = 'notified'")  # for partial indexes


class PreBook(Base):
    """A pre-booking: `waiting`, then `notified` or `cancelled`, which are final.

    Every change of status is a conditional UPDATE.
    """

    __tablename__ = "prebookings"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'notified', 'cancelled')", name="status"),
        CheckConstraint("(status = 'notified') = (notified_at IS NOT NULL)", name="notified_at"),
        CheckConstraint("(status = 'notified') = (movement_id IS NOT NULL)", name="movement_id"),
        CheckConstraint("(status = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled_at"),
        Index("uq_prebookings_waiting", "user_id", "book_id", unique=True,
              sqlite_where=WHERE_WAITING, postgresql_where=WHERE_WAITING),
        Index("ix_prebookings_waiting_book_id", "book_id",
              sqlite_where=WHERE_WAITING, postgresql_where=WHERE_WAITING),
        Index(None, "user_id", "id"),
        Index(None, "book_id", "id"),
        Index("ix_prebookings_movement_id", "movement_id",
              sqlite_where=WHERE_NOTIFIED, postgresql_where=WHERE_NOTIFIED),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id"))
    status: Mapped[str] = mapped_column(String(10), default=WAITING)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    notified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    movement_id: Mapped[int | None] = mapped_column(ForeignKey("movements.id"))  # the restock that notified it

    book: Mapped[Book] = relationship(lazy="joined", innerjoin=True)

    @property
    def book_title(self) -> str:
        return self.book.title

    @property
    def book_authors(self) -> str:
        return self.book.authors
