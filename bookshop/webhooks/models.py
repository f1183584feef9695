"""Webhooks and the outbox of their deliveries."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now
from bookshop.webhooks.addresses import URL_MAX

QUEUED, SENDING, DELIVERED, FAILED = "queued", "sending", "delivered", "failed"
IS_UNSENT = text("state IN ('queued', 'sending')")
IS_SENDING = text("state = 'sending'")
IS_UNDELIVERED = text("state <> 'delivered'")
KINDS_MAX, ERROR_MAX = 500, 500
MAX_WEBHOOKS = 20


class Webhook(Base):
    """A URL that receives events. Deliveries have been queued for it up to `position` in the feed.

    While its receiver is unreachable, nothing is sent until `rests_until`; `misses` counts the consecutive failures to
    reach it.
    """

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(URL_MAX))
    kinds: Mapped[str] = mapped_column(String(KINDS_MAX))  # comma-separated names from bookshop.events.kinds
    secret: Mapped[str] = mapped_column(String(50))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))  # who registered it
    position: Mapped[int]
    misses: Mapped[int] = mapped_column(default=0)
    rests_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def kind_names(self) -> list[str]:
        """The names of the kinds that it receives."""
        return self.kinds.split(",")


class Delivery(Base):
    """One event for one webhook: `queued`, `sending` while a worker holds it, then `delivered` or `failed`.

    `next_attempt_at` is when a worker may claim it. While it is being sent, `lease` identifies the worker's claim and
    `next_attempt_at` is when that lease expires.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'sending', 'delivered', 'failed')", name="state"),
        CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name="lease"),
        CheckConstraint("(state = 'delivered') = (delivered_at IS NOT NULL)", name="delivered_at"),
        UniqueConstraint("webhook_id", "event_id"),
        Index(None, "webhook_id", "id"),
        Index(None, "event_id"),
        Index("ix_webhook_deliveries_due", "webhook_id", "next_attempt_at",
              sqlite_where=IS_UNSENT, postgresql_where=IS_UNSENT),
        Index("ix_webhook_deliveries_sending", "webhook_id", sqlite_where=IS_SENDING, postgresql_where=IS_SENDING),
        Index("ix_webhook_deliveries_undelivered", "webhook_id", "id",
              sqlite_where=IS_UNDELIVERED, postgresql_where=IS_UNDELIVERED),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id"))
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"))
    state: Mapped[str] = mapped_column(String(10), default=QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease: Mapped[str | None] = mapped_column(String(32))
    last_status: Mapped[int | None]  # of the last response; its body is not stored
    last_error: Mapped[str | None] = mapped_column(String(ERROR_MAX))
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)  # reset when it is redelivered
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
