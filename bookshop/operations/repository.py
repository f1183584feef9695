"""SQL for health checks and metrics. Each count reads a partial index that holds little more than what is counted."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Select, delete, func, inspect, or_, select, text
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.kit.database import dialect_of, insert_into, later, table_of
from bookshop.mail.models import FAILED, IS_UNSENT, QUEUED, SENDING, Message
from bookshop.operations.models import WorkerBeat
from bookshop.prebookings.models import WHERE_WAITING, PreBook
from bookshop.webhooks.models import IS_UNDELIVERED, Delivery

beats = table_of(WorkerBeat)
QUEUES = (QUEUED, SENDING, FAILED)  # the states of messages and deliveries that are counted


class Beat(NamedTuple):
    """A heartbeat: which loop of which worker, and how many seconds ago."""

    worker: str
    loop: str
    age: float


class OperationsRepository:
    """Reads what operators watch and records heartbeats; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    # ---------------------------------------------------------------- the schema and the workers

    def schema_revisions(self) -> set[str]:
        """Return the revision of the schema; empty if there are no tables."""
        if not inspect(self.session.connection()).has_table("alembic_version"):
            return set()
        return set(self.session.scalars(text("SELECT version_num FROM alembic_version")))

    def record_beat(self, worker: str, loop: str) -> None:
        """Record that a loop of a worker is alive now, by the clock of the database."""
        insert = insert_into(dialect_of(self.session), beats).values(worker=worker, loop=loop, seen_at=later(0))
        recorded = insert.on_conflict_do_update(index_elements=["worker", "loop"], set_={"seen_at": later(0)})
        self.session.connection().execute(recorded)

    def delete_beats(self, seconds: float) -> None:
        """Delete the heartbeats that are older than this."""
        self.session.connection().execute(delete(beats).where(beats.c.seen_at < later(-seconds)))

    def forget_worker(self, worker: str) -> None:
        """Delete the heartbeats of a worker."""
        self.session.connection().execute(delete(beats).where(beats.c.worker == worker))

    def list_beats(self) -> Sequence[Beat]:
        """Return the last heartbeat of each loop of each worker that is not forgotten."""
        rows = self.session.execute(select(beats, later(0).label("now")))
        return [Beat(row.worker, row.loop, (row.now - row.seen_at).total_seconds()) for row in rows]

    # ---------------------------------------------------------------- figures

    def count_messages(self) -> Mapping[str, int]:
        """Count the messages that are queued, being sent, or failed (ix_messages_state_id)."""
        counted = select(Message.state, func.count()).where(Message.state.in_(QUEUES)).group_by(Message.state)
        return self._by_state(counted)

    def count_deliveries(self) -> Mapping[str, int]:
        """Count the webhook deliveries that are queued, being sent, or failed (ix_webhook_deliveries_undelivered)."""
        counted = select(Delivery.state, func.count()).where(IS_UNDELIVERED).group_by(Delivery.state)
        return self._by_state(counted)

    def _by_state(self, counted: Select[*tuple[str, int]]) -> Mapping[str, int]:
        return {**dict.fromkeys(QUEUES, 0), **{row[0]: row[1] for row in self.session.execute(counted)}}

    def oldest_unsent(self) -> float:
        """Return how many seconds ago the oldest unsent message was queued; 0 if there is none (ix_messages_due)."""
        oldest = select(func.min(Message.created_at), later(0)).where(IS_UNSENT)
        queued_at, now = self.session.execute(oldest).one()
        return (now - queued_at).total_seconds() if queued_at else 0.0

    def count_restocks(self) -> int:
        """Count all restocks so far (ix_movements_restocks)."""
        return self.session.scalar(select(func.count()).select_from(Movement).where(IS_RESTOCK)) or 0

    def count_waiting(self) -> int:
        """Count the waiting pre-bookings (ix_prebookings_waiting_book_id)."""
        return self.session.scalar(select(func.count()).select_from(PreBook).where(WHERE_WAITING)) or 0

    def count_stranded(self) -> int:
        """Count the pre-bookings that break invariant 1: they wait although nothing will ever notify them.

        It looks up the book and the user of each waiting one (ix_prebookings_waiting_book_id and two primary keys).
        """
        stranded = or_(Book.stock_quantity > 0, Book.withdrawn_at.is_not(None), User.deactivated_at.is_not(None))
        counted = select(func.count()).select_from(PreBook).join(Book, Book.id == PreBook.book_id)
        counted = counted.join(User, User.id == PreBook.user_id).where(WHERE_WAITING, stranded)
        return self.session.scalar(counted) or 0
