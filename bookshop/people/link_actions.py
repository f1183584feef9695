"""What visitors start with an e-mail address, and what is done when the link to it is used."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from bookshop.accounts.emails import key_of
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.login_links import LinkRequest, LoginLinkService
from bookshop.accounts.models import CUSTOMER, ORDER, RESERVE, LinkAction, User
from bookshop.cart.repository import CartEntry
from bookshop.cart.service import Cart, CartService
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.checkout.offer import Offer
from bookshop.checkout.service import Checkout, CheckoutService, order_changed
from bookshop.kit.exceptions import BookshopError, Forbidden
from bookshop.prebookings.service import PreBookService

CONTACT = ("name", "phone", "note", "delivery", "address")


class StartedReservation(NamedTuple):
    """A book that a visitor wants to reserve, in its current state."""

    id: int
    book: StockedBook


@dataclass(frozen=True)
class StartedOrder:
    """What a visitor wants to order, with the current state of the books, and the contact that was entered."""

    id: int
    offer: Offer
    contact: dict[str, Any]

    @property
    def cart(self) -> Cart:
        """The books."""
        return self.offer.cart

    @property
    def entries(self) -> Sequence[CartEntry]:
        """The entries of the visitor's cart."""
        return [line.entry for line in self.cart.lines]

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the offer does, and when there become too few copies for it to be ordered."""
        return f"short {self.offer.fingerprint}" if self.cart.is_short else self.offer.fingerprint


@dataclass(frozen=True)
class Started:
    """Everything that was started for an address in some browsers."""

    reservations: Sequence[StartedReservation]
    order: StartedOrder | None
    ids: Collection[int]

    @property
    def books(self) -> Sequence[StockedBook]:
        """All books to reserve or to order."""
        ordered = [line.book for line in self.order.cart.lines] if self.order else []
        return [one.book for one in self.reservations] + ordered

    def only(self, reservation_ids: Collection[int], order: bool) -> "Started":
        """Return what is left when only these reservations, and the order or not, are still wanted."""
        kept = [one for one in self.reservations if one.id in reservation_ids]
        return replace(self, reservations=kept, order=self.order if order else None)


class Outcome(NamedTuple):
    """A book that was reserved or, with an `error`, refused."""

    book: StockedBook
    error: BookshopError | None


class Performed(NamedTuple):
    """What became of everything that was started: the id of the order, or whether its books went into the cart."""

    reservations: Sequence[Outcome] = ()
    order_id: int | None = None
    moved_to_cart: bool = False


class LinkActionService:
    """Stores and performs what visitors start; never commits."""

    def __init__(
        self,
        session: Session,
        login_links: LoginLinkService,
        prebookings: PreBookService,
        cart: CartService,
        checkout: CheckoutService,
    ) -> None:
        self.session = session
        self.login_links = login_links
        self.links = LinkRepository(session)
        self.prebookings = prebookings
        self.cart = cart
        self.checkout = checkout
        self.books = BookRepository(session)

    def start_reservation(self, request: LinkRequest, book_id: int) -> str:
        """Store that a visitor wants to reserve a book; returns the address. See `LoginLinkService.start`.

        Raises Invalid for a bad address, NotFound, or Conflict if the book is in stock.
        """
        self.prebookings.check_book(book_id)
        return self.login_links.start(request, RESERVE, book_id)

    def start_order(self, request: LinkRequest, checkout: Checkout, entries: Sequence[CartEntry]) -> str:
        """Store that a visitor wants to order these books; returns the address. See `LoginLinkService.start`.

        Raises Invalid for a bad address, and what `CheckoutService.check` raises.
        """
        self.checkout.check(checkout, entries)
        return self.login_links.start(request, ORDER, details=_details(checkout, entries))

    def list_started(self, email_key: str, browsers: Collection[str]) -> Started:
        """Return what these browsers have started for an address; of two orders, the later one."""
        actions = self.links.list_actions(email_key, browsers)
        reserved = {action.book_id: action.id for action in actions if action.kind == RESERVE}
        reservations = [StartedReservation(reserved[book.id], book) for book in self.books.list_stocked(list(reserved))]
        orders = [self._order(action) for action in actions if action.kind == ORDER]
        orders = [order for order in orders if order.cart.lines]
        return Started(reservations, orders[-1] if orders else None, [action.id for action in actions])

    def _order(self, action: LinkAction) -> StartedOrder:
        details = json.loads(action.details)
        entries = [CartEntry(*entry) for entry in details["entries"]]
        offer = self.checkout.offer(self.cart.with_current_books(entries))
        return StartedOrder(action.id, offer, details["contact"])

    def perform(self, user: User, started: Started, wanted: Started, checkout: Checkout) -> Performed:
        """Reserve and order what is wanted, and forget everything that was started.

        A reservation that is refused is reported, and does not stop the others. An order for which there are too few
        copies becomes the customer's cart; any other refusal of the order is raised. Staff can do neither. Locks the
        books in id order; the user's row must be locked.
        """
        self.links.delete_actions(started.ids)
        if user.role != CUSTOMER:
            refusal = Forbidden("Staff accounts can neither reserve nor order. Use a customer account.")
            return Performed([Outcome(book, refusal) for book in wanted.books])
        self.books.lock([book.id for book in wanted.books])
        order_id = self._place(user, wanted.order, checkout) if wanted.order else None
        reserved = [self._reserve(user.id, one.book) for one in wanted.reservations]
        return Performed(reserved, order_id, moved_to_cart=wanted.order is not None and order_id is None)

    def _reserve(self, user_id: int, book: StockedBook) -> Outcome:
        try:
            with self.session.begin_nested():
                self.prebookings.reserve(user_id, book.id)
        except BookshopError as error:
            return Outcome(book, error)
        return Outcome(book, None)

    def _place(self, user: User, order: StartedOrder, checkout: Checkout) -> int | None:
        """Order these books, and leave the others in the customer's cart; returns the id of the order.

        If there are too few copies, moves the books to the cart instead, and keeps the contact for the checkout.
        """
        if checkout.shown != order.fingerprint:  # the page promised something else
            raise order_changed()
        if order.cart.is_short:
            self.cart.merge(user.id, order.entries)
            self._keep_contact(user, checkout)
            return None
        return int(self.checkout.place(user.id, checkout, order.entries).order.id)

    def _keep_contact(self, user: User, checkout: Checkout) -> None:
        action = {"email_key": user.email_key, "browser": _browser_of(user.id), "kind": ORDER, "book_id": 0}
        self.links.put_action({**action, "details": _details(checkout, [])})

    def kept_contact(self, user_id: int, email: str) -> dict[str, Any]:
        """Return the contact of an order that could not be placed when its link was used; empty if there is none."""
        kept = self.links.list_actions(key_of(email), {_browser_of(user_id)})
        return dict(json.loads(kept[0].details)["contact"]) if kept else {}

    def forget_contact(self, user_id: int, email: str) -> None:
        """Delete what `kept_contact` returns, as after the order."""
        self.links.delete_actions_in(key_of(email), _browser_of(user_id))


def _details(checkout: Checkout, entries: Sequence[CartEntry]) -> str:
    """Return the details of an action: what was entered, and the books."""
    contact = {name: getattr(checkout, name) for name in CONTACT}
    return json.dumps({"contact": contact, "entries": [list(entry) for entry in entries]})


def _browser_of(user_id: int) -> str:
    """Return what stands for the browser in an action that was kept for an account."""
    return f"user {user_id}"
