"""The outbox: what is queued, what is checked before it is sent, and what becomes of it."""

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.catalog.repository import BookRepository
from bookshop.inventory.service import Notified
from bookshop.kit.backoff import GIVEN_UP, MOST_ATTEMPTS, spread_wait_after
from bookshop.kit.database import Page, later
from bookshop.kit.exceptions import NotFound
from bookshop.mail.models import (
    ADDRESS_CHANGED,
    BOUGHT,
    CLOSED,
    CONFIRMATION,
    CONFIRMED,
    DROPPED,
    ERROR_MAX,
    FAILED,
    GONE,
    OF_ACCOUNTS,
    OF_ORDERS,
    ORDER_CHANGED,
    ORDER_PLACED,
    ORDER_READY,
    PASSWORD_RESET,
    QUEUED,
    RESERVED_AGAIN,
    RESTOCK,
    SENDING,
    SUPPRESSED,
    TOO_OLD,
    UNCONFIRMED,
    UNSUBSCRIBED,
    Message,
)
from bookshop.mail.repository import MessageRepository
from bookshop.orders.models import CANCELLED, READY

ONE_OF_A_KIND = 300  # seconds in which an address gets one message of a kind about its account
UNSENT = (QUEUED, SENDING)
LATE = 15 * 60  # seconds after which a message should be gone
MOST_LISTED = 10_000


@dataclass(frozen=True)
class Outbox:
    """The outbox in figures: how many messages are still to be sent, how many failed, and since when the oldest waits.

    It `is_late` if that is much longer than an alert waits; `last_error` is then what became of the last attempt, or
    None if there was none: as if no worker ran.
    """

    queue: int
    failed: int
    waiting_since: datetime | None
    is_late: bool
    last_error: str | None


