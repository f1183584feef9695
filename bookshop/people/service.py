"""Deactivate and delete accounts; collect everything that the shop stores about a person."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Identity
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.models import ApiToken, LinkAction, LoginLink, LoginSession, SecondFactor, User
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import AccountService
from bookshop.accounts.staff import check_leaves_an_owner, check_may_change
from bookshop.audit.service import AuditService
from bookshop.cart.repository import CartRepository
from bookshop.checkout.service import CheckoutService
from bookshop.idempotency.repository import IdempotencyRepository, SentFormRepository
from bookshop.inventory.repository import MovementRepository
from bookshop.kit.database import ID_MAX, now
from bookshop.kit.exceptions import Conflict, NotFound
from bookshop.mail.models import CLOSED, UNSUBSCRIBED, Message
from bookshop.mail.repository import MessageRepository
from bookshop.mail.service import MailService
from bookshop.orders.models import Order
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import PreBookRepository
from bookshop.returns.repository import ReturnRepository


class PersonalData(NamedTuple):
    """Everything that the shop stores about a person."""

    account: User
    reservations: Sequence[PreBook]
    orders: Sequence[Order]
    cart: Sequence[Row[*tuple[Any, ...]]]
    logins: Sequence[LoginSession]
    second_factors: Sequence[SecondFactor]
    tokens: Sequence[ApiToken]
    links: Sequence[LoginLink]
    started: Sequence[LinkAction]
    movements: Sequence[Row[*tuple[Any, ...]]]
    messages: Sequence[Message]
    returns: Sequence[Row[*tuple[Any, ...]]]


class PeopleService:
    """Deactivates, deletes and exports accounts, and stops all alerts of a customer; never commits."""

    def __init__(
        self, session: Session, accounts: AccountService, checkout: CheckoutService, mail: MailService
    ) -> None:
        self.session = session
        self.accounts = accounts
        self.checkout = checkout
        self.mail = mail
        self.users = UserRepository(session)
        self.links = LinkRepository(session)
        self.prebookings = PreBookRepository(session)
        self.orders = OrderRepository(session)
        self.items = CartRepository(session)
        self.returns = ReturnRepository(session)
        self.idempotency = IdempotencyRepository(session)
        self.forms = SentFormRepository(session)
        self.audit = AuditService(session)

    def personal_data(self, user_id: int) -> PersonalData:
        """Return everything that the shop stores about a user, newest first; raises NotFound."""
        user = self.accounts.get_user(user_id)
        return PersonalData(
            account=user,
            reservations=self.prebookings.list_by_user(user_id, None, 1, ID_MAX).items,
            orders=self.orders.list_by_user(user_id, None, 1, ID_MAX).items,
            cart=self.items.list_titled(user_id),
            logins=self.users.list_logins(user_id),
            second_factors=[factor] if (factor := self.users.get_second_factor(user_id)) else [],
            tokens=self.users.list_tokens(user_id, revoked=True),
            links=self.links.list_of(user),
            started=self.links.list_actions_of(user),
            movements=MovementRepository(self.session).list_by_user(user_id),
            messages=MessageRepository(self.session).list_by_user(user_id),
            returns=self.returns.list_by_user(user_id),
        )

    def delete(self, user_id: int, confirmed_by: str | Identity) -> int:
        """Delete an account: erase personal data, keep the history; returns how many reservations were cancelled.

        It is confirmed by the password, or by a fresh login, which must still exist. Open orders are cancelled; their
        copies go back into stock, and customers waiting for them are notified. Locks the stored responses, then the
        rows that `deactivate` locks, together with the books in open orders. Raises WrongPassword, NotAuthenticated if
        the login has ended, or Conflict for the last owner.
        """
        self.idempotency.delete_by_user(user_id)
        locked = self.users.lock_with_owners(user_id)
        user = self.accounts.lock_confirmed(user_id, confirmed_by)
        check_leaves_an_owner(user, locked)
        self.checkout.lock_open(user_id, also=self.prebookings.books_waited_for(user_id))
        cancelled = self.prebookings.cancel_waiting_by_user(user_id)
        self.checkout.cancel_open(user_id)  # after their reservations, so that they are not notified themselves
        self._erase_personal_data(user_id)
        self.audit.record("user.deleted", user_id, after={"reservations_cancelled": cancelled})
        return cancelled

    def _erase_personal_data(self, user_id: int) -> None:
        """Erase personal data; the user must be locked and have no open orders."""
        self.idempotency.delete_by_user(user_id)  # again: the lock may have waited for a request that stored one
        self.forms.erase_responses()
        self.orders.erase_personal_data(user_id)
        self.returns.erase_personal_data(user_id)
        self.items.clear(user_id)
        self.users.end_logins(user_id)
        self.users.delete_tokens(user_id)
        self.users.delete_second_factor(user_id)
        # This is not a valid address, so nobody can sign up with it; the old address is free again at once.
        address, deleted_at = f"deleted-{user_id}", now()
        user = self.accounts.get_user(user_id)
        self.mail.anonymise(user_id, address, self.links.list_ids_of(user))
        self.links.delete_by_user(user)
        self.users.update(
            user_id,
            email=address,
            email_key=address,
            password_hash=None,
            last_seen_at=None,
            deleted_at=deleted_at,
            deactivated_at=deleted_at,
        )

    def deactivate(self, user_id: int, *, by: int | None = None) -> int:
        """Deactivate a user: end all logins and tokens, and cancel waiting reservations; returns their number.

        Locks the user, so that no reservation can slip in, together with `by` and, for an owner, all active owners, so
        that two cannot deactivate each other; then the reserved books, as the lock order requires. `by` is the member
        of staff who does it, None for a command. Raises NotFound, or Conflict for `by` themselves and for the last
        owner; see also `check_may_change`.
        """
        if by == user_id:
            raise Conflict("You cannot deactivate your own account.", "USER_IS_YOURSELF")
        locked = self.users.lock_with_owners(user_id, by)
        user = self.accounts.get_user(user_id)
        check_may_change(user, by, locked)
        check_leaves_an_owner(user, locked)
        self.prebookings.lock_books_waited_for(user_id)
        cancelled = self.prebookings.cancel_waiting_by_user(user_id)
        self.accounts.end_access(user_id)
        self.mail.end_alerts(user_id, CLOSED)
        if user.deactivated_at is None:
            self.users.update(user_id, deactivated_at=now())
            self.audit.record("user.deactivated", user_id, after={"reservations_cancelled": cancelled})
        return cancelled

    def reactivate(self, user_id: int, *, by: int | None = None) -> None:
        """Let a deactivated user log in again; cancelled reservations stay cancelled.

        Locks and raises as `deactivate` does.
        """
        locked = self.users.lock_with_owners(user_id, by)
        user = self.accounts.get_user(user_id)
        check_may_change(user, by, locked)
        if user.deactivated_at is not None:
            self.users.update(user_id, deactivated_at=None)
            self.audit.record("user.reactivated", user_id)

    def user_of_link(self, user_id: int, email_key: str) -> User:
        """Return the user of a link in an e-mail to this address; raises NotFound if they left or changed it."""
        user = self.users.get(user_id)
        if user is None or user.deactivated_at is not None or user.email_key != email_key:
            raise NotFound(
                "This link no longer works: the account has another e-mail address now, or it has been closed. If you"
                " have an account, log in to see your reservations.",
                "LINK_NOT_FOUND",
            )
        return user

    def stop_waiting(self, user_id: int, email_key: str) -> int:
        """Cancel all waiting reservations and turn alerts off; returns how many reservations were cancelled.

        Locks the user, whose address cannot change meanwhile, then the reserved books, as the lock order requires.
        Raises NotFound as `user_of_link` does.
        """
        self.users.lock(user_id)
        self.user_of_link(user_id, email_key)
        self.prebookings.lock_books_waited_for(user_id)
        cancelled = self.prebookings.cancel_waiting_by_user(user_id)
        if cancelled:
            self.audit.record("user.stopped_waiting", user_id, after={"reservations_cancelled": cancelled})
        self.set_alerts(user_id, False)
        return cancelled

    def set_alerts(self, user_id: int, wanted: bool) -> None:
        """Turn restock alerts on or off; e-mails about orders are always sent."""
        user = self.users.get(user_id)
        if user is not None and user.wants_alerts != wanted:
            self.users.update(user_id, unsubscribed_at=None if wanted else now())
            values = {"alerts": not wanted}, {"alerts": wanted}
            self.audit.record("user.alerts_changed", user_id, *values, by=user.audited_id)
        if not wanted:
            self.mail.end_alerts(user_id, UNSUBSCRIBED)
