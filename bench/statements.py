"""The time saved by building a statement once, from tables, and executing it on the connection.

Each statement is measured twice, in a new session as in a request: as the repository executes it, and built each time
from the models. Both read or write the same rows. The figures in the repositories' comments come from here.
"""

import time
from collections.abc import Callable
from itertools import count
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, or_, select
from sqlalchemy.orm import Session

from bench.shop import analyze, fill, make_app
from bookshop.accounts.authentication import Authentication, token_hash
from bookshop.accounts.models import ApiToken, User
from bookshop.audit.models import AuditEntry
from bookshop.audit.repository import AuditRepository
from bookshop.cart.models import CartItem
from bookshop.cart.repository import CartEntry, CartRepository
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookRepository
from bookshop.events.kinds import PREBOOKING_CREATED
from bookshop.events.models import Event
from bookshop.events.repository import EventRepository
from bookshop.extensions import db
from bookshop.inventory import repository as inventory
from bookshop.inventory.models import RECEIVED, Movement
from bookshop.kit.database import now
from bookshop.mail.models import INVITATION, QUEUED, Message
from bookshop.mail.repository import MessageRepository
from bookshop.orders import repository as orders
from bookshop.orders.models import COLLECT, ON_COLLECTION, PLACED, READY, Order
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings import repository as prebookings
from bookshop.prebookings.models import WAITING, PreBook
from bookshop.prebookings.repository import PreBookRepository

TIMES, ROUNDS = 200, 7
BOOKS = 2 * TIMES * ROUNDS + 1
ADA, EMMA, RESERVATION = 1, 1, 1
CHANGES = [{"book_id": book_id, "delta": 1, "quantity_after": 1, "reason": RECEIVED} for book_id in (1, 2, 3)]
ORDER = {
    "user_id": ADA,
    "status": PLACED,
    "payment": ON_COLLECTION,
    "delivery": COLLECT,
    "name": "Ada",
    "name_key": "ada",
}
ORDER |= {"phone": None, "note": None, "address": None}
AUDIT = {"user_id": ADA, "action": "book.stock_changed", "request_id": "0" * 16}
STOCK = {"subject_id": EMMA, "before": {"stock": 0}, "after": {"stock": 5, "reason": RECEIVED, "movement": 1}}
numbers = count(2)
Execute = Callable[[Session], Any]


class Pair(NamedTuple):
    """A statement as the repository executes it, and the same built each time from the models."""

    name: str
    prebuilt: Execute
    from_models: Execute


def run(url: str) -> None:
    """Print the microseconds of each statement, prebuilt and built from the models."""
    with make_app(url).app_context():
        fill(users=10, books=BOOKS)
        analyze()
        print(f"statements: microseconds, the median of {ROUNDS} rounds of {TIMES}: prebuilt, built from the models")
        with db.engine.connect() as connection:
            connection.begin()  # rolled back at the end
            prepare(connection)
            for pair in PAIRS:
                prebuilt, models = measure(connection, pair)
                print(f"  {pair.name}: {prebuilt:.0f}, {models:.0f}")
            connection.rollback()


def prepare(connection: Connection) -> None:
    with Session(connection) as session:
        reserve(session, 1)
        for book_id in range(1, 6):
            CartRepository(session).put(ADA, CartEntry(book_id, 1, 990, "EUR", 3))


def measure(connection: Connection, pair: Pair) -> tuple[float, float]:
    """Time both in turn, so that other load on the machine affects both; returns microseconds."""
    rounds = [(seconds(connection, pair.prebuilt), seconds(connection, pair.from_models)) for _ in range(ROUNDS)]
    prebuilt, models = zip(*rounds, strict=True)
    return median(prebuilt) / TIMES * 1e6, median(models) / TIMES * 1e6


def seconds(connection: Connection, execute: Execute) -> float:
    started = time.perf_counter()
    for _time in range(TIMES):
        with Session(connection) as session:
            execute(session)
    return time.perf_counter() - started


# ---------------------------------------------------------------- prebuilt, where the repository's method does more


def reserve(session: Session, book_id: int) -> Any:
    statement = prebookings._reserve(db.engine.dialect.name)
    return session.connection().execute(statement, {"user": ADA, "book": book_id, "time": now()}).first()


def write_ledger(session: Session) -> Any:
    rows = [{"note": None, "user_id": None, "order_id": None, **change} for change in CHANGES]
    statement = inventory._insert(db.engine.dialect.name)
    return session.connection().execute(statement, {"rows": rows, "time": now()}).all()


