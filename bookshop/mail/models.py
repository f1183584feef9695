"""The outbox: e-mail that the shop has decided to send, written in the transaction that decided it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now
from bookshop.kit.text import EMAIL_MAX

RESTOCK = "restock"
ORDER_PLACED, ORDER_READY, ORDER_CANCELLED = "order_placed", "order_ready", "order_cancelled"
CONFIRMATION, KNOWN_ADDRESS, PASSWORD_RESET = "confirmation", "known_address", "password_reset"
OF_ORDERS = (ORDER_PLACED, ORDER_READY, ORDER_CANCELLED)
OF_ACCOUNTS = (CONFIRMATION, KNOWN_ADDRESS, PASSWORD_RESET)

QUEUED, SENDING, SENT, FAILED, SUPPRESSED = "queued", "sending", "sent", "failed", "suppressed"
STATES = (QUEUED, SENDING, SENT, FAILED, SUPPRESSED)
IS_UNSENT = text("state IN ('queued', 'sending')")
IS_GONE = text("reason = 'gone'")

# Why a message is suppressed. An alert that is only `gone` is queued again when its book is back; see AlertService.
GONE, BOUGHT, RESERVED_AGAIN = "gone", "bought", "reserved_again"
UNSUBSCRIBED, UNCONFIRMED, CLOSED = "unsubscribed", "unconfirmed", "closed"
ADDRESS_CHANGED, CONFIRMED, TOO_OLD, ORDER_CHANGED = "address_changed", "confirmed", "too_old", "order_changed"
DROPPED, BEFORE_MAIL = "dropped", "before_mail"
REASONS = {
    GONE: "No copy was left before it was sent. It goes out when the book is back.",
    BOUGHT: "The customer has bought the book.",
    RESERVED_AGAIN: "The customer has reserved the book again.",
    UNSUBSCRIBED: "The customer wants no restock alerts.",
    UNCONFIRMED: "The customer has not confirmed the address.",
    CLOSED: "The account is no longer active.",
    ADDRESS_CHANGED: "The address was changed.",
    CONFIRMED: "The address is confirmed already.",
    TOO_OLD: "It was asked for too long ago.",
    ORDER_CHANGED: "The order has changed since.",
    DROPPED: "Dropped by staff.",
    BEFORE_MAIL: "Notified before the shop sent e-mail.",
}
KEY_MAX = 100
ERROR_MAX = 500


class Message(Base):
    """One e-mail: `queued`, `sending` while a worker has it, then `sent`, `failed` or `suppressed`.

    `next_attempt_at` is when a worker may take it; while one has it, under the name `lease`, when another may.
    """

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'sending', 'sent', 'failed', 'suppressed')", name="state"),
        CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name="lease"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_at"),
        CheckConstraint("(state = 'suppressed') = (reason IS NOT NULL)", name="reason"),
        CheckConstraint("(kind = 'restock') = (prebooking_id IS NOT NULL)", name="prebooking_id"),
        CheckConstraint("(kind LIKE 'order%') = (order_id IS NOT NULL)", name="order_id"),
        Index("ix_messages_due", "bulk", "next_attempt_at", sqlite_where=IS_UNSENT, postgresql_where=IS_UNSENT),
        Index("ix_messages_gone", "prebooking_id", sqlite_where=IS_GONE, postgresql_where=IS_GONE),
        Index(None, "state", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    bulk: Mapped[bool]  # one of many, which let a message that somebody waits for go first
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    prebooking_id: Mapped[int | None] = mapped_column(ForeignKey("prebookings.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    recipient: Mapped[str] = mapped_column(String(EMAIL_MAX))
    dedupe_key: Mapped[str] = mapped_column(String(KEY_MAX), unique=True)  # one message for one event, ever
    message_id: Mapped[str] = mapped_column(String(320))  # the same at each attempt: mail programs drop a second copy
    state: Mapped[str] = mapped_column(String(10), default=QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease: Mapped[str | None] = mapped_column(String(32))
    reason: Mapped[str | None] = mapped_column(String(20))  # why it is suppressed: one of REASONS
    last_error: Mapped[str | None] = mapped_column(String(ERROR_MAX))  # of the last attempt
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def why(self) -> str | None:
        """Why it is suppressed, in words; else what the last attempt met with."""
        return REASONS.get(self.reason, self.reason) if self.reason else self.last_error
