"""Stock changes with their restock alerts, for pages, JSON, commands and imports; and withdrawing books."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from bookshop.alerts.service import AlertService
from bookshop.audit.service import AuditService
from bookshop.catalog.repository import BookRepository
from bookshop.catalog.service import CatalogService
from bookshop.inventory.batch import BatchLine, BatchOutcome, StockBatch
from bookshop.inventory.service import BookService, Delivery, DeliveryLine, Notified, StockChange
from bookshop.kit.database import now
from bookshop.kit.exceptions import book_not_found
from bookshop.prebookings.repository import PreBookRepository
from bookshop.shelf.new_titles import Added, add_new_titles


class StockOutcome(NamedTuple):
    """The result of a stock change: the customers it notified, and how many unsent alerts it stopped."""

    notified: Notified
    stopped: int


class ShelfService:
    """Changes stock and queues or stops restock alerts, in the caller's transaction; never commits.

    BookService locks the books, writes stock and ledger, and notifies the customers.
    """

    def __init__(self, session: Session, inventory: BookService, alerts: AlertService) -> None:
        self.session = session
        self.inventory = inventory
        self.alerts = alerts
        self.books = BookRepository(session)
        self.prebookings = PreBookRepository(session)
        self.audit = AuditService(session)
        self.catalog = CatalogService(session)

    def update_stock(self, change: StockChange, versions: Collection[int] | None = None) -> StockOutcome:
        """Change a book's stock and queue alerts to the customers who were notified by this.

        Stops unsent alerts if the book is out of stock. Raises the errors of BookService.update_stock.
        """
        notified = self.inventory.update_stock(change, versions)
        self.alerts.queue(notified)
        return StockOutcome(notified, 0 if notified.restocks else self.alerts.stop([change.book_id]))

    def update_stocks(self, changes: Sequence[StockChange]) -> Notified:
        """Change the stock of many books, each at most once, like `update_stock`: all or none."""
        notified = self.inventory.update_stocks(changes)
        self.alerts.queue(notified)
        self.alerts.stop([change.book_id for change in changes if not change.quantity])  # None: it may be 0 now
        return notified

    def change_stocks(self, lines: Sequence[BatchLine], user_id: int, *, atomic: bool) -> BatchOutcome:
        """Change many stocks, all or none (`atomic`) or each on its own; see StockBatch."""
        batch = StockBatch(self.session, self.inventory, user_id)
        outcome = batch.change_all(lines) if atomic else batch.change_each(lines)
        self.alerts.queue(outcome.notified)
        self.alerts.stop(outcome.sold_out)
        return outcome

    def receive(self, delivery: Delivery) -> tuple[list[DeliveryLine], Notified]:
        """Add the new titles of a delivery and receive it; return its lines and the customers it notified.

        See BookService.receive.
        """
        added = add_new_titles(self.books, self.catalog, delivery) if delivery.new else Added()
        received, notified = self.inventory.receive(delivery), Notified()
        lines = [replace(line, is_new=line.isbn in added.new, adopted=line.isbn in added.adopted) for line in received]
        for line in lines:
            notified.add(line.emails)
        self.alerts.queue(notified)
        return lines, notified

    def withdraw(self, book_id: int) -> int:
        """Withdraw a book and cancel the reservations waiting for it; return how many. Raises NotFound.

        Locks the book's row, so a concurrent reservation is either cancelled here or refused.
        """
        locked = self.books.lock([book_id])
        if not locked:
            raise book_not_found()
        cancelled = self.prebookings.cancel_waiting_by_book(book_id)
        if locked[0].withdrawn_at is None:
            self.books.update(book_id, {"withdrawn_at": now()})
            self.audit.record("book.withdrawn", book_id, after={"reservations_cancelled": cancelled})
        return cancelled

    def put_back(self, book_id: int) -> int:
        """Put a withdrawn book back on sale; return how many stopped alerts are queued again.

        Locks the book's row; raises NotFound.
        """
        locked = self.books.lock([book_id])
        if not locked:
            raise book_not_found()
        if locked[0].withdrawn_at is None:
            return 0
        self.books.update(book_id, {"withdrawn_at": None, "removed_at": None})
        queued = self.alerts.queue_again([book_id]).total()
        self.audit.record("book.put_back", book_id, after={"alerts_queued": queued})
        return queued
