"""Webhooks: which there are, what is queued for each, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.events.kinds import matching
from bookshop.kit.backoff import GIVEN_UP, JITTER, MOST_ATTEMPTS, PATIENCE, spread_wait_after, wait_after
from bookshop.kit.database import Page, later
from bookshop.kit.exceptions import Conflict, NotFound
from bookshop.kit.pagination import PageRequest
from bookshop.webhooks.models import DELIVERED, ERROR_MAX, FAILED, MOST_WEBHOOKS, QUEUED, SENDING, Webhook
from bookshop.webhooks.repository import WebhookRepository
from bookshop.webhooks.signing import new_secret

AT_ONCE = 10_000  # events that are written into the outbox in one transaction
GONE = 410  # the answer of a receiver that is closed for good


@dataclass(frozen=True)
class State:
    """A webhook as staff see it in a list: who registered it, what waits and what failed, and the last error."""

    webhook: Webhook
    email: str
    waiting: int
    failed: int
    last_error: str | None


class WebhookService:
    """Registers webhooks, and keeps the books for the workers that deliver; never commits."""

    def __init__(self, session: Session) -> None:
        self.webhooks = WebhookRepository(session)

    def register(self, user_id: int, url: str, wanted: Sequence[str]) -> Webhook:
        """Tell an address, which was looked at before, of events of these kinds from now on; raises Conflict."""
        self.webhooks.lock_registration()
        if self.webhooks.count() >= MOST_WEBHOOKS:
            raise Conflict(
                f"There are {MOST_WEBHOOKS} webhooks already, the most at a time. Delete one first.", "WEBHOOK_LIMIT"
            )
        webhook = Webhook(url=url, kinds=",".join(dict.fromkeys(wanted)), secret=new_secret(), user_id=user_id)
        self.webhooks.add(webhook)
        return webhook

    def get(self, webhook_id: int) -> Webhook:
        """A webhook; raises NotFound."""
        found = self.webhooks.get(webhook_id)
        if found is None:
            raise NotFound("There is no such webhook.", "WEBHOOK_NOT_FOUND")
        return found

    def list_all(self) -> Sequence[State]:
        """All webhooks with their state, oldest first."""
        counts, errors = self.webhooks.count_undelivered(), self.webhooks.last_errors()
        return [
            State(
                webhook,
                email,
                sum(counts.get((webhook.id, state), 0) for state in (QUEUED, SENDING)),
                counts.get((webhook.id, FAILED), 0),
                errors.get(webhook.id),
            )
            for webhook, email in self.webhooks.list_all()
        ]

    def delete(self, webhook_id: int) -> None:
        """Forget a webhook, its deliveries and their log; raises NotFound."""
        if not self.webhooks.delete(webhook_id):
            self.get(webhook_id)

    # -- the log

    def list_deliveries(
        self, webhook_id: int, states: Sequence[str], page_request: PageRequest, size: int
    ) -> Page[Any]:
        """The deliveries of a webhook with their events, newest first, in these states or all; raises NotFound."""
        self.get(webhook_id)
        return self.webhooks.list_deliveries(webhook_id, states, page_request, size)

    def redeliver(self, webhook_id: int, delivery_id: int) -> Any:
        """Queue a delivery anew, to be tried at once; returns it with its event. Raises NotFound or Conflict."""
        self.get(webhook_id)
        self.webhooks.wake(webhook_id)
        queued = self.webhooks.requeue(webhook_id, delivery_id)
        found = self.webhooks.get_delivery(webhook_id, delivery_id)
        if found is None:
            raise NotFound("There is no such delivery of this webhook.", "WEBHOOK_DELIVERY_NOT_FOUND")
        if not queued:
            raise Conflict("This delivery is just being sent. Look again in a moment.", "WEBHOOK_DELIVERY_SENDING")
        return found

    # -- for the workers

    def fan_out(self, webhook_id: int, kinds: str) -> None:
        """Queue what a webhook wants of the next events of the feed, each once, however many workers do it."""
        self.webhooks.fan_out(webhook_id, matching(kinds.split(",")), AT_ONCE)

    def claim(self, webhook_id: int, number: int, lease: str, seconds: float) -> Sequence[int]:
        """Take at most so many due deliveries of a webhook, for so many seconds, under the name `lease`.

        Returns their ids in the order in which they should be made. No other worker gets any of this webhook before
        each is settled or the lease has ended.
        """
        return self.webhooks.claim(webhook_id, number, lease, seconds)

    def note_answer(self, found: Row[*tuple[Any, ...]], delivery_id: int, lease: str, status: int) -> str:
        """Note what a receiver answered; returns the state in which the delivery is now.

        2xx is yes. All else is no, a redirect too, and tried again; 410 says that it is no use.
        """
        self.webhooks.wake(found.webhook_id)
        values: dict[str, Any] = {"attempts": found.attempts + 1, "last_status": status}
        if 200 <= status < 300:
            values |= {"last_error": None, "delivered_at": later(0)}
            return self._settle(lease, delivery_id, DELIVERED, values)
        values["last_error"] = f"The receiver answered {status}."
        if status == GONE:
            return self._settle(lease, delivery_id, FAILED, values)
        return self._defer(lease, delivery_id, values)

    def note_broken(self, found: Row[*tuple[Any, ...]], delivery_id: int, lease: str, error: str) -> str:
        """Note that a receiver was there and broke off; returns the state in which the delivery is now."""
        self.webhooks.wake(found.webhook_id)
        return self._defer(lease, delivery_id, _without_answer(found, error))

    def note_unreachable(self, found: Row[*tuple[Any, ...]], delivery_id: int, lease: str, error: str) -> str:
        """Note that a receiver could not be reached; returns the state in which the delivery is now.

        All that waits for it rests with it, so that one that is dead costs an attempt at a time. If it has been so for
        3 days, what has waited for as long is given up, too.
        """
        misses = self.webhooks.misses(found.webhook_id)
        # Shorter than the delivery itself waits: others go first then, so that one at which a receiver hangs, and
        # at no other, does not hold them up.
        self.webhooks.rest(found.webhook_id, (1 - JITTER) * wait_after(misses))
        state = self._defer(lease, delivery_id, _without_answer(found, error))
        if misses + 1 >= MOST_ATTEMPTS:
            self.webhooks.fail_older(found.webhook_id, lease, PATIENCE, f"{GIVEN_UP} {error}"[:ERROR_MAX])
        return state

    def _defer(self, lease: str, delivery_id: int, values: dict[str, Any]) -> str:
        if values["attempts"] >= MOST_ATTEMPTS:
            values["last_error"] = f"{GIVEN_UP} {values['last_error']}"[:ERROR_MAX]
            return self._settle(lease, delivery_id, FAILED, values)
        values["next_attempt_at"] = later(spread_wait_after(values["attempts"] - 1))
        return self._settle(lease, delivery_id, QUEUED, values)

    def _settle(self, lease: str, delivery_id: int, state: str, values: dict[str, Any]) -> str:
        self.webhooks.settle(lease, delivery_id, state=state, **values)
        return state

    def release(self, lease: str) -> None:
        """Give back what was claimed under this lease and not tried."""
        self.webhooks.settle(lease, state=QUEUED, next_attempt_at=later(0))


def _without_answer(found: Row[*tuple[Any, ...]], error: str) -> dict[str, Any]:
    return {"attempts": found.attempts + 1, "last_status": None, "last_error": error[:ERROR_MAX]}
