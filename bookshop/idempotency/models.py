"""Answers that were given under a key, and forms of pages that were sent."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, later, now

KEY_MAX = 200


class IdempotencyRecord(Base):
    """What a user's request with this key was answered, written in the transaction of what it did.

    The user is no foreign key: to check it would hold the user's row before the key is claimed and the user locked.
    """

    __tablename__ = "idempotency_records"

    user_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_MAX), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))  # SHA-256 of what was asked
    status: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


class SentForm(Base):
    """A form of a page that has had its effect, written in the transaction of that effect.

    How it was answered is added as soon as that is known. `key` stands for the form as one page showed it, with all
    that was filled in.
    """

    __tablename__ = "sent_forms"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(index=True)  # no foreign key, for the same reason
    answer: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=later(0), index=True)
