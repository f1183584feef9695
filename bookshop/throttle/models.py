"""Counters of attempts."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime


class Attempts(Base):
    """How many recent attempts there were for one key, which is a keyed hash of a device, network or account."""

    __tablename__ = "attempts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int]
    until: Mapped[datetime] = mapped_column(UtcDateTime)  # when the next attempt is allowed, or when the window ends
    forget_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
