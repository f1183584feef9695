"""SQL for imports."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Row,
    Select,
    String,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, aliased

from bookshop.cart.models import CartItem
from bookshop.catalog.models import Book
from bookshop.imports.models import ACTIVE, ColumnMapping, ImportJob, ImportNote, OnixRecord
from bookshop.inventory.models import IMPORT, SALE, Movement
from bookshop.kit.database import Page, dialect_of, insert_into, later, now, paginate, rows_from_json, table_of
from bookshop.orders.models import COLLECTED, Order, OrderLine
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_WAITING

WAITING_TITLES_MAX = 1000  # that one report lists
jobs, notes, mappings, records = (table_of(model) for model in (ImportJob, ImportNote, ColumnMapping, OnixRecord))


class Claim(NamedTuple):
    """A worker that holds an import, and for how many seconds from its last step on."""

    job_id: int
    worker: str
    seconds: float


class ImportRepository:
    """Finds and changes imports; never commits. States only change by conditional updates."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = dialect_of(session)

    def get(self, job_id: int) -> ImportJob | None:
        """Return an import with fresh values."""
        return self.session.get(ImportJob, job_id, populate_existing=True)

    def list_jobs(self, page: int, size: int) -> Page[ImportJob]:
        """Return one page of the imports, latest first."""
        return paginate(self.session, select(ImportJob).order_by(ImportJob.id.desc()), page, size)

    def insert(self, values: Mapping[str, Any]) -> int:
        """Add an import and return its id."""
        job = ImportJob(**values)
        self.session.add(job)
        self.session.flush()
        return job.id

    def change(self, job_id: int, states: Collection[str], values: Mapping[str, Any]) -> bool:
        """Change an import that is in one of these states, and take it from its worker; False if it is in another."""
        return self._update(
            and_(jobs.c.id == job_id, jobs.c.state.in_(states)), {**values, "worker": None, "claimed_until": None}
        )

    # -- workers

    def is_due(self) -> bool:
        """Whether an import has work to do that no worker holds."""
        return self.session.connection().scalar(_free()) is not None

    def claim(self, worker: str, seconds: float, job_id: int | None = None) -> Claim | None:
        """Claim an import with work to do that no other worker holds, the oldest or this one."""
        free = _free() if job_id is None else _free().where(jobs.c.id == job_id)
        found = self.session.connection().scalar(free.with_for_update(skip_locked=True))
        if found is None:
            return None
        self._update(jobs.c.id == found, {"worker": worker, "claimed_until": later(seconds)})
        return Claim(found, worker, seconds)

    def hold(self, claim: Claim, state: str, position: int | None = None) -> bool:
        """Lock an import until the transaction ends and renew its claim.

        Returns False if it is in another state, has another position, or another worker holds it.
        """
        is_held = and_(jobs.c.id == claim.job_id, jobs.c.worker == claim.worker, jobs.c.state == state)
        if position is not None:
            is_held = and_(is_held, jobs.c.position == position)
        return self._update(is_held, {"claimed_until": later(claim.seconds)})

    def release(self, worker: str) -> None:
        """Let other workers claim what this one holds."""
        self._update(jobs.c.worker == worker, {"worker": None, "claimed_until": None})

    def add_counts(self, job_id: int, counts: Mapping[str, int], **values: Any) -> None:
        """Add to the counts of an import, and set other values."""
        added = {name: jobs.c[name] + number for name, number in counts.items() if number}
        self._update(jobs.c.id == job_id, {**added, **values})

    def set_values(self, job_id: int, values: Mapping[str, Any]) -> None:
        """Set columns of an import that the caller holds."""
        self._update(jobs.c.id == job_id, values)

    def _update(self, condition: ColumnElement[bool], values: Mapping[str, Any]) -> bool:
        if not values:
            return True
        result: Any = self.session.connection().execute(update(jobs).where(condition).values(**values))
        return bool(result.rowcount)

    # -- notes and what is remembered

    def add_notes(self, job_id: int, found: Sequence[tuple[int | None, str, str]]) -> None:
        """Add notes: the line, the kind and the sentence of each."""
        rows = [{"line": line, "kind": kind, "sentence": text} for line, kind, text in found]
        if rows:
            self.session.connection().execute(_insert_notes(self.dialect), {"job_id": job_id, "rows": rows})

    def delete_notes(self, job_id: int) -> None:
        """Delete all notes of an import."""
        self.session.connection().execute(delete(notes).where(notes.c.job_id == job_id))

    def list_notes(self, job_id: int, kinds: Collection[str], after: int, size: int) -> Sequence[Row[Any]]:
        """Return up to `size` notes of these kinds whose ids are higher than `after`, in the order of their lines."""
        query = select(notes).where(notes.c.job_id == job_id, notes.c.kind.in_(kinds), notes.c.id > after)
        return self.session.connection().execute(query.order_by(notes.c.id).limit(size)).all()

    def count_notes(self, job_id: int) -> Mapping[str, int]:
        """Count the notes of an import by kind."""
        counts = select(notes.c.kind, func.count()).where(notes.c.job_id == job_id).group_by(notes.c.kind)
        return {row[0]: row[1] for row in self.session.connection().execute(counts)}

    def mapping(self, header_hash: str) -> list[str] | None:
        """Return the columns that staff have chosen for a header."""
        return self.session.connection().scalar(select(mappings.c.mapping).where(mappings.c.header_hash == header_hash))

    def remember_mapping(self, header_hash: str, mapping: Sequence[str]) -> None:
        """Remember the columns that staff have chosen for a header."""
        values = {"mapping": list(mapping), "updated_at": now()}
        upsert = insert_into(self.dialect, mappings).values(header_hash=header_hash, **values)
        self.session.connection().execute(upsert.on_conflict_do_update(index_elements=["header_hash"], set_=values))

    def keep_records(self, found: Mapping[int, bytes]) -> None:
        """Store compressed ONIX records by book id, in place of earlier ones."""
        upsert = insert_into(self.dialect, records)
        new = {"record": upsert.excluded.record, "received_at": upsert.excluded.received_at}
        upsert = upsert.on_conflict_do_update(index_elements=["book_id"], set_=new)
        rows = [{"book_id": book_id, "record": record, "received_at": now()} for book_id, record in found.items()]
        self.session.connection().execute(upsert, rows)

    # -- reports and undo

    def list_waiting_beside_stock(self) -> Sequence[Row[Any]]:
        """Return the books that customers wait for while another edition is in stock: book, other edition, waiting."""
        other = aliased(Book)
        waiting = select(PreBook.book_id, func.count().label("waiting")).where(IS_WAITING).group_by(PreBook.book_id)
        counted = waiting.subquery()
        query = (
            select(
                Book.id, Book.title, Book.isbn, other.isbn.label("other_isbn"), other.stock_quantity, counted.c.waiting
            )
            .join(counted, counted.c.book_id == Book.id)
            .join(other, (other.work_key == Book.work_key) & (other.id != Book.id))
            .where(other.stock_quantity > 0, other.withdrawn_at.is_(None))
        )
        return self.session.connection().execute(query.order_by(Book.id, other.id).limit(WAITING_TITLES_MAX)).all()

    def list_added(self, job_id: int, after: int, size: int) -> Sequence[int]:
        """Return the ids of the next books that an import added and nobody has removed, after this id."""
        added = self._added(job_id).where(Book.id > after)
        return self.session.scalars(added.order_by(Book.id).limit(size)).all()

    def count_sold(self, job_id: int) -> int:
        """Count the books added by an import of which a copy has been sold at the desk or collected."""
        added = self._added(job_id)
        at_desk = exists().where(Movement.book_id == Book.id, Movement.reason == SALE, Movement.order_id.is_(None))
        collected = exists().where(
            OrderLine.book_id == Book.id, OrderLine.order_id == Order.id, Order.status == COLLECTED
        )
        sold = added.where(or_(at_desk, collected)).subquery()
        return self.session.scalar(select(func.count()).select_from(sold)) or 0

    def in_use(self, book_ids: Collection[int]) -> Mapping[int, str]:
        """Return by what books are in use: book id -> `movements`, `cart`, `prebookings` or `orders`."""
        uses = {
            "movements": select(Movement.book_id).where(Movement.reason != IMPORT),
            "cart": select(CartItem.book_id),
            "prebookings": select(PreBook.book_id),
            "orders": select(OrderLine.book_id),
        }
        used: dict[int, str] = {}
        for use, query in uses.items():
            column = query.selected_columns[0]
            used |= dict.fromkeys(self.session.scalars(query.where(column.in_(book_ids)).distinct()), use)
        return used

    def _added(self, job_id: int) -> Select[int]:
        return select(Book.id).where(Book.import_id == job_id, Book.removed_at.is_(None))


@cache
def _insert_notes(dialect: str) -> Executable:
    """Build the insert of notes, one statement for a whole batch. Ids are given in the order of the rows."""
    rows = rows_from_json(dialect, "rows", line=Integer, kind=String, sentence=String)
    values = {"job_id": bindparam("job_id", type_=Integer), **{column.name: column for column in rows.c}}
    return insert(notes).from_select(list(values), select(*values.values()), include_defaults=False)


def _free() -> Select[int]:
    """Select the oldest import with work to do that no worker holds."""
    is_free = or_(jobs.c.claimed_until.is_(None), jobs.c.claimed_until < later(0))
    return select(jobs.c.id).where(jobs.c.state.in_(ACTIVE), is_free).order_by(jobs.c.id).limit(1)
