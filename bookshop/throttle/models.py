"""Attempts that are counted."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime


class Attempts(Base):
    """How often somebody has tried something of late; who it is, is kept as a keyed hash only."""

    __tablename__ = "attempts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int]
    until: Mapped[datetime] = mapped_column(UtcDateTime)  # when the next may come or, of a window, when it ends
    forget_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
