"""Reserving, listing and cancelling: the rules about pre-bookings."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from bookshop.accounts.repository import UserRepository
from bookshop.catalog.repository import BookRepository
from bookshop.database import Page
from bookshop.exceptions import BookshopError, Conflict, NotAuthenticated, NotFound, book_not_found
from bookshop.prebookings.models import CANCELLED, PreBook
from bookshop.prebookings.repository import PreBookRepository


class PreBookService:
    """What customers do with pre-bookings; never commits."""

    def __init__(self, session: Session, max_waiting: int) -> None:
        self.users = UserRepository(session)
        self.books = BookRepository(session)
        self.prebookings = PreBookRepository(session)
        self.max_waiting = max_waiting

    def reserve(self, user_id: int, book_id: int) -> int:
        """Reserve a book that is out of stock; returns the id of the pre-booking.

        Locks the customer's row, which makes the limit exact and a deactivation wait, then, in its last statement,
        the book's stock; both until the caller's commit, which should be next. Raises NotFound or Conflict.
        """
        if not self.users.lock_active(user_id):
            raise NotAuthenticated("This account is no longer active.")
        if self.prebookings.count_waiting(user_id) < self.max_waiting:
            prebook_id = self.prebookings.insert_if_out_of_stock(user_id, book_id)
            if prebook_id is not None:
                return prebook_id
        raise self._why_not(user_id, book_id)

    def _why_not(self, user_id: int, book_id: int) -> BookshopError:
        book = self.books.get(book_id)
        if book is None or book.withdrawn_at is not None:
            return book_not_found()
        if book.stock_quantity == 0 and self.prebookings.has_waiting(user_id, book_id):
            return Conflict("You have reserved this book already.", "PREBOOK_DUPLICATE")
        if book.stock_quantity == 0 and self.prebookings.count_waiting(user_id) >= self.max_waiting:
            return Conflict(
                f"You are waiting for {self.max_waiting} books, which is the most at a time. "
                "Cancel one that you no longer want, then reserve this one.",
                "PREBOOK_LIMIT_REACHED",
            )
        return Conflict("Book is in stock — add to cart instead", "PREBOOK_BOOK_IN_STOCK")

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

    def list_own(self, user_id: int, status: str | None, page: int, size: int) -> Page[PreBook]:
        """The customer's own pre-bookings, newest first."""
        return self.prebookings.list_by_user(user_id, status, page, size)

    def latest_for(self, user_id: int, book_id: int) -> PreBook | None:
        """The customer's newest pre-booking of the book, whatever became of it."""
        return self.prebookings.latest(user_id, book_id)

    def count_back_since(self, user_id: int, seen_at: datetime | None) -> int:
        """How many reserved books came back since the customer last looked."""
        return self.prebookings.count_notified_since(user_id, seen_at)

    def list_waiting_for(self, book_id: int, page: int, size: int) -> Page[Any]:
        """Who waits for a book, longest first: rows of a pre-booking and an e-mail address."""
        if self.books.get(book_id) is None:
            raise book_not_found()
        return self.prebookings.list_waiting_by_book(book_id, page, size)
