"""SQL about carts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, select
from sqlalchemy.orm import Session

from bookshop.cart.models import CartItem
from bookshop.catalog.models import Book
from bookshop.kit.database import dialect_of, insert_into, now, table_of

# Every page of a customer counts the cart, and every checkout empties it. Made once, of the table: 129 µs to count
# instead of 244, 144 to list 5 books instead of 254 (bench/statements.py).
items = table_of(CartItem)
IS_THEIRS = items.c.user_id == bindparam("user")
COUNT = select(func.coalesce(func.sum(items.c.quantity), 0)).where(IS_THEIRS)
QUANTITY = select(items.c.quantity).where(IS_THEIRS, items.c.book_id == bindparam("book"))
ENTRY = (items.c.book_id, items.c.quantity, items.c.price_cents, items.c.currency, items.c.stock_quantity)
LIST = select(*ENTRY).where(IS_THEIRS).order_by(items.c.created_at, items.c.book_id)
CLEAR = delete(items).where(IS_THEIRS)
TAKE_ALL = CLEAR.returning(*ENTRY, items.c.created_at)


class CartEntry(NamedTuple):
    """A book in a cart: how many copies, and its price and stock when they were put there or last changed."""

    book_id: int
    quantity: int
    price_cents: int
    currency: str
    stock_quantity: int


class CartRepository:
    """Finds and writes what is in customers' carts; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def list_entries(self, user_id: int) -> Sequence[CartEntry]:
        """What is in the customer's cart, in the order in which it came in."""
        return [CartEntry(*row) for row in self.session.connection().execute(LIST, {"user": user_id})]

    def quantity(self, user_id: int, book_id: int) -> int:
        """How many copies of a book are in the customer's cart."""
        return self.session.connection().scalar(QUANTITY, {"user": user_id, "book": book_id}) or 0

    def list_titled(self, user_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
        """What is in the customer's cart, as it is kept, each with the title of its book."""
        own = select(*items.c, Book.title.label("book_title")).join(Book, Book.id == items.c.book_id)
        return self.session.execute(own.where(items.c.user_id == user_id).order_by(items.c.created_at)).all()

    def count_copies(self, user_id: int) -> int:
        """How many copies are in the customer's cart."""
        return int(self.session.connection().scalar(COUNT, {"user": user_id}) or 0)

    def put(self, user_id: int, entry: CartEntry) -> None:
        """Write an entry, new or in place of the one of the same book."""
        insert = insert_into(dialect_of(self.session), items)
        key, values = {"user_id": user_id, "book_id": entry.book_id}, entry._asdict()
        del values["book_id"]
        written = insert.values(**key, **values, created_at=now())
        self.session.execute(written.on_conflict_do_update(index_elements=list(key), set_=values))

    def remove(self, user_id: int, book_id: int) -> bool:
        """Take a book out of the customer's cart; False if it was not in it."""
        removed = delete(items).where(items.c.user_id == user_id, items.c.book_id == book_id)
        return self.session.execute(removed.returning(items.c.book_id)).first() is not None

    def take_all(self, user_id: int) -> Sequence[CartEntry]:
        """Empty the customer's cart; returns what was in it, in the order in which it came in."""
        taken = self.session.connection().execute(TAKE_ALL, {"user": user_id}).all()
        return [CartEntry(*row[:-1]) for row in sorted(taken, key=lambda row: (row.created_at, row.book_id))]

    def clear(self, user_id: int) -> None:
        """Empty the customer's cart."""
        self.session.connection().execute(CLEAR, {"user": user_id})
