"""The worker for webhooks: puts events from the feed into the outbox, delivers what is due, notes the outcome.

Any number of them may run on one database. One that is killed loses nothing: what it had taken is due again when its
lease ends. Only the delivery that it was just making can then be made twice, under the same webhook-id.
"""

import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from bookshop.extensions import db, settings, without_transactions
from bookshop.feed.schemas import event_out
from bookshop.kit.outbox import OutboxWorker, WorkerTiming
from bookshop.kit.text import one_line
from bookshop.web import services
from bookshop.webhooks.addresses import read_url
from bookshop.webhooks.repository import WebhookRepository
from bookshop.webhooks.signing import signed_headers
from bookshop.webhooks.transport import Broken, Transport, Unreachable

log = logging.getLogger(__name__)

PACE = WorkerTiming(timeout=10)
AGENT = "Bookshop-Webhooks"


class WebhookWorker(OutboxWorker):
    """Delivers to one webhook after the other what is due, a batch each, so that none waits for all of another's."""

    def __init__(self, timing: WorkerTiming = PACE) -> None:
        super().__init__(services.commit, db.session.remove, timing)

    def send_batch(self) -> bool | None:
        """Queue what is new in the feed, and deliver a batch to each webhook; returns None if nothing was due.

        Never False: a receiver that cannot be reached is no reason to let the others wait.
        """
        self.queue_new()
        due = services.repository(WebhookRepository).list_due()
        db.session.rollback()
        sent = [self._send_to(webhook_id) for webhook_id in due if not self.stopping]
        return True if any(sent) else None

    def queue_new(self) -> None:
        """Queue all that webhooks want of what is in the feed by now; without any webhook the feed is let alone."""
        webhooks = services.repository(WebhookRepository)
        if not webhooks.count():
            db.session.rollback()
            return
        services.assign_positions()
        while (behind := webhooks.list_behind()) and not self.stopping:
            db.session.rollback()
            for row in behind:
                services.commit(partial(_queue_next, row.id, row.kinds))
        db.session.rollback()

    def _send_to(self, webhook_id: int) -> bool:
        """Claim and make a batch of deliveries to a webhook; returns whether there were any."""
        lease, noted = secrets.token_hex(16), self.done.total()
        self._lease_ends = time.monotonic() + self.timing.lease
        claimed = services.commit(
            lambda: services.webhooks().claim(webhook_id, self.timing.batch, lease, self.timing.lease)
        )
        try:
            self._send_all(claimed, lease)
        finally:
            if self.done.total() - noted < len(claimed):
                self._write(lambda: services.webhooks().release(lease), also_when_stopped=False)
        return bool(claimed)

    def _send_all(self, claimed: Sequence[int], lease: str) -> None:
        """Make deliveries until the receiver cannot be reached; the rest is left for when it has rested."""
        transport = Transport(timeout=self.timing.timeout, private=settings().webhook_private)
        for delivery_id in claimed:
            if self.stopping or not self._send_one(delivery_id, lease, transport):
                return

    def _send_one(self, delivery_id: int, lease: str, transport: Transport) -> bool:
        """Make one delivery and note the outcome; returns whether the receiver could be reached."""
        with Session(without_transactions(db.engine)) as looking:
            found = WebhookRepository(looking).get_to_send(delivery_id, lease)
        if found is None:
            log.warning("delivery %d: its lease has ended or its webhook is deleted", delivery_id)
            return True
        try:
            status = _send(found, transport)
        except Unreachable as error:
            why = one_line(str(error))
            log.warning("webhook %d, delivery %d: %s", found.webhook_id, delivery_id, why)
            self._note_outcome(lambda: services.webhooks().note_unreachable(found, delivery_id, lease, why))
            return False
        except Broken as error:
            why = one_line(str(error))
            self._note_outcome(lambda: services.webhooks().note_broken(found, delivery_id, lease, why))
        except Exception as error:  # what cannot be written must not keep the others
            log.exception("delivery %d cannot be written", delivery_id)
            why = f"It cannot be written: {one_line(str(error)) or type(error).__name__}"
            self._note_outcome(lambda: services.webhooks().note_broken(found, delivery_id, lease, why))
        else:
            self._note_outcome(lambda: services.webhooks().note_answer(found, delivery_id, lease, status))
        return True

    def _note_outcome(self, write: Callable[[], str]) -> None:
        """Write down what became of a delivery, and count the state that it is in now."""
        self.done[self._write(write, also_when_stopped=True)] += 1


def _queue_next(webhook_id: int, kinds: str) -> None:
    services.webhooks().fan_out(webhook_id, kinds)


def _send(found: Any, transport: Transport) -> int:
    """Make a delivery; returns the status of the answer, or raises Unreachable or Broken."""
    body = body_of(found)
    headers = signed_headers(found.secret, f"evt_{found.position}", int(time.time()), body)
    headers |= {"Content-Type": "application/json", "User-Agent": AGENT}
    return transport.post(read_url(found.url), headers, body)


def body_of(found: Any) -> bytes:
    """An event as it is sent: its kind, when it happened, and the data of the feed with the id."""
    event = event_out(found).model_dump(mode="json")
    content = {"type": event["kind"], "timestamp": event["created_at"], "data": {"id": event["id"], **event["data"]}}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
