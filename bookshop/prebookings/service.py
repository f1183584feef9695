"""The rules for pre-bookings: reserving, listing and cancelling."""

from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication
from bookshop.audit.service import AuditService
from bookshop.catalog.repository import BookRepository
from bookshop.kit.database import Page
from bookshop.kit.exceptions import BookshopError, Busy, Conflict, NotAuthenticated, NotFound, book_not_found
from bookshop.kit.pagination import PageRequest
from bookshop.prebookings.models import CANCELLED, PreBook
from bookshop.prebookings.repository import PreBookRepository

TRIES = 3


class PreBookService:
    """Creates, finds and cancels pre-bookings; never commits. `max_waiting` is the limit per customer."""

    def __init__(self, session: Session, authentication: Authentication, max_waiting: int) -> None:
        self.session = session
        self.authentication = authentication
        self.prebookings = PreBookRepository(session)
        self.max_waiting = max_waiting

    def reserve(self, user_id: int, book_id: int) -> Row[*tuple[Any, ...]]:
        """Reserve a book that is out of stock; returns the pre-booking's row, with the book's title and authors.

        Locks the customer's row, so that the limit is exact and a deactivation waits, then, in its last statement,
        the book's row; both until the caller's commit, which should be next. Raises NotFound or Conflict,
        NotAuthenticated if the account is no longer active, or Busy if the stock keeps changing.
        """
        if not self.authentication.lock_active(user_id):
            raise NotAuthenticated("This account is no longer active.")
        for _try in range(TRIES):
            if self.prebookings.count_waiting(user_id) < self.max_waiting:
                prebook = self.prebookings.insert_if_out_of_stock(user_id, book_id)
                if prebook is not None:
                    return prebook
            if error := self._reserve_error(user_id, book_id):
                raise error
        raise Busy("The stock of this book is changing. Please try again in a moment.")

    def check_book(self, book_id: int) -> None:
        """Raise NotFound for a book that is unknown or withdrawn, Conflict for one that is in stock; locks nothing."""
        if error := self._book_error(book_id):
            raise error

    def _book_error(self, book_id: int) -> BookshopError | None:
        book = BookRepository(self.session).get(book_id)
        if book is None or book.withdrawn_at is not None:
            return book_not_found()
        if book.stock_quantity > 0:
            return Conflict("Book is in stock — add to cart instead", "PREBOOK_BOOK_IN_STOCK")
        return None

    def _reserve_error(self, user_id: int, book_id: int) -> BookshopError | None:
        """Return why the book cannot be reserved; None if it now can, so that the caller should retry."""
        if error := self._book_error(book_id):
            return error
        if self.prebookings.has_waiting(user_id, book_id):
            return Conflict("You have already reserved this book.", "PREBOOK_DUPLICATE")
        if self.prebookings.count_waiting(user_id) >= self.max_waiting:
            return Conflict(
                f"You are waiting for {self.max_waiting} books, the most you can reserve at a time. "
                "Cancel a reservation that you no longer want, then reserve this book.",
                "PREBOOK_LIMIT_REACHED",
            )
        return None

    def get(self, user_id: int, prebook_id: int) -> PreBook:
        """Return the customer's own pre-booking; raises NotFound, even if it is another customer's."""
        prebook = self.prebookings.get(user_id, prebook_id)
        if prebook is None:
            raise NotFound("You have no such reservation.", "PREBOOK_NOT_FOUND")
        return prebook

    def cancel(self, user_id: int, prebook_id: int) -> None:
        """Cancel the customer's own pre-booking while it is waiting; raises NotFound or Conflict."""
        if self.prebookings.cancel(user_id, prebook_id):
            AuditService(self.session).record("prebooking.cancelled", prebook_id)
            return
        if self.get(user_id, prebook_id).status == CANCELLED:
            raise Conflict("This reservation has already been cancelled.", "PREBOOK_ALREADY_CANCELLED")
        raise Conflict("This book is back in stock, so there is nothing to cancel.", "PREBOOK_ALREADY_NOTIFIED")

    def list_of_book(self, book_id: int, status: str | None, page_request: PageRequest, size: int) -> Page[Any]:
        """Return a book's pre-bookings, oldest first, each with its customer's e-mail address; raises NotFound."""
        self._check_book(book_id)
        return self.prebookings.list_by_book(book_id, status, page_request, size)

    def count_back(self, user_id: int, seen: int) -> int:
        """Count the reserved books that are back in stock, leaving out the first `seen` notified pre-bookings."""
        unseen = self.prebookings.count_notified(user_id) - seen
        return self.prebookings.count_in_stock(user_id, unseen) if unseen > 0 else 0

    def list_waiting_for(self, book_id: int, page: int, size: int) -> Page[Any]:
        """Return a book's waiting pre-bookings, longest wait first, each with an e-mail address; raises NotFound."""
        self._check_book(book_id)
        return self.prebookings.list_waiting_by_book(book_id, page, size)

    def _check_book(self, book_id: int) -> None:
        """Raise NotFound if there is no such book; a withdrawn book is accepted."""
        if BookRepository(self.session).get(book_id) is None:
            raise book_not_found()
