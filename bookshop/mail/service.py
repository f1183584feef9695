"""The outbox: what is queued, and what becomes of it."""

import hashlib
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.kit.backoff import GIVEN_UP, MOST_ATTEMPTS, spread_wait_after
from bookshop.kit.database import later
from bookshop.mail.models import (
    ADDRESS_CHANGED,
    CLOSED,
    DROPPED,
    ERROR_MAX,
    FAILED,
    OF_ACCOUNTS,
    OF_ORDERS,
    QUEUED,
    RESTOCK,
    SENDING,
    SUPPRESSED,
)
from bookshop.mail.repository import MessageRepository

ONE_OF_A_KIND = 300  # seconds in which an address gets one message of a kind about its account
UNSENT = (QUEUED, SENDING)
LATE = 15 * 60  # seconds after which a message should be gone


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

    `host` is the domain of Message-IDs, `delay` for how many seconds restock alerts wait, which is not late.
    """

    def __init__(self, session: Session, host: str, delay: int) -> None:
        self.messages = MessageRepository(session)
        self.host = host
        self.delay = delay

    # -- queueing

    def queue_of_order(self, kind: str, order_id: int, user_id: int, recipient: str) -> None:
        """Queue a message about an order, once for each kind."""
        self.messages.insert([self._of_order(kind, order_id, user_id, recipient)])

    def queue_of_orders(self, kind: str, customers: Iterable[Row[int, int, str]]) -> None:
        """Queue a message about each order to its customer, once for each kind: see OrderRepository.customers_of."""
        self.messages.insert([self._of_order(kind, *customer) for customer in customers])

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

    def end_alerts(self, user_id: int, reason: str) -> None:
        """Let none of a user's alerts that were stopped as gone be queued again, for this reason."""
        self.messages.end_gone(user_id, reason)

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

    # -- sending

    def claim(self, number: int, lease: str, seconds: float) -> Mapping[int, int]:
        """Take at most so many messages that are due, for so many seconds, under the name `lease`.

        Returns the ids, each with how often it was tried. No other worker gets them before the lease has ended or
        each is settled.
        """
        return self.messages.claim(number, lease, seconds)

    def suppress(self, message_id: int, lease: str, reason: str) -> None:
        """Note why a message is not sent any more."""
        self.messages.settle(lease, message_id, state=SUPPRESSED, reason=reason)

    def fail(self, message_id: int, lease: str, attempts: int, error: str) -> None:
        """Note that the mail server refused a message for good, after so many earlier attempts."""
        values = {"attempts": attempts + 1, "last_error": error}
        self.messages.settle(lease, message_id, state=FAILED, **values)

    def defer(self, message_id: int, lease: str, attempts: int, error: str) -> None:
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


def _anew() -> dict[str, Any]:
    """What lets a message be tried as if it had never been."""
    return {"state": QUEUED, "reason": None, "attempts": 0, "next_attempt_at": later(0), "last_error": None}
