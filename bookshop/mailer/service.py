"""The second look: whether a message should still go, just before it does."""

from typing import Any

from sqlalchemy.orm import Session

from bookshop.catalog.repository import BookRepository
from bookshop.kit.exceptions import NotFound
from bookshop.mail.models import (
    ADDRESS_CHANGED,
    BOUGHT,
    CLOSED,
    CONFIRMATION,
    CONFIRMED,
    GONE,
    OF_ACCOUNTS,
    ORDER_CHANGED,
    ORDER_PLACED,
    ORDER_READY,
    PASSWORD_RESET,
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
    """Finds messages, and notes what became of one on the way out; never commits."""

    def __init__(self, session: Session) -> None:
        self.mailer = MailerRepository(session)
        self.messages = MessageRepository(session)
        self.books = BookRepository(session)

    def get(self, message_id: int) -> Any:
        """A message with the book or order that it is about; raises NotFound."""
        for found in self.mailer.find([message_id]):
            return found
        raise NotFound("There is no such message.", "MESSAGE_NOT_FOUND")

    def mark_sent(self, message_id: int, lease: str) -> bool:
        """Note that the mail server has taken a message; returns whether the lease still held."""
        return self.mailer.mark_sent(message_id, lease)

    def suppress_if_gone(self, message_id: int, lease: str, reason: str, book_id: int) -> bool:
        """Note that an alert is not sent as no copy of its book can be had; False, and nothing noted, if one can.

        Locks the book's row, before the message's, until the caller's commit: a restock waits and then queues the
        alert again, or has come first and is seen here.
        """
        if any(book.is_on_sale for book in self.books.lock([book_id])):
            return False
        self.messages.settle(lease, message_id, state=SUPPRESSED, reason=reason)
        return True


def skip_reason(message: Any) -> str | None:
    """The reason for which a message must not be sent any more, as LetterRepository.get_to_send knows it, or None."""
    if not message.active:
        return CLOSED
    if message.kind == RESTOCK:
        return _why_no_alert(message)
    if message.kind in OF_ACCOUNTS:
        return _why_not_of_account(message)
    # Put off, "we have your order" would come after "it is cancelled"; else it goes first.
    overtaken = message.kind == ORDER_PLACED and message.attempts and message.order_status == CANCELLED
    return ORDER_CHANGED if overtaken or (message.kind == ORDER_READY and message.order_status != READY) else None


def _is_gone(message: Any) -> bool:
    """Whether no copy of the book of an alert can be had."""
    return message.kind == RESTOCK and (message.withdrawn_at is not None or message.stock_quantity == 0)


def _why_not_of_account(message: Any) -> str | None:
    if message.queued_for.casefold() != message.email_key:
        return ADDRESS_CHANGED
    if message.kind == CONFIRMATION and message.email_confirmed_at is not None:
        return CONFIRMED
    return TOO_OLD if message.kind == PASSWORD_RESET and message.too_old else None


def _why_no_alert(message: Any) -> str | None:
    if message.unsubscribed_at is not None:
        return UNSUBSCRIBED
    if message.reserved_again:
        return RESERVED_AGAIN
    if _is_gone(message):
        return BOUGHT if message.bought else GONE
    return UNCONFIRMED if message.email_confirmed_at is None else None