def place(session: Session) -> Any:
    statement = orders._insert(db.engine.dialect.name)
    return (
        session.connection().execute(statement, {**ORDER, "number": f"{next(numbers):09}", "created_at": now()}).one()
    )


def write_audit(session: Session) -> None:
    AuditRepository(session).insert({**AUDIT, "created_at": now()}, [STOCK])


def message() -> dict[str, Any]:
    number = next(numbers)
    keys = {"dedupe_key": f"bench:{number}", "message_id": f"<{number}@example.com>", "recipient": "c1@example.com"}
    return {"kind": INVITATION, "bulk": False, "user_id": ADA, "order_id": None, **keys}


# ---------------------------------------------------------------- built from the models


def by_token(session: Session) -> Any:
    query = select(User.id, User.email, User.role, ApiToken.id, ApiToken.last_used_at, ApiToken.scopes)
    query = query.join(ApiToken, ApiToken.user_id == User.id).where(ApiToken.token_hash == token_hash("token1"))
    query = query.where(User.deactivated_at.is_(None), ApiToken.revoked_at.is_(None))
    return session.execute(query.where(or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now()))).first()


def lock_active(session: Session) -> Any:
    query = select(User.id, User.email, User.role).where(User.id == ADA, User.deactivated_at.is_(None))
    return session.execute(query.with_for_update(key_share=True)).first()


def rebuild_reserve(session: Session) -> Any:
    """Build the same statement again: the models offer no other way to write it."""
    statement: Any = prebookings._reserve.__wrapped__(db.engine.dialect.name)
    return session.execute(statement, {"user": ADA, "book": next(numbers), "time": now()}).first()


def count_waiting(session: Session) -> Any:
    return session.scalar(select(func.count()).where(PreBook.user_id == ADA, PreBook.status == WAITING))


def count_ready(session: Session) -> Any:
    return session.scalar(select(func.count()).where(Order.user_id == ADA, Order.status == READY))


def lock_books(session: Session) -> Any:
    query = select(Book).where(Book.id.in_([1, 2, 3])).order_by(Book.id).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def list_cart(session: Session) -> Any:
    return session.scalars(select(CartItem).where(CartItem.user_id == ADA).order_by(CartItem.created_at)).all()


def count_copies(session: Session) -> Any:
    return session.scalar(select(func.coalesce(func.sum(CartItem.quantity), 0)).where(CartItem.user_id == ADA))


def write_event(session: Session) -> None:
    session.add(Event(kind=PREBOOKING_CREATED, prebooking_id=RESERVATION))
    session.flush()


def place_from_model(session: Session) -> None:
    session.add(Order(**ORDER, number=f"{next(numbers):09}", created_at=now()))
    session.flush()


def write_movements(session: Session) -> Any:
    return session.scalars(insert(Movement).returning(Movement.id), CHANGES).all()


def add_audit_entry(session: Session) -> None:
    session.add(AuditEntry(**AUDIT, **STOCK))
    session.flush()


def queue_message(session: Session) -> None:
    session.add(Message(**message(), state=QUEUED, next_attempt_at=now()))
    session.flush()


PAIRS = (
    Pair("find the user of a token", lambda s: Authentication(s).by_token("token1"), by_token),
    Pair("lock the user", lambda s: Authentication(s).lock_active(ADA), lock_active),
    Pair("count a customer's waiting pre-bookings", lambda s: PreBookRepository(s).count_waiting(ADA), count_waiting),
    Pair("reserve", lambda s: reserve(s, next(numbers)), rebuild_reserve),
    Pair("write an event", lambda s: EventRepository(s).insert((PREBOOKING_CREATED, [RESERVATION])), write_event),
    Pair("read a book", lambda s: BookRepository(s).read(EMMA), lambda s: s.get(Book, EMMA)),
    Pair("lock 3 books", lambda s: BookRepository(s).lock([1, 2, 3]), lock_books),
    Pair("write 3 lines of the ledger", write_ledger, write_movements),
    Pair("list a cart of 5 books", lambda s: CartRepository(s).list_entries(ADA), list_cart),
    Pair("count the copies in a cart", lambda s: CartRepository(s).count_copies(ADA), count_copies),
    Pair("place an order", place, place_from_model),
    Pair("count a customer's ready orders", lambda s: OrderRepository(s).count_ready(ADA), count_ready),
    Pair("write a line of the audit log", write_audit, add_audit_entry),
    Pair("queue a message", lambda s: MessageRepository(s).insert([message()]), queue_message),
)
