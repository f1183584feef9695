"""Stored responses: of JSON requests by idempotency key, and of submitted forms."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, later, now

KEY_MAX = 200


class IdempotencyRecord(Base):
    """The response to a user's request with this key, written in the same transaction as its effect.

    `user_id` is not a foreign key: checking it would lock the user's row too early, before the key is claimed.
    """

    __tablename__ = "idempotency_records"

    user_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_MAX), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))  # SHA-256 of the request
    status: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


class SentForm(Base):
    """A submitted form, written in the same transaction as its effect.

    `answer` is the response as JSON, added as soon as it is known. `key` is a hash of the form with all its values.
    """

    __tablename__ = "sent_forms"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(index=True)  # no foreign key, for the same reason
    answer: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=later(0), index=True)
