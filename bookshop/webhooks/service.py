"""The rules of webhooks: registration, queueing deliveries, and recording their outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.events.kinds import expand_kinds
from bookshop.kit.backoff import GIVE_UP_AFTER, GIVEN_UP, JITTER, MAX_ATTEMPTS, delay_after, jittered_delay_after
from bookshop.kit.database import Page, later
from bookshop.kit.exceptions import Conflict, NotFound
from bookshop.kit.pagination import PageRequest
from bookshop.webhooks.models import DELIVERED, ERROR_MAX, FAILED, MAX_WEBHOOKS, QUEUED, SENDING, Webhook
from bookshop.webhooks.repository import WebhookRepository
from bookshop.webhooks.signing import new_secret

BATCH = 10_000  # events queued in one transaction
GONE = 410  # HTTP status of a receiver that has been closed permanently


@dataclass(frozen=True)
class WebhookStatus:
    """A webhook with its creator's e-mail address, the number of waiting and failed deliveries, and the last error."""

    webhook: Webhook
    email: str
    waiting: int
    failed: int
    last_error: str | None


class WebhookService:
    """Registers webhooks and records outcomes for the workers that call them; never commits."""

    def __init__(self, session: Session) -> None:
        self.webhooks = WebhookRepository(session)
        self.audit = AuditService(session)

    def register(self, user_id: int, url: str, kinds: Sequence[str]) -> Webhook:
        """Register an already validated URL for future events of these kinds; raises Conflict."""
        self.webhooks.lock_registration()
        if self.webhooks.count() >= MAX_WEBHOOKS:
            raise Conflict(
                f"There are already {MAX_WEBHOOKS} webhooks, the most allowed. Delete one first.", "WEBHOOK_LIMIT"
            )
        webhook = Webhook(url=url, kinds=",".join(dict.fromkeys(kinds)), secret=new_secret(), user_id=user_id)
        self.webhooks.add(webhook)
        self.audit.record("webhook.registered", webhook.id, after=_audited(webhook.url, webhook.kinds))
        return webhook

    def get(self, webhook_id: int) -> Webhook:
        """Return a webhook; raises NotFound."""
        webhook = self.webhooks.get(webhook_id)
        if webhook is None:
            raise _not_found()
        return webhook

    def list_all(self) -> Sequence[WebhookStatus]:
        """Return all webhooks with their status, oldest first."""
        counts, errors = self.webhooks.count_undelivered(), self.webhooks.last_errors()
        return [
            WebhookStatus(
                webhook,
                email,
                sum(counts.get((webhook.id, state), 0) for state in (QUEUED, SENDING)),
                counts.get((webhook.id, FAILED), 0),
                errors.get(webhook.id),
            )
            for webhook, email in self.webhooks.list_all()
        ]

    def delete(self, webhook_id: int) -> None:
        """Delete a webhook and all its deliveries; raises NotFound."""
        deleted = self.webhooks.delete(webhook_id)
        if deleted is None:
            raise _not_found()
        self.audit.record("webhook.deleted", webhook_id, before=_audited(deleted.url, deleted.kinds))

    # -- the log

    def list_deliveries(
        self, webhook_id: int, states: Sequence[str], page_request: PageRequest, size: int
    ) -> Page[Any]:
        """Return the deliveries of a webhook with their events, newest first; raises NotFound.

        If `states` is empty, returns deliveries in every state.
        """
        self.get(webhook_id)
        return self.webhooks.list_deliveries(webhook_id, states, page_request, size)

    def redeliver(self, webhook_id: int, delivery_id: int) -> Any:
        """Queue a delivery for immediate sending; returns it with its event. Raises NotFound or Conflict."""
        self.get(webhook_id)
        self.webhooks.wake(webhook_id)
        queued = self.webhooks.requeue(webhook_id, delivery_id)
        delivery = self.webhooks.get_delivery(webhook_id, delivery_id)
        if delivery is None:
            raise NotFound(
                "This webhook has no such delivery. The shop deletes old ones.", "WEBHOOK_DELIVERY_NOT_FOUND"
            )
        if not queued:
            raise Conflict("This delivery is being sent. Check again in a moment.", "WEBHOOK_DELIVERY_SENDING")
        self.audit.record("webhook.redelivered", webhook_id, after={"delivery": delivery_id})
        return delivery

    # -- for the workers

    def fan_out(self, webhook_id: int, kinds: str) -> None:
        """Queue a webhook's deliveries for the next events of the feed, each only once even with concurrent workers."""
        self.webhooks.fan_out(webhook_id, expand_kinds(kinds.split(",")), BATCH)

    def claim(self, webhook_id: int, number: int, lease: str, seconds: float) -> Sequence[int]:
        """Claim up to `number` due deliveries of a webhook under `lease`, which expires after `seconds`.

        Returns their ids in sending order. No other worker can claim deliveries of this webhook until all of these are
        settled or the lease expires.
        """
        return self.webhooks.claim(webhook_id, number, lease, seconds)

    def record_response(self, delivery: Row[*tuple[Any, ...]], delivery_id: int, lease: str, status: int) -> str:
        """Record the HTTP status that a receiver returned; returns the new state of the delivery.

        2xx means delivered and 410 means failed. Every other status, even a redirect, is retried.
        """
        self.webhooks.wake(delivery.webhook_id)
        values: dict[str, Any] = {"attempts": delivery.attempts + 1, "last_status": status}
        if 200 <= status < 300:
            values |= {"last_error": None, "delivered_at": later(0)}
            return self._settle(lease, delivery_id, DELIVERED, values)
        values["last_error"] = f"The receiver answered {status}."
        if status == GONE:
            return self._settle(lease, delivery_id, FAILED, values)
        return self._defer(lease, delivery_id, values)

    def record_no_response(self, delivery: Row[*tuple[Any, ...]], delivery_id: int, lease: str, error: str) -> str:
        """Record that a receiver was reached but gave no valid response; returns the new state of the delivery."""
        self.webhooks.wake(delivery.webhook_id)
        return self._defer(lease, delivery_id, _failed_attempt(delivery, error))

    def record_unreachable(self, delivery: Row[*tuple[Any, ...]], delivery_id: int, lease: str, error: str) -> str:
        """Record that a receiver could not be reached; returns the new state of the delivery.

        All other deliveries of the webhook wait too, so that a dead receiver costs only one attempt at a time. After 3
        days, the deliveries that have waited that long fail.
        """
        misses = self.webhooks.misses(delivery.webhook_id)
        # Shorter than the wait of this delivery, so that others are sent before it: the receiver may hang on this one
        # only.
        self.webhooks.rest(delivery.webhook_id, (1 - JITTER) * delay_after(misses))
        state = self._defer(lease, delivery_id, _failed_attempt(delivery, error))
        if misses + 1 >= MAX_ATTEMPTS:
            self.webhooks.fail_older(delivery.webhook_id, lease, GIVE_UP_AFTER, f"{GIVEN_UP} {error}"[:ERROR_MAX])
        return state

    def _defer(self, lease: str, delivery_id: int, values: dict[str, Any]) -> str:
        if values["attempts"] >= MAX_ATTEMPTS:
            values["last_error"] = f"{GIVEN_UP} {values['last_error']}"[:ERROR_MAX]
            return self._settle(lease, delivery_id, FAILED, values)
        values["next_attempt_at"] = later(jittered_delay_after(values["attempts"] - 1))
        return self._settle(lease, delivery_id, QUEUED, values)

    def _settle(self, lease: str, delivery_id: int, state: str, values: dict[str, Any]) -> str:
        self.webhooks.settle(lease, delivery_id, state=state, **values)
        return state

    def release(self, lease: str) -> None:
        """Put the unsettled deliveries of this lease back in the queue."""
        self.webhooks.settle(lease, state=QUEUED, next_attempt_at=later(0))


def _not_found() -> NotFound:
    return NotFound("There is no such webhook.", "WEBHOOK_NOT_FOUND")


def _audited(url: str, kinds: str) -> dict[str, Any]:
    """Return what the audit log says about a webhook: of its address only the host, as a path may hold a secret."""
    return {"host": urlsplit(url).hostname, "kinds": kinds.split(",")}


def _failed_attempt(delivery: Row[*tuple[Any, ...]], error: str) -> dict[str, Any]:
    return {"attempts": delivery.attempts + 1, "last_status": None, "last_error": error[:ERROR_MAX]}
