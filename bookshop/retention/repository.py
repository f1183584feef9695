"""SQL that finds what is too old and removes it.

Finding takes no locks. Removing checks each row again, so that what has changed in between is kept.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.events.repository import LAST_POSITION, events
from bookshop.kit.database import dialect_of, insert_into, later, table_of
from bookshop.mail.repository import messages
from bookshop.retention.models import PurgeState
from bookshop.shop.models import ShopDetails
from bookshop.webhooks.repository import deliveries, webhooks

DAY = 24 * 3600
ONLY_ROW = 1

state = table_of(PurgeState)
users = table_of(User)

Key = Sequence[Any]  # the primary key of a row


@dataclass(frozen=True)
class OldRows:
    """The rows of a table that meet a condition. They are deleted or, with `blank`, keep their row with these values.

    `name` is what the command calls them.
    """

    name: str
    model: Any
    condition: ColumnElement[bool]
    blank: Mapping[str, Any] | None = None

    def find(self, session: Session, after: Key | None, number: int) -> Sequence[Key]:
        """Return the keys of the next rows, in the order of their keys."""
        key = list(table_of(self.model).primary_key)
        query = select(*key).where(self.condition).order_by(*key).limit(number)
        if after is not None:
            query = query.where(tuple_(*key) > tuple_(*after) if len(key) > 1 else key[0] > after[0])
        return session.connection().execute(query).all()

    def remove(self, session: Session, keys: Collection[Key]) -> int:
        """Delete or blank those of these rows that still meet the condition; skips rows that others have locked."""
        table = table_of(self.model)
        columns = list(table.primary_key)
        key: Any = tuple_(*columns) if len(columns) > 1 else columns[0]
        values = [tuple(row) if len(columns) > 1 else row[0] for row in keys]
        old = select(*columns).where(key.in_(values), self.condition).with_for_update(skip_locked=True)
        change: Any = delete(table) if self.blank is None else update(table).values(**self.blank)
        result: Any = session.connection().execute(change.where(key.in_(old)))
        return int(result.rowcount)


@dataclass(frozen=True)
class OldEvents:
    """The oldest events, up to the first that must be kept, so that the positions of the others have no gap.

    Kept are the newest event, after which the next position is counted, events younger than `seconds`, those that have
    not been queued for every webhook, and those with a delivery.
    """

    name: str
    seconds: float

    def find(self, session: Session, _after: Key | None, number: int) -> Sequence[Key]:
        """Return the id, position and movement id of the oldest events that may be purged, oldest first."""
        given_to_all = select(func.min(webhooks.c.position)).scalar_subquery()
        has_delivery = select(deliveries.c.id).where(deliveries.c.event_id == events.c.id).exists()
        may_go = (
            (events.c.created_at < later(-self.seconds))
            & (events.c.position < LAST_POSITION)
            & (events.c.position <= func.coalesce(given_to_all, events.c.position))
            & ~has_delivery
        )
        oldest = select(events.c.id, events.c.position, events.c.movement_id, may_go.label("may_go"))
        oldest = oldest.where(events.c.position.is_not(None)).order_by(events.c.position).limit(number)
        rows = session.connection().execute(oldest).all()
        return list(takewhile(lambda row: row.may_go, rows))

    def remove(self, session: Session, keys: Collection[Key]) -> int:
        """Delete these events, and record how far; locks the state, so that nobody else purges events meanwhile."""
        last = max(row[1] for row in keys)
        movement = max((row[2] for row in keys if row[2] is not None), default=0)
        RetentionRepository(session).record_purged_events(last, movement)
        result: Any = session.connection().execute(delete(events).where(events.c.id.in_([row[0] for row in keys])))
        return int(result.rowcount)


class RetentionRepository:
    """Remembers when the next purge is due and how far events were purged; finds messages to deleted accounts.

    Never commits.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def ensure_state(self, due_at: datetime) -> None:
        """Create the state if there is none yet; the first purge is then due at this time."""
        values = {"id": ONLY_ROW, "due_at": due_at, "events_until": 0, "movements_until": 0}
        insert = insert_into(dialect_of(self.session), state).values(values)
        self.session.connection().execute(insert.on_conflict_do_nothing())

    def database_time(self) -> datetime:
        """Return the time by the clock of the database."""
        time: datetime = self.session.connection().execute(select(later(0))).scalar_one()
        return time

    def is_due(self) -> bool | None:
        """Return whether the next purge is due; None if there is no state yet."""
        return self.session.connection().scalar(select(state.c.due_at <= later(0)))

    def claim(self, seconds: float) -> bool:
        """Put off the next purge for this long if it is due, and return whether it was; only one caller succeeds."""
        claimed = update(state).where(state.c.due_at <= later(0)).values(due_at=later(seconds))
        result: Any = self.session.connection().execute(claimed)
        return bool(result.rowcount)

    def set_due(self, due_at: datetime | ColumnElement[datetime]) -> None:
        """Set when the next purge is due."""
        self.session.connection().execute(update(state).values(due_at=due_at))

    def record_purged_events(self, position: int, movement_id: int) -> None:
        """Record the last event that was purged and the largest movement id among those purged; they only grow."""
        self.ensure_state(self.database_time())
        grown = {
            name: case((state.c[name] < value, value), else_=state.c[name])
            for name, value in (("events_until", position), ("movements_until", movement_id))
        }
        self.session.connection().execute(update(state).values(grown))

    def message_ids(self, user_id: int) -> Sequence[str]:
        """Return the Message-IDs of all messages to a user, which name their files in the mail folder."""
        query = select(messages.c.message_id).where(messages.c.user_id == user_id)
        return self.session.connection().scalars(query).all()

    def list_deleted_users(self, seconds: float) -> Sequence[int]:
        """Return the ids of the accounts that were deleted in the last `seconds`."""
        query = select(users.c.id).where(users.c.deleted_at > later(-seconds))
        return self.session.connection().scalars(query).all()

    def pictures_in_use(self) -> Collection[str]:
        """Return the names of all pictures that are shown: a stored picture that is not among them can be deleted."""
        covers = select(Book.cover).where(Book.cover.is_not(None))
        of_shop = (select(name).where(name != "") for name in (ShopDetails.logo, ShopDetails.photo))
        return set(self.session.connection().scalars(covers.union_all(*of_shop)))
