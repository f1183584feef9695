"""What customers have declared about orders that they return."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now
from bookshop.orders.models import NAME_MAX

BOOKS_MAX = 1000
IS_OPEN = text("handled_at IS NULL")


class Return(Base):
    """A customer's declaration that they withdraw from an order, or from some of its books.

    It changes neither the order nor the stock: staff do that, as they do without it, and then mark it as handled.
    """

    __tablename__ = "returns"
    __table_args__ = (Index("ix_returns_open", "id", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    name: Mapped[str] = mapped_column(String(NAME_MAX))
    books: Mapped[str | None] = mapped_column(Text)  # as the customer wrote them; None for all books of the order
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    handled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
