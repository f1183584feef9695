"""Closing an account, and all that the shop keeps of a person."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.accounts.models import STAFF, ApiToken, LoginSession, User
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import AccountService
from bookshop.cart.repository import CartRepository
from bookshop.checkout.service import CheckoutService
from bookshop.idempotency.repository import IdempotencyRepository, SentFormRepository
from bookshop.inventory.repository import MovementRepository
from bookshop.kit.database import ID_MAX, now
from bookshop.kit.exceptions import Conflict, NotAuthenticated
from bookshop.mail.models import CLOSED, Message
from bookshop.mail.repository import MessageRepository
from bookshop.mail.service import MailService
from bookshop.orders.models import Order
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import PreBookRepository

NO_HASH = "!"  # of a password that nobody has


class PersonalData(NamedTuple):
    """All that the shop keeps of a person."""

    account: User
    reservations: Sequence[PreBook]
    orders: Sequence[Order]
    cart: Sequence[Row[*tuple[Any, ...]]]
    logins: Sequence[LoginSession]
    tokens: Sequence[ApiToken]
    movements: Sequence[Row[*tuple[Any, ...]]]
    messages: Sequence[Message]


class PeopleService:
    """Deactivates, deletes and exports accounts; never commits."""

    def __init__(
        self, session: Session, accounts: AccountService, checkout: CheckoutService, mail: MailService
    ) -> None:
        self.session = session
        self.accounts = accounts
        self.checkout = checkout
        self.mail = mail
        self.users = UserRepository(session)
        self.prebookings = PreBookRepository(session)
        self.orders = OrderRepository(session)
        self.items = CartRepository(session)
        self.answers = IdempotencyRepository(session)
        self.forms = SentFormRepository(session)

    def personal_data(self, user_id: int) -> PersonalData:
        """All that the shop keeps of a user, newest first; raises NotFound."""
        return PersonalData(
            account=self.accounts.get_user(user_id),
            reservations=self.prebookings.list_by_user(user_id, None, 1, ID_MAX).items,
            orders=self.orders.list_by_user(user_id, None, 1, ID_MAX).items,
            cart=self.items.list_titled(user_id),
            logins=self.users.list_logins(user_id),
            tokens=self.users.list_tokens(user_id, revoked=True),
            movements=MovementRepository(self.session).list_by_user(user_id),
            messages=MessageRepository(self.session).list_by_user(user_id),
        )

    def delete(self, user_id: int, password: str) -> int:
        """Delete an account: the person is forgotten, what happened is kept; returns how many reservations ended.

        Open orders are cancelled, and their copies come back for those who wait. Locks kept answers, then as
        `deactivate` does, but with the books waited for those of the open orders too; and for staff all their active
        colleagues: of the last two who leave at the same moment one is refused. Raises Invalid for a wrong password,
        Conflict for the last member of staff.
        """
        self.answers.forget(user_id)
        locked = self.users.lock_with_staff(user_id)
        user = self.accounts.lock_with_password(user_id, password)
        if user.role == STAFF and len(locked) == 1:
            raise Conflict(
                "Yours is the last account of the shop's staff, so it cannot be deleted. Make another one first.",
                "USER_LAST_STAFF",
            )
        self.checkout.lock_open(user_id, also=self.prebookings.books_waited_for(user_id))
        cancelled = self.prebookings.cancel_waiting_by_user(user_id)
        self.checkout.cancel_open(user_id)  # after the reservations, so that nobody who leaves is told
        self._forget(user_id, user.email)
        return cancelled

    def _forget(self, user_id: int, email: str) -> None:
        """Erase what names a person; no order must be open."""
        self.forms.forget_person(user_id, email)
        self.orders.forget_person(user_id)
        self.items.clear(user_id)
        self.users.end_logins(user_id)
        self.users.delete_tokens(user_id)
        self.users.delete_resets(user_id)
        # No address looks like this one, so nobody can register it; the old one is free at once.
        nobody, gone = f"deleted-{user_id}", now()
        self.mail.forget(user_id, nobody)
        self.users.update(
            user_id, email=nobody, email_key=nobody, password_hash=NO_HASH, deleted_at=gone, deactivated_at=gone
        )

    def deactivate(self, user_id: int, *, by: int | None = None) -> int:
        """Deactivate a user: end all logins and tokens, cancel what they wait for; returns how many of these.

        Locks the user, so that no reservation slips in, then the books waited for, as the lock order has it; if it is
        one of staff, their active colleagues too: of two who deactivate each other (`by`) one comes too late. Raises
        NotFound, NotAuthenticated if `by` is deactivated by now, or Conflict if it is the user.
        """
        if by == user_id:
            raise Conflict("You cannot deactivate yourself.", "USER_IS_YOURSELF")
        locked = self.users.lock_with_staff(user_id)
        user = self.accounts.get_user(user_id)
        if by is not None and user.role == STAFF and by not in locked:
            raise NotAuthenticated("Please log in first.")
        self.prebookings.lock_books_waited_for(user_id)
        cancelled = self.prebookings.cancel_waiting_by_user(user_id)
        self.users.end_logins(user_id)
        self.users.revoke_tokens(user_id)
        self.users.delete_resets(user_id)
        self.mail.end_alerts(user_id, CLOSED)
        if user.deactivated_at is None:
            self.users.update(user_id, deactivated_at=now())
        return cancelled