class MailService:
    """Queues messages in the caller's transaction, and keeps the books for the workers that send them; never commits.

    `host` is the domain of Message-IDs, `delay` for how many seconds restock alerts wait before they may be sent.
    """

    def __init__(self, session: Session, host: str, delay: int) -> None:
        self.messages = MessageRepository(session)
        self.books = BookRepository(session)
        self.host = host
        self.delay = delay

    # -- queueing

    def queue_alerts(self, notified: Notified) -> None:
        """Queue a restock alert to each customer whom a change of stock notified; one statement for all.

        To be called in the transaction that notified them: so there is an alert if, and only if, they were notified.
        Alerts about these books that were stopped as gone are queued again, and counted in `notified.again`.
        """
        if notified:
            self.messages.insert_alerts(notified.restocks, self.delay, f".{secrets.token_hex(8)}@{self.host}>")
        if notified.restocks:
            notified.again = self.queue_again(notified.restocks.values())

    def queue_again(self, book_ids: Collection[int]) -> Counter[int]:
        """Queue the alerts about these books again that were stopped as gone, if a copy can be had now.

        Returns how many of each book. Never again: an alert that was sent or is being sent, or whose customer has
        bought the book, reserved it again, unsubscribed or left. The books' rows must be locked.
        """
        return Counter(self.messages.queue_again(book_ids, self.delay))

    def count_gone(self, book_ids: Collection[int]) -> Mapping[int, int]:
        """How many alerts `queue_again` would queue for each of these books if it were back: 0 left out."""
        return self.messages.count_gone(book_ids)

    def stop_alerts(self, book_ids: Collection[int]) -> int:
        """Suppress the alerts about those of these books that are out of stock again, as far as none is on its way.

        Returns how many. The reservations stay notified; the alerts are queued again when the book is back.
        """
        return self.messages.stop_alerts(book_ids)

    def end_alerts(self, user_id: int, reason: str) -> None:
        """Let none of a user's alerts that were stopped as gone be queued again, for this reason."""
        self.messages.end_gone(user_id, reason)

    def queue_of_order(self, kind: str, order_id: int, user_id: int, recipient: str) -> None:
        """Queue a message about an order, once for each kind."""
        self.messages.insert([self._of_order(kind, order_id, user_id, recipient)])

    def queue_of_orders(self, kind: str, order_ids: Collection[int]) -> None:
        """Queue a message about each of these orders to its customer, once for each kind."""
        self.messages.insert([self._of_order(kind, *customer) for customer in self.messages.customers_of(order_ids)])

    def queue_of_account(self, kind: str, user_id: int, recipient: str) -> None:
        """Queue a message about an account: of each kind one in five minutes, so that nobody's mailbox is flooded."""
        address = hashlib.sha256(recipient.encode()).hexdigest()[:4]  # too little to tell later whose it was
        moment = int(time.time()) // ONE_OF_A_KIND
        message = self._message(kind, user_id, recipient)
        self.messages.insert([{**message, "dedupe_key": f"{kind}:{user_id}:{address}:{moment}", "order_id": None}])

    def _of_order(self, kind: str, order_id: int, user_id: int, recipient: str) -> dict[str, Any]:
        message = self._message(kind, user_id, recipient)
        return {**message, "dedupe_key": f"{kind}:{order_id}", "order_id": order_id}

    def _message(self, kind: str, user_id: int, recipient: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "bulk": False,
            "user_id": user_id,
            "recipient": recipient,
            "message_id": f"<{kind}.{secrets.token_hex(16)}@{self.host}>",
        }

    # -- what becomes of a person

    def move(self, user_id: int, recipient: str) -> None:
        """Let what is queued go to a user's new address; what was about the old one is not sent."""
        self.messages.suppress_unsent(user_id, ADDRESS_CHANGED, OF_ACCOUNTS)
        self.messages.readdress(user_id, recipient, unsent=True)

    def forget(self, user_id: int, nobody: str) -> None:
        """Send a user no more, and keep no address: `nobody` stands in for it."""
        kinds = (RESTOCK, *OF_ORDERS, *OF_ACCOUNTS)
        self.messages.readdress(user_id, nobody, unsent=False)
        self.messages.suppress_unsent(user_id, CLOSED, kinds)
        self.end_alerts(user_id, CLOSED)

    def list_of_user(self, user_id: int) -> Sequence[Message]:
        """All messages to a user, newest first."""
        return self.messages.list_by_user(user_id)

    # -- sending

    def has_due(self) -> bool:
        """Whether a worker has anything to do now."""
        return self.messages.has_due()

    def claim(self, number: int, lease: str, seconds: float) -> Mapping[int, int]:
        """Take at most so many messages that are due, for so many seconds, under the name `lease`.

        Returns the ids, each with how often it was tried. No other worker gets them before the lease has ended or
        each is settled.
        """
        return self.messages.claim(number, lease, seconds)

    def get_to_send(self, message_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """All that is to be known of a message just before it is sent; None if the lease was lost."""
        return self.messages.get_to_send(message_id, lease)

    def mark_sent(self, message_id: int, lease: str) -> bool:
        """Note that the mail server has taken a message; returns whether the lease still held."""
        return self.messages.mark_sent(message_id, lease)

    def suppress(self, message_id: int, lease: str, reason: str) -> None:
        """Note why a message is not sent any more."""
        self.messages.settle(lease, message_id, state=SUPPRESSED, reason=reason)

    def suppress_if_gone(self, message_id: int, lease: str, reason: str, book_id: int) -> bool:
        """Note that an alert is not sent as no copy of its book can be had; False, and nothing noted, if one can.

        Locks the book's row, before the message's, until the caller's commit: a restock waits and then queues the
        alert again, or has come first and is seen here.
        """
        if any(book.is_on_sale for book in self.books.lock([book_id])):
            return False
        self.suppress(message_id, lease, reason)
        return True

    def fail(self, message_id: int, lease: str, attempts: int, error: str) -> None:
        """Note that the mail server refused a message for good, after so many earlier attempts."""
        values = {"attempts": attempts + 1, "last_error": error}
        self.messages.settle(lease, message_id, state=FAILED, **values)

    def put_off(self, message_id: int, lease: str, attempts: int, error: str) -> None:
        """Note that a message could not be sent now, after so many earlier attempts; after 3 days it has failed."""
        if attempts + 1 >= MOST_ATTEMPTS:
            self.fail(message_id, lease, attempts, f"{GIVEN_UP} {error}"[:ERROR_MAX])
            return
        wait = later(spread_wait_after(attempts))
        values = {"attempts": attempts + 1, "last_error": error, "next_attempt_at": wait}
        self.messages.settle(lease, message_id, state=QUEUED, **values)

    def release(self, lease: str) -> None:
        """Give back what was claimed under this lease and not tried."""
        self.messages.settle(lease, state=QUEUED, next_attempt_at=later(0))

    # -- what staff see and do

    def outbox(self) -> Outbox:
        """The outbox in figures."""
        counts = self.messages.count_by_state((*UNSENT, FAILED))
        queue = sum(counts.get(state, 0) for state in UNSENT)
        return Outbox(queue, counts.get(FAILED, 0), *self.messages.oldest_unsent(LATE + self.delay))

    def list_unsent(self, page: int, size: int) -> Page[Any]:
        """Messages that are not sent yet, as they will go, each with the book or order that it is about.

        Of more than 10,000 only these, as in `list_in`.
        """
        return self.messages.list_unsent(page, size, MOST_LISTED)

    def list_in(self, state: str, page: int, size: int) -> Page[Any]:
        """Messages in this state, newest first, each with the book or order that it is about."""
        return self.messages.list_by_state(state, page, size, MOST_LISTED)

    def list_these(self, message_ids: Collection[int]) -> Sequence[Any]:
        """These messages, each with the book or order that it is about."""
        return self.messages.find(message_ids)

    def get(self, message_id: int) -> Any:
        """A message with the book or order that it is about; raises NotFound."""
        for found in self.messages.find([message_id]):
            return found
        raise NotFound("There is no such message.", "MESSAGE_NOT_FOUND")

    def retry(self, message_ids: Collection[int]) -> Collection[int]:
        """Let those of these messages be sent now that are not sent nor just being sent; returns their ids.

        Each is looked at once more before it leaves.
        """
        return self.messages.change_state(message_ids, (FAILED, QUEUED, SUPPRESSED), **_anew())

    def retry_failed(self) -> int:
        """Let all messages that failed be sent now; returns how many."""
        return self.messages.change_all(FAILED, **_anew())

    def drop(self, message_ids: Collection[int]) -> Collection[int]:
        """Give up those of these messages that failed or are queued; returns their ids."""
        return self.messages.change_state(message_ids, (FAILED, QUEUED), state=SUPPRESSED, reason=DROPPED)

    def alerts_about(self, book_id: int) -> Mapping[str, int]:
        """How many restock alerts about a book there are in each state: state -> count, 0 left out."""
        return self.messages.count_alerts(book_id)


def why_not(message: Any) -> str | None:
    """The reason for which a message must not be sent any more, as MailService.get_to_send knows it now, or None."""
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


def _anew() -> dict[str, Any]:
    """What lets a message be tried as if it had never been."""
    return {"state": QUEUED, "reason": None, "attempts": 0, "next_attempt_at": later(0), "last_error": None}
