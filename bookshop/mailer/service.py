"""The final check: whether a message should still be sent, immediately before it is."""

from typing import Any

from sqlalchemy.orm import Session

from bookshop.accounts.emails import key_of
from bookshop.accounts.models import STAFF_ROLES
from bookshop.catalog.repository import BookRepository
from bookshop.kit.exceptions import NotFound
from bookshop.mail.models import (
    ADDRESS_CHANGED,
    BOUGHT,
    CLOSED,
    FORMER_KINDS,
    GONE,
    INVITATION,
    LINK_ENDED,
    LINK_KINDS,
    NOT_STAFF,
    ORDER_CHANGED,
    ORDER_KINDS,
    ORDER_PLACED,
    ORDER_READY,
    ORDER_RETURN,
    RESERVED_AGAIN,
    RESTOCK,
    SUPPRESSED,
    TOO_OLD,
    UNCONFIRMED,
    UNSUBSCRIBED,
)
from bookshop.mail.repository import MessageRepository
from bookshop.mailer.repository import MailerRepository
from bookshop.orders.models import CANCELLED, READY


class MailerService:
    """Finds messages and records the outcome of the final check; never commits."""

    def __init__(self, session: Session) -> None:
        self.mailer = MailerRepository(session)
        self.messages = MessageRepository(session)
        self.books = BookRepository(session)

    def get(self, message_id: int) -> Any:
        """Return a message with the book or order that it is about; raises NotFound."""
        for row in self.mailer.find([message_id]):
            return row
        raise NotFound("There is no such message.", "MESSAGE_NOT_FOUND")

    def mark_sent(self, message_id: int, lease: str) -> bool:
        """Record that the mail server has accepted a message; returns False if the lease was lost."""
        return self.mailer.mark_sent(message_id, lease)

    def suppress_if_gone(self, message_id: int, lease: str, reason: str, book_id: int) -> bool:
        """Suppress an alert whose book is out of stock or withdrawn; returns False, with no change, if it is neither.

        Locks the book's row, then the message's, until the caller's commit. A concurrent restock either waits and then
        queues the alert again, or has committed first and is seen here.
        """
        if any(book.can_be_ordered for book in self.books.lock([book_id])):
            return False
        self.messages.settle(lease, message_id, state=SUPPRESSED, reason=reason)
        return True


def skip_reason(message: Any) -> str | None:
    """Return why a row of MailerRepository.get_to_send must not be sent any more: one of REASONS, or None."""
    if message.kind in LINK_KINDS:
        return _skip_reason_of_link(message)
    can_return = message.kind == ORDER_RETURN and not message.deleted  # also without an active account
    if not message.active and not can_return:
        return CLOSED
    if message.kind == RESTOCK:
        return _skip_reason_of_alert(message)
    if message.email_confirmed_at is None:
        return UNCONFIRMED
    return _skip_reason_of_order(message) if message.kind in ORDER_KINDS else _skip_reason_of_account(message)


def _skip_reason_of_link(message: Any) -> str | None:
    if message.too_old or not message.queued_for:  # or it was purged
        return TOO_OLD
    return None if message.link_is_open else LINK_ENDED


def _skip_reason_of_order(message: Any) -> str | None:
    # After a failed attempt, "We have your order" could arrive after the message that the order has been cancelled.
    overtaken = message.kind == ORDER_PLACED and message.attempts and message.order_status == CANCELLED
    return ORDER_CHANGED if overtaken or (message.kind == ORDER_READY and message.order_status != READY) else None


def _is_gone(message: Any) -> bool:
    """Return whether the book of an alert is out of stock or withdrawn."""
    return message.kind == RESTOCK and (message.withdrawn_at is not None or message.stock_quantity == 0)


def _skip_reason_of_account(message: Any) -> str | None:
    if message.kind in FORMER_KINDS or not message.queued_for:  # or it was purged
        return TOO_OLD
    if message.kind == INVITATION and key_of(message.queued_for) != message.email_key:
        return ADDRESS_CHANGED
    return NOT_STAFF if message.kind == INVITATION and message.role not in STAFF_ROLES else None


def _skip_reason_of_alert(message: Any) -> str | None:
    if message.unsubscribed_at is not None:
        return UNSUBSCRIBED
    if message.reserved_again:
        return RESERVED_AGAIN
    if _is_gone(message):
        return BOUGHT if message.bought else GONE
    return UNCONFIRMED if message.email_confirmed_at is None else None
