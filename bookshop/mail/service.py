"""The rules of the outbox: what is queued, and what happens to it."""

import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.kit.backoff import GIVEN_UP, MAX_ATTEMPTS, jittered_delay_after
from bookshop.kit.database import later, now
from bookshop.mail.models import (
    ADDRESS_CHANGED,
    CLOSED,
    DROPPED,
    ERROR_MAX,
    FAILED,
    INVITATION,
    KINDS,
    MAIL_CHECK,
    NOTICE_KINDS,
    ORDER_PLACED,
    ORDER_RETURN,
    QUEUED,
    SENDING,
    SUPPRESSED,
)
from bookshop.mail.repository import MessageRepository

UNSENT = (QUEUED, SENDING)
LATE_AFTER = 15 * 60  # seconds after which an unsent message is late
NEWEST, RECENT = 20, timedelta(days=7)  # the messages that show whether e-mail works
LATE = "E-mails have been waiting for more than 15 minutes."


@dataclass(frozen=True)
class Outbox:
    """How many messages are unsent, how many failed, and since when the oldest unsent one has been waiting.

    `is_late` means that it has waited at least 15 minutes longer than alerts are delayed. `last_error` is the error of
    its last attempt, or None if there was no attempt, which suggests that no worker is running.
    """

    queue: int
    failed: int
    waiting_since: datetime | None
    is_late: bool
    last_error: str | None


