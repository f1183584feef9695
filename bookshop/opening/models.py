"""Checks that people have confirmed."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime

FINGERPRINT_MAX = 32


class PassedCheck(Base):
    """A check that has passed, with a fingerprint of the settings that it was about: others must be checked again."""

    __tablename__ = "passed_checks"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(FINGERPRINT_MAX))
    passed_at: Mapped[datetime] = mapped_column(UtcDateTime)
