"""The outbox: each message is written in the same transaction as the change it reports."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now
from bookshop.kit.text import EMAIL_MAX

RESTOCK = "restock"
ORDER_PLACED, ORDER_READY, ORDER_CANCELLED = "order_placed", "order_ready", "order_cancelled"
ORDER_RETURN = "order_return"  # acknowledges a return
LOGIN_LINK, ADDRESS_LINK = "login_link", "address_link"
INVITATION = "invitation"  # to a new member of staff
MAIL_CHECK = "mail_check"  # to an owner who checks that e-mail works
PASSWORD_CHANGED, FORMER_ADDRESS, SECOND_FACTOR = "password_changed", "address_changed", "second_factor"
TOKEN_CREATED, NEW_LOGIN = "token_created", "new_login"
ORDER_KINDS = (ORDER_PLACED, ORDER_READY, ORDER_CANCELLED, ORDER_RETURN)
LINK_KINDS = (LOGIN_LINK, ADDRESS_LINK)  # to an address, whether or not it has an account
FORMER_KINDS = ("confirmation", "known_address", "password_reset")  # no longer queued
# Security notices: to the address that the account had when it was changed, whatever its address is when they are sent.
NOTICE_KINDS = (PASSWORD_CHANGED, FORMER_ADDRESS, SECOND_FACTOR, TOKEN_CREATED, NEW_LOGIN)
KINDS = (RESTOCK, *ORDER_KINDS, INVITATION, MAIL_CHECK, *LINK_KINDS, *FORMER_KINDS, *NOTICE_KINDS)

QUEUED, SENDING, SENT, FAILED, SUPPRESSED = "queued", "sending", "sent", "failed", "suppressed"
STATES = (QUEUED, SENDING, SENT, FAILED, SUPPRESSED)
IS_UNSENT = text("state IN ('queued', 'sending')")
IS_GONE = text("reason = 'gone'")
HAS_PERSONAL_DATA = text("(recipient <> '' OR last_error IS NOT NULL)")  # not purged yet

# Why a message was suppressed. An alert with the reason `gone` is queued again when its book is back; see AlertService.
GONE, BOUGHT, RESERVED_AGAIN = "gone", "bought", "reserved_again"
UNSUBSCRIBED, UNCONFIRMED, CLOSED = "unsubscribed", "unconfirmed", "closed"
ADDRESS_CHANGED, CONFIRMED, TOO_OLD, ORDER_CHANGED = "address_changed", "confirmed", "too_old", "order_changed"
NOT_STAFF, LINK_ENDED = "not_staff", "link_ended"
DROPPED, BEFORE_MAIL, RESTORED = "dropped", "before_mail", "restored"
REASONS = {
    GONE: "The book sold out or was withdrawn before this was sent. It will be sent when the book is back in stock.",
    BOUGHT: "The customer has already bought the book.",
    RESERVED_AGAIN: "The customer has reserved the book again.",
    UNSUBSCRIBED: "The customer has unsubscribed from these e-mails.",
    UNCONFIRMED: "The customer has not confirmed their e-mail address.",
    CLOSED: "The account is no longer active.",
    ADDRESS_CHANGED: "The e-mail address of the account has changed.",
    CONFIRMED: "The e-mail address has already been confirmed.",
    TOO_OLD: "It is too old to be sent.",
    ORDER_CHANGED: "The order has changed since this was queued.",
    NOT_STAFF: "The account is not a staff account any more.",
    LINK_ENDED: "The link in it has been used, or is not valid any more.",
    DROPPED: "Staff chose not to send this.",
    BEFORE_MAIL: "The customer was notified before the shop sent e-mails.",
    RESTORED: "The shop was restored from a backup, and this may have been sent before that.",
}
KEY_MAX = 100
ERROR_MAX = 500


class Message(Base):
    """One e-mail: `queued`, `sending` while a worker holds it, then `sent`, `failed` or `suppressed`.

    `next_attempt_at` is when a worker may claim it. While it is being sent, `lease` identifies the worker's claim and
    `next_attempt_at` is when that lease expires.
    """

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'sending', 'sent', 'failed', 'suppressed')", name="state"),
        CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name="lease"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_at"),
        CheckConstraint("(state = 'suppressed') = (reason IS NOT NULL)", name="reason"),
        CheckConstraint("(kind = 'restock') = (prebooking_id IS NOT NULL)", name="prebooking_id"),
        CheckConstraint("(kind LIKE 'order%') = (order_id IS NOT NULL)", name="order_id"),
        CheckConstraint("user_id IS NOT NULL OR kind IN ('login_link', 'address_link')", name="user_id"),
        Index("ix_messages_due", "bulk", "next_attempt_at", sqlite_where=IS_UNSENT, postgresql_where=IS_UNSENT),
        Index("ix_messages_gone", "prebooking_id", sqlite_where=IS_GONE, postgresql_where=IS_GONE),
        Index("ix_messages_personal", "id", sqlite_where=HAS_PERSONAL_DATA, postgresql_where=HAS_PERSONAL_DATA),
        Index(None, "state", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    bulk: Mapped[bool]  # one of many: messages that are not bulk are sent first
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    prebooking_id: Mapped[int | None] = mapped_column(ForeignKey("prebookings.id"))
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    link_id: Mapped[int | None] = mapped_column(ForeignKey("login_links.id", ondelete="SET NULL"), index=True)
    recipient: Mapped[str] = mapped_column(String(EMAIL_MAX))
    dedupe_key: Mapped[str] = mapped_column(String(KEY_MAX), unique=True)  # at most one message for each event
    message_id: Mapped[str] = mapped_column(String(320))  # the same for every attempt, so mail programs hide duplicates
    state: Mapped[str] = mapped_column(String(10), default=QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease: Mapped[str | None] = mapped_column(String(32))
    reason: Mapped[str | None] = mapped_column(String(20))  # why it was suppressed: one of REASONS
    last_error: Mapped[str | None] = mapped_column(String(ERROR_MAX))  # from the last attempt
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_notice(self) -> bool:
        """Whether it is a security notice, which staff cannot stop."""
        return self.kind in NOTICE_KINDS

    @property
    def explanation(self) -> str | None:
        """Why it was suppressed, as a sentence, or else the error of the last attempt."""
        return REASONS.get(self.reason, self.reason) if self.reason else self.last_error
