"""The webhook worker: queues events from the feed, sends due deliveries and records the outcome.

Any number of workers can share one database. If one is killed, its deliveries are due again when its lease expires;
only the delivery it was sending at that moment can be sent twice, under the same webhook-id.
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
from bookshop.webhooks.addresses import parse_url
from bookshop.webhooks.repository import WebhookRepository
from bookshop.webhooks.signing import signed_headers
from bookshop.webhooks.transport import NoResponse, Transport, Unreachable

log = logging.getLogger(__name__)

TIMING = WorkerTiming(timeout=10)
USER_AGENT = "Bookshop-Webhooks"


class WebhookWorker(OutboxWorker):
    """Sends due deliveries, one batch per webhook in turn, so that no webhook waits for all of another's."""

    def __init__(self, timing: WorkerTiming = TIMING) -> None:
        super().__init__(services.commit, db.session.remove, timing)

    def send_batch(self) -> bool | None:
        """Queue new events and send a batch to each webhook; returns None if nothing was due.

        Never returns False: an unreachable receiver must not delay the others.
        """
        self.queue_new()
        due = services.repository(WebhookRepository).list_due()
        db.session.rollback()
        sent = [self._send_to(webhook_id) for webhook_id in due if not self.stopping]
        return True if any(sent) else None

    def queue_new(self) -> None:
        """Queue deliveries for all new events in the feed; does nothing if there are no webhooks."""
        webhooks = services.repository(WebhookRepository)
        if not webhooks.count():
            db.session.rollback()
            return
        services.assign_positions()
        while (behind := webhooks.list_behind()) and not self.stopping:
            db.session.rollback()
            for row in behind:
                self.beat()
                services.commit(partial(_queue_next, row.id, row.kinds))
        db.session.rollback()

    def _send_to(self, webhook_id: int) -> bool:
        """Claim and send a batch of deliveries to a webhook; returns whether there were any."""
        lease, outcomes_before = secrets.token_hex(16), self.outcomes.total()
        self._lease_ends = time.monotonic() + self.timing.lease
        claimed = services.commit(
            lambda: services.webhooks().claim(webhook_id, self.timing.batch, lease, self.timing.lease)
        )
        try:
            self._send_all(claimed, lease)
        finally:
            if self.outcomes.total() - outcomes_before < len(claimed):
                self._write(lambda: services.webhooks().release(lease), also_when_stopped=False)
        return bool(claimed)

    def _send_all(self, claimed: Sequence[int], lease: str) -> None:
        """Send deliveries until the receiver cannot be reached; the others are left for later."""
        transport = Transport(timeout=self.timing.timeout, private=settings().webhook_private)
        for delivery_id in claimed:
            self.beat()
            if self.stopping or not self._send_one(delivery_id, lease, transport):
                return

    def _send_one(self, delivery_id: int, lease: str, transport: Transport) -> bool:
        """Send one delivery and record the outcome; returns whether the receiver could be reached."""
        with Session(without_transactions(db.engine)) as session:
            delivery = WebhookRepository(session).get_to_send(delivery_id, lease)
        if delivery is None:
            log.warning("delivery %d: its lease has expired or its webhook was deleted", delivery_id)
            return True
        try:
            status = _send(delivery, transport)
        except Unreachable as error:
            reason = one_line(str(error))
            log.warning("webhook %d, delivery %d: %s", delivery.webhook_id, delivery_id, reason)
            self._record_outcome(lambda: services.webhooks().record_unreachable(delivery, delivery_id, lease, reason))
            return False
        except NoResponse as error:
            reason = one_line(str(error))
            self._record_outcome(lambda: services.webhooks().record_no_response(delivery, delivery_id, lease, reason))
        except Exception as error:  # a delivery that cannot be prepared must not stop the others
            log.exception("delivery %d cannot be prepared", delivery_id)
            reason = f"The request could not be prepared: {one_line(str(error)) or type(error).__name__}"
            self._record_outcome(lambda: services.webhooks().record_no_response(delivery, delivery_id, lease, reason))
        else:
            self._record_outcome(lambda: services.webhooks().record_response(delivery, delivery_id, lease, status))
        return True

    def _record_outcome(self, write: Callable[[], str]) -> None:
        """Record the outcome of a delivery, and count its new state."""
        self.outcomes[self._write(write, also_when_stopped=True)] += 1


def _queue_next(webhook_id: int, kinds: str) -> None:
    services.webhooks().fan_out(webhook_id, kinds)


def _send(delivery: Any, transport: Transport) -> int:
    """Send a delivery; returns the response status, or raises Unreachable or NoResponse."""
    body = body_of(delivery)
    headers = signed_headers(delivery.secret, f"evt_{delivery.position}", int(time.time()), body)
    headers |= {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    return transport.post(parse_url(delivery.url), headers, body)


def body_of(delivery: Any) -> bytes:
    """Return the request body for an event: its kind, its time, and its data in the feed with the id."""
    event = event_out(delivery).model_dump(mode="json")
    content = {"type": event["kind"], "timestamp": event["created_at"], "data": {"id": event["id"], **event["data"]}}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
