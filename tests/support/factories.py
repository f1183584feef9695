"""Test data: users, books and reservations, created by the shop's own services."""

from collections.abc import Callable, Collection
from functools import partial
from itertools import count
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import text
from stdnum import ean

from bookshop.accounts.models import BOOKSELLER, CUSTOMER, OWNER
from bookshop.checkout.service import Checkout
from bookshop.checks import broken_invariants
from bookshop.extensions import db
from bookshop.inventory.service import StockChange
from bookshop.returns.service import Declaration
from bookshop.web import services
from tests.support.databases import BY_TEST, columns_of, rows_of

T = TypeVar("T")

# The columns of an import that have no default in the database, and values for them.
IMPORT_COLUMNS = (
    "file_name, state, created_at, header, mapping, preview, lines, added, updated, unchanged, refused, unpriced, "
    "notified, removed, position, size"
)
IMPORT_VALUES = "'f', :state, CURRENT_TIMESTAMP, '[]', '[]', '[]', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0"
PASSWORD = "three random words"
_numbers = count(1)


def isbn(number: int | None = None) -> str:
    """Return a valid ISBN-13, a new one at each call unless a number is given."""
    digits = f"978{next(_numbers) if number is None else number:09d}"
    return digits + ean.calc_check_digit(digits)


class Shop:
    """The shop's services for tests. Each call has its own app context and commits."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def commit(self, work: Callable[[], T]) -> T:
        with self.app.app_context():
            return services.commit(work)

    def customer(self, email: str = "ada@example.com") -> int:
        """Create a customer; return the id."""
        return self.commit(lambda: services.accounts().register(email, PASSWORD, CUSTOMER)).id

    def customers(self, number: int) -> list[int]:
        """Create many customers; return their ids."""
        return [self.customer(f"customer{index}@example.com") for index in range(number)]

    def staff(self, email: str = "staff@example.com") -> int:
        """Create a bookseller; return the id."""
        return self.commit(lambda: services.accounts().register(email, PASSWORD, BOOKSELLER)).id

    def owner(self, email: str = "owner@example.com") -> int:
        """Create an owner; return the id."""
        return self.commit(lambda: services.accounts().register(email, PASSWORD, OWNER)).id

    def describe(self, **details: Any) -> None:
        """Enter some of the shop's details, as an owner does."""
        self.commit(lambda: services.shop().change(details, services.shop().read().version))

    def id_of(self, email: str) -> int:
        """Return the id of the user with this address; needs an app context."""
        return services.accounts().user_by_email(email).id

    def token(self, email: str, scopes: Collection[str] | None = None) -> str:
        """Create a token for the user with these scopes, or with all that the user may have, without a notice."""

        def create() -> str:
            accounts = services.accounts()
            vars(accounts.mail)["queue_notice"] = lambda *_notice: None
            return accounts.create_token(self.id_of(email), "test", scopes)

        return self.commit(create)

    def deactivate(self, email: str) -> int:
        return self.commit(lambda: services.people().deactivate(self.id_of(email)))

    def book(self, title: str = "Emma", *, stock: int = 0, **values: Any) -> int:
        """Create a book; return its id."""
        values = {"title": title, "authors": "Jane Austen", "price_cents": 950, "currency": "EUR", **values}
        book_id = self.commit(lambda: services.catalog().create(values))
        if stock:
            self.set_stock(book_id, stock)
        return book_id

    def set_stock(self, book_id: int, quantity: int) -> list[str]:
        """Set a book's stock; return the addresses of the notified customers."""
        return self.commit(
            lambda: services.shelf().update_stock(StockChange(book_id=book_id, quantity=quantity))
        ).notified

    def reserve(self, user_id: int, book_id: int) -> int:
        """Reserve a book for a customer; return the pre-booking's id."""
        return int(self.commit(lambda: services.prebookings().reserve(user_id, book_id)).id)

    def cancel(self, user_id: int, prebook_id: int) -> None:
        self.commit(lambda: services.prebookings().cancel(user_id, prebook_id))

    def fill_cart(self, user_id: int, copies: dict[int, int]) -> None:
        """Add copies of books to a customer's cart: book id -> quantity."""
        for book_id, quantity in copies.items():
            self.commit(partial(lambda *line: services.cart().add(*line), user_id, book_id, quantity))

    def order(self, user_id: int, copies: dict[int, int], **fields: Any) -> int:
        """Order copies of books for a customer; return the order's id."""
        self.fill_cart(user_id, copies)
        checkout = Checkout(**{"name": "Ada Lovelace", **fields})
        return int(self.commit(lambda: services.checkout().place(user_id, checkout)).order.id)

    def cancel_order(self, user_id: int, order_id: int) -> list[str]:
        """Cancel a customer's own order; return the addresses of the notified customers."""
        return self.commit(lambda: services.checkout().cancel(user_id, order_id))

    def change_order(self, order_id: int, status: str, by: int) -> list[str]:
        """Mark an order ready, collected or cancelled as staff; return the addresses of the notified customers."""
        return self.commit(lambda: services.checkout().change(order_id, status, by))

    def give_back(self, order_id: int, **declared: Any) -> None:
        """Declare that the customer returns an order by post, or some of its books."""
        order = "SELECT o.number, u.email FROM orders o JOIN users u ON u.id = o.user_id WHERE o.id = :id"
        ((number, email),) = self.rows(order, id=order_id)
        declaration = Declaration(**{"number": number, "email": email, "name": "Ada Lovelace", **declared})
        self.commit(lambda: services.returns().receive(declaration))

    def pick_shelf(self, name: str, *, state: str = "published", introduction: str = "") -> int:
        """Add a shelf of staff picks and return its id."""
        values = {"name": name, "state": state, "introduction": introduction}
        return self.commit(lambda: services.picks().add_shelf(values))

    def pick(self, shelf_id: int, book_id: int, sentence: str = "Read it.") -> None:
        """Put a book on a shelf of staff picks."""
        self.commit(lambda: services.picks().add(shelf_id, book_id, sentence))

    def withdraw(self, book_id: int) -> int:
        return self.commit(lambda: services.shelf().withdraw(book_id))

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Return the rows of a SELECT as tuples, single columns as scalars."""
        with self.app.app_context():
            rows = [tuple(row) for row in db.session.execute(text(sql), values, execution_options={BY_TEST: True})]
        return [row[0] if len(row) == 1 else row for row in rows]

    def execute(self, sql: str, **values: Any) -> None:
        """Change the database directly."""
        with self.app.app_context():
            db.session.execute(text(sql), values, execution_options={BY_TEST: True})
            db.session.commit()

    def stock(self, book_id: int) -> int:
        quantity: int = self.rows("SELECT stock_quantity FROM books WHERE id = :id", id=book_id)[0]
        return quantity

    def statuses(self, book_id: int) -> list[str]:
        """Return the statuses of the book's pre-bookings, oldest first."""
        return self.rows("SELECT status FROM prebookings WHERE book_id = :id ORDER BY id", id=book_id)

    def broken(self) -> list[str]:
        """Return the lines of `flask check`."""
        with self.app.app_context():
            return list(broken_invariants(db.session()))

    def everything(self) -> dict[str, list[Any]]:
        """Return all rows except logins and the use of tokens, to see whether anything changed."""
        names = ["users", "books", "movements", "prebookings", "cart_items", "orders", "order_lines", "returns"]
        names += ["idempotency_records", "messages", "login_links", "link_actions"]
        names += ["webhooks", "webhook_deliveries"]
        tables = {name: columns_of(name) for name in names}
        tables["events"] = (
            "id, kind, movement_id, prebooking_id, order_id, created_at"  # no position: readers assign it
        )
        tables["api_tokens"] = "id, user_id, name, token_hash, created_at, revoked_at"
        queries = [f"SELECT {columns} FROM {table} ORDER BY 1, 2" for table, columns in tables.items()]
        return dict(zip(tables, rows_of(self.app, *queries), strict=True))
