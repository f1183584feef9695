"""What the purge remembers between its runs."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime


class PurgeState(Base):
    """When the next nightly purge is due, and how far the events have been purged; the table has at most one row.

    While a worker purges, `due_at` is when its lease expires.
    """

    __tablename__ = "purge_state"
    __table_args__ = (CheckConstraint("id = 1", name="id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    events_until: Mapped[int] = mapped_column(default=0)  # the position of the last event that was purged
    movements_until: Mapped[int] = mapped_column(default=0)  # the largest id of a movement whose event was purged
