"""SQL for webhooks. Due times and leases always use the database's clock.

Locks are taken in this order: the webhook, then its deliveries.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.events.models import Event
from bookshop.events.repository import LAST_POSITION, events, next_position
from bookshop.feed.repository import FEED
from bookshop.kit.database import Page, is_sqlite, later, table_of
from bookshop.kit.pagination import PageRequest, SortKey, list_page
from bookshop.webhooks.models import FAILED, IS_SENDING, IS_UNDELIVERED, IS_UNSENT, QUEUED, SENDING, Delivery, Webhook

REGISTRATION_LOCK = 20_121  # the number of the advisory lock for registering a webhook
UNSENT = (QUEUED, SENDING)

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


def _is_due() -> ColumnElement[bool]:
    return and_(IS_UNSENT, deliveries.c.next_attempt_at <= later(0))


def _is_awake() -> ColumnElement[bool]:
    return or_(webhooks.c.rests_until.is_(None), webhooks.c.rests_until <= later(0))


# A delivery with everything needed to send it.
TO_SEND = (
    FEED.add_columns(deliveries.c.webhook_id, deliveries.c.attempts, webhooks.c.url, webhooks.c.secret)
    .join(deliveries, deliveries.c.event_id == events.c.id)
    .join(webhooks, webhooks.c.id == deliveries.c.webhook_id)
    .where(deliveries.c.id == bindparam("id"), deliveries.c.lease == bindparam("lease"))
    .where(deliveries.c.next_attempt_at > later(0))  # not if the lease expired while the worker was suspended
)
LISTED = select(Delivery, Event.kind, Event.position, Event.created_at).join(Event, Event.id == Delivery.event_id)


class WebhookRepository:
    """Stores webhooks; queues, claims and settles their deliveries; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    # -- webhooks

    def lock_registration(self) -> None:
        """Block other registrations until the transaction ends; on SQLite, writers are serialised anyway."""
        if not is_sqlite(self.session):
            self.session.execute(select(func.pg_advisory_xact_lock(REGISTRATION_LOCK)))

    def add(self, webhook: Webhook) -> None:
        """Add a new webhook, which receives the events after the current end of the feed."""
        webhook.position = self.session.connection().scalar(select(LAST_POSITION)) or 0
        self.session.add(webhook)
        self.session.flush()

    def count(self) -> int:
        """Return the number of webhooks."""
        return self.session.connection().scalar(select(func.count()).select_from(webhooks)) or 0

    def list_all(self) -> Sequence[Row[Webhook, str]]:
        """Return the current state of all webhooks, oldest first, each with the e-mail address of its creator."""
        query = select(Webhook, User.email).join(User, User.id == Webhook.user_id).order_by(Webhook.id)
        return self.session.execute(query, execution_options={"populate_existing": True}).all()

    def get(self, webhook_id: int) -> Webhook | None:
        """Return the current state of a webhook, or None."""
        query = select(Webhook).where(Webhook.id == webhook_id)
        return self.session.scalar(query.execution_options(populate_existing=True))

    def delete(self, webhook_id: int) -> Row[str, str] | None:
        """Delete a webhook and its deliveries; returns its address and kinds, or None if there is no such webhook."""
        locked = select(webhooks.c.url, webhooks.c.kinds).where(webhooks.c.id == webhook_id).with_for_update()
        deleted = self.session.connection().execute(locked).first()
        if deleted is None:
            return None
        self.session.connection().execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
        self.session.connection().execute(delete(webhooks).where(webhooks.c.id == webhook_id))
        return deleted

    # -- queueing from the feed

    def list_behind(self) -> Sequence[Row[int, str]]:
        """Return the id and kinds of each webhook that has not reached the end of the feed."""
        behind = select(webhooks.c.id, webhooks.c.kinds).where(webhooks.c.position < LAST_POSITION)
        return self.session.connection().execute(behind.order_by(webhooks.c.id)).all()

    def fan_out(self, webhook_id: int, kinds: Collection[str], number: int) -> None:
        """Queue deliveries for those of the next `number` events that are of these kinds; locks the webhook."""
        position = select(webhooks.c.position).where(webhooks.c.id == webhook_id)
        after = self.session.connection().scalar(position.with_for_update(key_share=True))
        if after is None:
            return
        last = self.session.connection().scalar(select(LAST_POSITION)) or 0
        if last - after > number:  # there may be skipped positions in between
            number += (self.session.connection().scalar(next_position(after)) or after + 1) - after - 1
        until = max(after, min(after + number, last))
        conditions = [events.c.position > after, events.c.position <= until, events.c.kind.in_(kinds)]
        values = {
            "webhook_id": literal(webhook_id),
            "event_id": events.c.id,
            "state": literal(QUEUED),
            "attempts": literal(0),
            "next_attempt_at": later(0),
            "queued_at": later(0),
        }
        source = select(*values.values()).where(*conditions).order_by(events.c.position)
        queued = insert(deliveries).from_select(list(values), source, include_defaults=False)
        self.session.connection().execute(queued)
        self._update(webhook_id, position=until)

    def _update(self, webhook_id: int, *conditions: ColumnElement[bool], **values: Any) -> None:
        updated = update(webhooks).where(webhooks.c.id == webhook_id, *conditions)
        self.session.connection().execute(updated.values(**values))

    # -- sending

    def list_due(self) -> Sequence[int]:
        """Return the ids of the webhooks that have a due delivery and are not resting."""
        is_due = select(deliveries.c.id).where(deliveries.c.webhook_id == webhooks.c.id, _is_due()).exists()
        due = select(webhooks.c.id).where(_is_awake(), is_due).order_by(webhooks.c.id)
        return self.session.connection().scalars(due).all()

    def claim(self, webhook_id: int, number: int, lease: str, seconds: float) -> Sequence[int]:
        """Claim up to `number` due deliveries of a webhook under `lease`, which expires after `seconds`.

        Returns their ids in feed order, or none if another worker holds any: so each webhook receives events in order,
        and a hanging one blocks only one worker. Deliveries with an expired lease count as due: their worker is dead or
        too slow.
        """
        connection = self.session.connection()
        awake = select(webhooks.c.id).where(webhooks.c.id == webhook_id, _is_awake())
        if connection.scalar(awake.with_for_update(skip_locked=True, key_share=True)) is None:
            return []
        own = deliveries.c.webhook_id == webhook_id
        held = select(deliveries.c.id).where(own, IS_SENDING)
        if connection.scalar(held.where(deliveries.c.next_attempt_at > later(0)).limit(1)) is not None:
            return []
        due = select(deliveries.c.id).where(own, _is_due())
        due_ids = connection.scalars(due.order_by(deliveries.c.id).limit(number)).all()
        # Checked again, because a worker whose lease has expired may settle one of these at the same time.
        claimed = update(deliveries).where(deliveries.c.id.in_(due_ids), _is_due())
        claimed = claimed.values(state=SENDING, lease=lease, next_attempt_at=later(seconds))
        return sorted(connection.scalars(claimed.returning(deliveries.c.id)))

    def get_to_send(self, delivery_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """Return a delivery with everything needed to send it, or None if the lease was lost; see TO_SEND."""
        return self.session.connection().execute(TO_SEND, {"id": delivery_id, "lease": lease}).first()

    def settle(self, lease: str, delivery_id: int | None = None, **values: Any) -> int:
        """Record the outcome of one delivery, or of all remaining deliveries, under this lease and release it.

        Returns the number of deliveries updated: 0 if the lease was lost.
        """
        settled = update(deliveries).where(deliveries.c.lease == lease, deliveries.c.state == SENDING)
        if delivery_id is not None:
            settled = settled.where(deliveries.c.id == delivery_id)
        result: Any = self.session.connection().execute(settled.values(lease=None, **values))
        return int(result.rowcount)

    def rest(self, webhook_id: int, seconds: float) -> None:
        """Send nothing to a webhook for this long, and count the failure to reach its receiver."""
        self._update(webhook_id, misses=webhooks.c.misses + 1, rests_until=later(seconds))

    def wake(self, webhook_id: int) -> None:
        """Allow sending to a webhook again, and reset its count of failures."""
        self._update(webhook_id, webhooks.c.misses > 0, misses=0, rests_until=None)

    def misses(self, webhook_id: int) -> int:
        """Return how many times in a row the receiver of a webhook could not be reached."""
        return self.session.connection().scalar(select(webhooks.c.misses).where(webhooks.c.id == webhook_id)) or 0

    def fail_older(self, webhook_id: int, lease: str, seconds: float, error: str) -> None:
        """Fail a webhook's deliveries, still queued or held under this lease, that were queued over `seconds` ago."""
        own = deliveries.c.webhook_id == webhook_id, IS_UNDELIVERED
        old = update(deliveries).where(*own, or_(deliveries.c.state == QUEUED, deliveries.c.lease == lease))
        old = old.where(deliveries.c.queued_at < later(-seconds))
        self.session.connection().execute(old.values(state=FAILED, lease=None, last_error=error))

    # -- for staff

    def requeue(self, webhook_id: int, delivery_id: int) -> bool:
        """Queue a delivery as if it had never been tried, unless it is being sent; returns whether it was queued."""
        requeued = update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.webhook_id == webhook_id)
        values: dict[str, Any] = {"state": QUEUED, "attempts": 0, "delivered_at": None, "last_error": None}
        requeued = requeued.where(deliveries.c.state != SENDING)
        values |= {"last_status": None, "next_attempt_at": later(0), "queued_at": later(0)}
        result: Any = self.session.connection().execute(requeued.values(**values))
        return bool(result.rowcount)

    def get_delivery(self, webhook_id: int, delivery_id: int) -> Any:
        """Return a delivery of a webhook with its event, or None; see LISTED."""
        query = LISTED.where(Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)
        return self.session.execute(query, execution_options={"populate_existing": True}).first()

    def list_deliveries(
        self, webhook_id: int, states: Collection[str], page_request: PageRequest, size: int
    ) -> Page[Any]:
        """Return the deliveries of a webhook, newest first, in these states or in all if none are given; see LISTED."""
        query = LISTED.where(Delivery.webhook_id == webhook_id)
        if states:
            query = query.where(Delivery.state.in_(states))
        return list_page(self.session, query, [SortKey(Delivery.id, descending=True)], page_request, size)

    def count_undelivered(self) -> Mapping[tuple[int, str], int]:
        """Count undelivered deliveries by webhook id and state; combinations without any are omitted."""
        counts = select(deliveries.c.webhook_id, deliveries.c.state, func.count())
        counts = counts.where(IS_UNDELIVERED)
        counts = counts.group_by(deliveries.c.webhook_id, deliveries.c.state)
        return {(row[0], row[1]): row[2] for row in self.session.connection().execute(counts)}

    def last_errors(self) -> Mapping[int, str]:
        """Return the error of the newest undelivered delivery that has one, by webhook id."""
        newest = select(func.max(deliveries.c.id)).where(IS_UNDELIVERED, deliveries.c.last_error.is_not(None))
        newest = newest.group_by(deliveries.c.webhook_id)
        query = select(deliveries.c.webhook_id, deliveries.c.last_error).where(deliveries.c.id.in_(newest))
        return {row[0]: row[1] for row in self.session.connection().execute(query)}
