"""Reserving, listing and cancelling: the rules about pre-bookings."""

from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication
from bookshop.catalog.repository import BookRepository
from bookshop.kit.database import Page
from bookshop.kit.exceptions import BookshopError, Busy, Conflict, NotAuthenticated, NotFound, book_not_found
from bookshop.kit.pagination import PageRequest
from bookshop.prebookings.models import CANCELLED, PreBook
from bookshop.prebookings.repository import PreBookRepository

TRIES = 3


class PreBookService:
    """What customers do with pre-bookings; never commits."""

    def __init__(self, session: Session, authentication: Authentication, max_waiting: int) -> None:
        self.session = session
        self.authentication = authentication
        self.prebookings = PreBookRepository(session)
        self.max_waiting = max_waiting

    def reserve(self, user_id: int, book_id: int) -> Row[*tuple[Any, ...]]:
        """Reserve a book that is out of stock; returns the row of the pre-booking, with the book's title and authors.

        Locks the customer's row, which makes the limit exact and a deactivation wait, then, in its last statement,
        the book's stock; both until the caller's commit, which should be next. Raises NotFound or Conflict.
        """
        if not self.authentication.lock_active(user_id):
            raise NotAuthenticated("This account is no longer active.")
        for _try in range(TRIES):
            if self.prebookings.count_waiting(user_id) < self.max_waiting:
                prebook = self.prebookings.insert_if_out_of_stock(user_id, book_id)
                if prebook is not None:
                    return prebook
            if refusal := self._why_not(user_id, book_id):
                raise refusal
        raise Busy("Others are changing this book just now. Please try again in a moment.")

    def _why_not(self, user_id: int, book_id: int) -> BookshopError | None:
        """What stands against a reservation; None if it is gone by now, so that another try will do."""
        book = BookRepository(self.session).get(book_id)
        if book is None or book.withdrawn_at is not None:
            return book_not_found()
        if book.stock_quantity > 0:
            return Conflict("Book is in stock — add to cart instead", "PREBOOK_BOOK_IN_STOCK")
        if self.prebookings.has_waiting(user_id, book_id):
            return Conflict("You have reserved this book already.", "PREBOOK_DUPLICATE")
        if self.prebookings.count_waiting(user_id) >= self.max_waiting:
            return Conflict(
                f"You are waiting for {self.max_waiting} books, which is the most at a time. "
                "Cancel one that you no longer want, then reserve this one.",
                "PREBOOK_LIMIT_REACHED",
            )
        return None

    def get(self, user_id: int, prebook_id: int) -> PreBook:
        """The customer's own pre-booking; raises NotFound, also when it is another's."""
        prebook = self.prebookings.get(user_id, prebook_id)
        if prebook is None:
            raise NotFound("There is no such reservation among yours.", "PREBOOK_NOT_FOUND")
        return prebook

    def cancel(self, user_id: int, prebook_id: int) -> None:
        """Cancel the customer's own pre-booking while it waits; raises NotFound or Conflict."""
        if self.prebookings.cancel(user_id, prebook_id):
            return
        if self.get(user_id, prebook_id).status == CANCELLED:
            raise Conflict("This reservation was cancelled before.", "PREBOOK_ALREADY_CANCELLED")
        raise Conflict("This book is back in stock, so there is nothing left to cancel.", "PREBOOK_ALREADY_NOTIFIED")

    def list_of_book(self, book_id: int, status: str | None, page_request: PageRequest, size: int) -> Page[Any]:
        """A book's pre-bookings, oldest first: rows of one and its customer's address; raises NotFound."""
        self._check_book(book_id)
        return self.prebookings.list_by_book(book_id, status, page_request, size)

    def count_back(self, user_id: int, seen: int) -> int:
        """How many books came back for the customer since so many were seen, and can still be had."""
        unseen = self.prebookings.count_notified(user_id) - seen
        return self.prebookings.count_to_be_had(user_id, unseen) if unseen > 0 else 0

    def list_waiting_for(self, book_id: int, page: int, size: int) -> Page[Any]:
        """Who waits for a book, longest first: rows of a pre-booking and an e-mail address."""
        self._check_book(book_id)
        return self.prebookings.list_waiting_by_book(book_id, page, size)

    def _check_book(self, book_id: int) -> None:
        """Raise NotFound if there is no such book; one that is withdrawn will do."""
        if BookRepository(self.session).get(book_id) is None:
            raise book_not_found()
