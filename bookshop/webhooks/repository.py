"""SQL about webhooks. What is due and when a lease ends is told by the database's clock alone.

Locks are taken in one order: the webhook, then its deliveries.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.events.models import Event
from bookshop.events.repository import LAST_POSITION, events
from bookshop.feed.repository import READ
from bookshop.kit.database import Page, is_sqlite, later, table_of
from bookshop.kit.pagination import PageRequest, SortKey, list_page
from bookshop.webhooks.models import FAILED, IS_SENDING, IS_UNDELIVERED, IS_UNSENT, QUEUED, SENDING, Delivery, Webhook

REGISTRATION = 20_121  # any number that names the advisory lock of who registers a webhook
UNSENT = (QUEUED, SENDING)

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


def _is_due() -> ColumnElement[bool]:
    return and_(IS_UNSENT, deliveries.c.next_attempt_at <= later(0))


def _is_awake() -> ColumnElement[bool]:
    return or_(webhooks.c.rests_until.is_(None), webhooks.c.rests_until <= later(0))


# All that is to be known of a delivery when it leaves.
TO_SEND = (
    READ.add_columns(deliveries.c.webhook_id, deliveries.c.attempts, webhooks.c.url, webhooks.c.secret)
    .join(deliveries, deliveries.c.event_id == events.c.id)
    .join(webhooks, webhooks.c.id == deliveries.c.webhook_id)
    .where(deliveries.c.id == bindparam("id"), deliveries.c.lease == bindparam("lease"))
    .where(deliveries.c.next_attempt_at > later(0))  # not who was frozen, and wakes up after the lease
)
LISTED = select(Delivery, Event.kind, Event.position, Event.created_at).join(Event, Event.id == Delivery.event_id)


class WebhookRepository:
    """Keeps webhooks; writes, claims and settles their deliveries; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    # -- webhooks

    def lock_registration(self) -> None:
        """Let who else registers a webhook wait until the transaction ends; SQLite's writers wait anyway."""
        if not is_sqlite(self.session):
            self.session.execute(select(func.pg_advisory_xact_lock(REGISTRATION)))

    def add(self, webhook: Webhook) -> None:
        """Keep a new webhook, which is told of what has its place in the feed later."""
        webhook.position = self.session.connection().scalar(select(LAST_POSITION)) or 0
        self.session.add(webhook)
        self.session.flush()

    def count(self) -> int:
        """How many webhooks there are."""
        return self.session.connection().scalar(select(func.count()).select_from(webhooks)) or 0

    def list_all(self) -> Sequence[Row[Webhook, str]]:
        """All webhooks as the database has them now, oldest first, each with the address of who registered it."""
        found = select(Webhook, User.email).join(User, User.id == Webhook.user_id).order_by(Webhook.id)
        return self.session.execute(found, execution_options={"populate_existing": True}).all()

    def get(self, webhook_id: int) -> Webhook | None:
        """The webhook as the database has it now."""
        found = select(Webhook).where(Webhook.id == webhook_id)
        return self.session.scalar(found.execution_options(populate_existing=True))

    def delete(self, webhook_id: int) -> bool:
        """Forget a webhook and its deliveries; returns whether there was such."""
        locked = select(webhooks.c.id).where(webhooks.c.id == webhook_id).with_for_update()
        if self.session.connection().scalar(locked) is None:
            return False
        self.session.connection().execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
        self.session.connection().execute(delete(webhooks).where(webhooks.c.id == webhook_id))
        return True

    # -- from the feed into the outbox

    def list_behind(self) -> Sequence[Row[int, str]]:
        """The webhooks for which the feed goes on: their ids, and the names of the kinds that they want."""
        behind = select(webhooks.c.id, webhooks.c.kinds).where(webhooks.c.position < LAST_POSITION)
        return self.session.connection().execute(behind.order_by(webhooks.c.id)).all()

    def fan_out(self, webhook_id: int, kinds: Collection[str], number: int) -> None:
        """Write deliveries of the next so many events of the feed, as far as they are of these kinds."""
        position = select(webhooks.c.position).where(webhooks.c.id == webhook_id)
        after = self.session.connection().scalar(position.with_for_update(key_share=True))
        if after is None:
            return
        last = self.session.connection().scalar(select(LAST_POSITION)) or 0
        until = max(after, min(after + number, last))
        wanted = [events.c.position > after, events.c.position <= until, events.c.kind.in_(kinds)]
        values = {
            "webhook_id": literal(webhook_id),
            "event_id": events.c.id,
            "state": literal(QUEUED),
            "attempts": literal(0),
            "next_attempt_at": later(0),
            "queued_at": later(0),
        }
        queued = select(*values.values()).where(*wanted).order_by(events.c.position)
        queue = insert(deliveries).from_select(list(values), queued, include_defaults=False)
        self.session.connection().execute(queue)
        self._change(webhook_id, position=until)

    def _change(self, webhook_id: int, *which: ColumnElement[bool], **values: Any) -> None:
        changed = update(webhooks).where(webhooks.c.id == webhook_id, *which)
        self.session.connection().execute(changed.values(**values))

    # -- sending

    def list_due(self) -> Sequence[int]:
        """The ids of the webhooks that do not rest and have a delivery that is due."""
        is_due = select(deliveries.c.id).where(deliveries.c.webhook_id == webhooks.c.id, _is_due()).exists()
        due = select(webhooks.c.id).where(_is_awake(), is_due).order_by(webhooks.c.id)
        return self.session.connection().scalars(due).all()

    def claim(self, webhook_id: int, number: int, lease: str, seconds: float) -> Sequence[int]:
        """Take at most so many due deliveries of a webhook, in the order of the feed, under the name `lease`.

        Returns their ids; none if another worker has some of them in hand: so a webhook is told in order, and one that
        hangs holds one worker only. What has a lease that ended is taken from its worker, which is dead or too slow.
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
        # Looked at once more: a worker that wakes up after its lease may settle one at this moment.
        taken = update(deliveries).where(deliveries.c.id.in_(due_ids), _is_due())
        taken = taken.values(state=SENDING, lease=lease, next_attempt_at=later(seconds))
        return sorted(connection.scalars(taken.returning(deliveries.c.id)))

    def get_to_send(self, delivery_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """All that is to be known of a delivery when it leaves; None if the lease was lost."""
        return self.session.connection().execute(TO_SEND, {"id": delivery_id, "lease": lease}).first()

    def settle(self, lease: str, delivery_id: int | None = None, **values: Any) -> int:
        """Write what became of a delivery under this lease, or of all that are left, and end it; returns how many.

        It is none if the lease was lost.
        """
        settled = update(deliveries).where(deliveries.c.lease == lease, deliveries.c.state == SENDING)
        if delivery_id is not None:
            settled = settled.where(deliveries.c.id == delivery_id)
        result: Any = self.session.connection().execute(settled.values(lease=None, **values))
        return int(result.rowcount)

    def rest(self, webhook_id: int, seconds: float) -> None:
        """Leave a webhook alone for a while."""
        self._change(webhook_id, misses=webhooks.c.misses + 1, rests_until=later(seconds))

    def wake(self, webhook_id: int) -> None:
        """End the rest of a webhook, and forget that its receiver could not be reached."""
        self._change(webhook_id, webhooks.c.misses > 0, misses=0, rests_until=None)

    def misses(self, webhook_id: int) -> int:
        """How often in a row the receiver of a webhook could not be reached."""
        return self.session.connection().scalar(select(webhooks.c.misses).where(webhooks.c.id == webhook_id)) or 0

    def fail_older(self, webhook_id: int, lease: str, seconds: float, error: str) -> None:
        """Give up what is queued for a webhook, or held under this lease, since so many seconds or longer."""
        own = deliveries.c.webhook_id == webhook_id, IS_UNDELIVERED
        old = update(deliveries).where(*own, or_(deliveries.c.state == QUEUED, deliveries.c.lease == lease))
        old = old.where(deliveries.c.queued_at < later(-seconds))
        self.session.connection().execute(old.values(state=FAILED, lease=None, last_error=error))

    # -- what staff see and do

    def requeue(self, webhook_id: int, delivery_id: int) -> bool:
        """Let a delivery be tried as if it had never been, unless it is just being sent; returns whether it is so."""
        again = update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.webhook_id == webhook_id)
        values: dict[str, Any] = {"state": QUEUED, "attempts": 0, "delivered_at": None, "last_error": None}
        again = again.where(deliveries.c.state != SENDING)
        values |= {"last_status": None, "next_attempt_at": later(0), "queued_at": later(0)}
        result: Any = self.session.connection().execute(again.values(**values))
        return bool(result.rowcount)

    def get_delivery(self, webhook_id: int, delivery_id: int) -> Any:
        """A delivery of a webhook with its event; see LISTED."""
        found = LISTED.where(Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)
        return self.session.execute(found, execution_options={"populate_existing": True}).first()

    def list_deliveries(
        self, webhook_id: int, states: Collection[str], page_request: PageRequest, size: int
    ) -> Page[Any]:
        """The deliveries of a webhook that are in one of these states, or all, newest first; see LISTED."""
        found = LISTED.where(Delivery.webhook_id == webhook_id)
        if states:
            found = found.where(Delivery.state.in_(states))
        return list_page(self.session, found, [SortKey(Delivery.id, descending=True)], page_request, size)

    def count_undelivered(self) -> Mapping[tuple[int, str], int]:
        """How many deliveries of each webhook are in each state but the last: (id, state) -> count, 0 left out."""
        counts = select(deliveries.c.webhook_id, deliveries.c.state, func.count())
        counts = counts.where(IS_UNDELIVERED)
        counts = counts.group_by(deliveries.c.webhook_id, deliveries.c.state)
        return {(row[0], row[1]): row[2] for row in self.session.connection().execute(counts)}

    def last_errors(self) -> Mapping[int, str]:
        """What went wrong with the newest delivery of each webhook with which anything did: webhook id -> words."""
        wrong = select(func.max(deliveries.c.id)).where(IS_UNDELIVERED, deliveries.c.last_error.is_not(None))
        wrong = wrong.group_by(deliveries.c.webhook_id)
        found = select(deliveries.c.webhook_id, deliveries.c.last_error).where(deliveries.c.id.in_(wrong))
        return {row[0]: row[1] for row in self.session.connection().execute(found)}
