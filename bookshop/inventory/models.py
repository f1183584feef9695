"""The stock ledger."""

from datetime import datetime
from typing import Literal

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now

Reason = Literal["received", "correction", "sale", "return", "import"]
RECEIVED, CORRECTION, SALE, RETURN, IMPORT = ("received", "correction", "sale", "return", "import")
NOTE_MAX = 500
OF_AN_ORDER = text("order_id IS NOT NULL")
IS_RESTOCK = text("quantity_after = delta AND delta > 0")  # from 0 to more than 0


class Movement(Base):
    """One line of the stock ledger: a change of one book's stock, never updated afterwards."""

    __tablename__ = "movements"
    __table_args__ = (
        CheckConstraint("delta <> 0", name="delta"),
        CheckConstraint("quantity_after >= 0", name="quantity_after"),
        CheckConstraint("reason IN ('received', 'correction', 'sale', 'return', 'import')", name="reason"),
        Index(None, "book_id", "id"),
        Index("uq_movements_order", "order_id", "book_id", "reason", unique=True,
              sqlite_where=OF_AN_ORDER, postgresql_where=OF_AN_ORDER),
        Index("ix_movements_restocks", "id", sqlite_where=IS_RESTOCK, postgresql_where=IS_RESTOCK),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id"))
    delta: Mapped[int]
    quantity_after: Mapped[int]
    reason: Mapped[str] = mapped_column(String(10))
    note: Mapped[str | None] = mapped_column(String(NOTE_MAX))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # NULL: a command
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))  # that sold or returned the copies
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