class MailService:
    """Queues messages in the caller's transaction and records outcomes for the workers that send them; never commits.

    `host` is the domain of Message-IDs.
    """

    def __init__(self, session: Session, host: str) -> None:
        self.messages = MessageRepository(session)
        self.audit = AuditService(session)
        self.host = host

    # -- queueing

    def queue_order_message(self, kind: str, order_id: int, user_id: int, recipient: str) -> None:
        """Queue a message about an order; at most one of each kind."""
        self.messages.insert([self._order_message(kind, order_id, user_id, recipient)])

    def queue_order_messages(self, kind: str, customers: Iterable[Row[int, int, str]]) -> None:
        """Queue a message to the customer of each order, at most one of each kind; see OrderRepository.customers_of."""
        self.messages.insert([self._order_message(kind, *customer) for customer in customers])

    def queue_acknowledgement(
        self, return_id: int, order_id: int, user_id: int, recipient: str, *, again: bool = False
    ) -> None:
        """Queue the acknowledgement of a return: once, or `again`; see `MailAllowance`."""
        message = self._order_message(ORDER_RETURN, order_id, user_id, recipient)
        suffix = f":{secrets.token_hex(8)}" if again else ""
        self.messages.insert([{**message, "dedupe_key": f"{ORDER_RETURN}:{return_id}{suffix}"}])

    def confirmed_to(self, order_id: int) -> str:
        """Return the address to which an order was confirmed; '' if it is no longer stored."""
        return self.messages.recipient_of(f"{ORDER_PLACED}:{order_id}")

    def queue_link(self, kind: str, link_id: int, recipient: str) -> None:
        """Queue a message with a link to an address, whether or not it has an account; see `MailAllowance`."""
        message = self._message(kind, None, recipient)
        key = f"{kind}:{link_id}:{secrets.token_hex(8)}"  # SQLite gives the id of a deleted link to another
        self.messages.insert([{**message, "dedupe_key": key, "link_id": link_id}])

    def queue_invitation(self, user_id: int, recipient: str) -> None:
        """Queue a message to a new member of staff; see `MailAllowance.take_invitation`."""
        self._queue_to_user(INVITATION, user_id, recipient)

    def queue_check(self, user_id: int, recipient: str) -> None:
        """Queue a message to an owner, who checks that e-mail works."""
        self._queue_to_user(MAIL_CHECK, user_id, recipient)
        self.audit.record("shop.check_queued", None)

    def _queue_to_user(self, kind: str, user_id: int, recipient: str) -> None:
        message = self._message(kind, user_id, recipient)
        self.messages.insert([{**message, "dedupe_key": f"{kind}:{user_id}:{secrets.token_hex(8)}"}])

    def queue_notice(self, kind: str, user_id: int, recipient: str, link_id: int | None = None) -> None:
        """Queue a security notice, which goes to this address even if the account gets another one.

        `link_id` is the link in it, if there is one. There is no limit: a thief's change must not be hidden by an
        earlier notice. The caller holds the lock of the user's row, so that the account cannot be deleted just before.
        """
        message = self._message(kind, user_id, recipient)
        key = f"{kind}:{user_id}:{secrets.token_hex(8)}"
        self.messages.insert([{**message, "dedupe_key": key, "link_id": link_id}])

    def _order_message(self, kind: str, order_id: int, user_id: int, recipient: str) -> dict[str, Any]:
        message = self._message(kind, user_id, recipient)
        return {**message, "dedupe_key": f"{kind}:{order_id}", "order_id": order_id}

    def _message(self, kind: str, user_id: int | None, recipient: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "bulk": False,
            "user_id": user_id,
            "order_id": None,
            "link_id": None,
            "recipient": recipient,
            "message_id": f"<{kind}.{secrets.token_hex(16)}@{self.host}>",
        }

    # -- changes to an account

    def end_alerts(self, user_id: int, reason: str) -> None:
        """Give a user's alerts with the reason `gone` this final reason, so that they are never queued again."""
        self.messages.end_gone(user_id, reason)

    def change_recipient(self, user_id: int, recipient: str) -> None:
        """Redirect a user's queued messages to their new address; suppress those about the old address.

        Notices stay as they are: the former address may be the owner's, and the new one a thief's.
        """
        self.messages.suppress_queued(user_id, ADDRESS_CHANGED, (INVITATION,))
        self.messages.readdress(user_id, recipient, queued_only=True)

    def anonymise(self, user_id: int, placeholder: str, link_ids: Collection[int]) -> None:
        """Suppress a user's queued messages, and replace the address in all their messages with `placeholder`.

        The messages with these links become the user's.
        """
        self.messages.assign_links(link_ids, user_id)
        self.messages.readdress(user_id, placeholder, queued_only=False)
        self.messages.suppress_queued(user_id, CLOSED, KINDS)
        self.end_alerts(user_id, CLOSED)

    # -- sending

    def claim(self, number: int, lease: str, seconds: float) -> Mapping[int, int]:
        """Claim up to `number` due messages under `lease`, which expires after `seconds`.

        Returns a mapping of ids to previous attempts. No other worker can claim a message until it is settled or the
        lease expires.
        """
        return self.messages.claim(number, lease, seconds)

    def suppress(self, message_id: int, lease: str, reason: str) -> None:
        """Record that a message will not be sent, and why."""
        self.messages.settle(lease, message_id, state=SUPPRESSED, reason=reason)

    def fail(self, message_id: int, lease: str, attempts: int, error: str) -> None:
        """Record that a message has failed permanently; `attempts` is the number of earlier attempts."""
        values = {"attempts": attempts + 1, "last_error": error}
        self.messages.settle(lease, message_id, state=FAILED, **values)

    def defer(self, message_id: int, lease: str, attempts: int, error: str) -> None:
        """Schedule another attempt at a message; fail it after 3 days. `attempts` is the number of earlier attempts."""
        if attempts + 1 >= MAX_ATTEMPTS:
            self.fail(message_id, lease, attempts, f"{GIVEN_UP} {error}"[:ERROR_MAX])
            return
        wait = later(jittered_delay_after(attempts))
        values = {"attempts": attempts + 1, "last_error": error, "next_attempt_at": wait}
        self.messages.settle(lease, message_id, state=QUEUED, **values)

    def release(self, lease: str) -> None:
        """Put the unsettled messages of this lease back in the queue."""
        self.messages.settle(lease, state=QUEUED, next_attempt_at=later(0))

    # -- for staff

    def outbox(self, alert_delay: int) -> Outbox:
        """Return the state of the outbox in figures; `alert_delay` is for how many seconds alerts are held back."""
        counts = self.messages.count_by_state((*UNSENT, FAILED))
        queue = sum(counts.get(state, 0) for state in UNSENT)
        return Outbox(queue, counts.get(FAILED, 0), *self.messages.oldest_unsent(LATE_AFTER + alert_delay))

    def problem(self, alert_delay: int, since: datetime | None) -> str:
        """Say how e-mail fails: one message waits for too long, or more have failed lately than were sent; '' if not.

        Only messages that were queued after `since` count as failed. See `outbox` for `alert_delay`.
        """
        _queued_at, is_late, _error = self.messages.oldest_unsent(LATE_AFTER + alert_delay)
        if is_late:
            return LATE
        week_ago = now() - RECENT
        outcomes = self.messages.newest_outcomes(NEWEST, max(since or week_ago, week_ago))
        failed = outcomes.count(FAILED)
        if failed <= len(outcomes) / 2:
            return ""
        number = "The last e-mail" if len(outcomes) == 1 else f"{failed} of the last {len(outcomes)} e-mails"
        return f"{number} could not be sent."

    def retry(self, message_ids: Collection[int]) -> Collection[int]:
        """Queue these messages for immediate sending, except those sent or being sent; returns the ids queued.

        The worker still checks each one before sending it.
        """
        changed = self.messages.change_state(message_ids, (FAILED, QUEUED, SUPPRESSED), **_requeued())
        self.audit.record_field("message.retried", "state", changed, QUEUED)
        return list(changed)

    def retry_failed(self) -> int:
        """Queue all failed messages for immediate sending; returns how many."""
        changed = dict.fromkeys(self.messages.change_all(FAILED, **_requeued()), FAILED)
        self.audit.record_field("message.retried", "state", changed, QUEUED)
        return len(changed)

    def drop(self, message_ids: Collection[int]) -> Collection[int]:
        """Suppress those of these messages that are queued or failed, except security notices; returns their ids."""
        dropped = {"state": SUPPRESSED, "reason": DROPPED}
        changed = self.messages.change_state(message_ids, (FAILED, QUEUED), except_kinds=NOTICE_KINDS, **dropped)
        self.audit.record_field("message.dropped", "state", changed, SUPPRESSED)
        return list(changed)


def _requeued() -> dict[str, Any]:
    """Return the column values that queue a message as if it had never been tried."""
    return {"state": QUEUED, "reason": None, "attempts": 0, "next_attempt_at": later(0), "last_error": None}
