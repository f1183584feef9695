"""Owners and booksellers: who becomes one, who stays one, and who may change an account."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from bookshop.accounts.allowance import MailAllowance
from bookshop.accounts.emails import normal_email
from bookshop.accounts.models import BOOKSELLER, CUSTOMER, OWNER, STAFF_ROLES, User
from bookshop.accounts.notices import notify
from bookshop.accounts.repository import LockedUser, UserRepository
from bookshop.accounts.service import AccountService
from bookshop.audit.service import AuditService
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Forbidden, NotAuthenticated
from bookshop.mail.models import SECOND_FACTOR
from bookshop.mail.service import MailService

ROLE_NAMES = {CUSTOMER: "a customer", BOOKSELLER: "a bookseller", OWNER: "an owner"}


class StaffService:
    """Adds members of staff and changes roles; never commits."""

    def __init__(self, session: Session, accounts: AccountService, mail: MailService, allowance: MailAllowance) -> None:
        self.users = UserRepository(session)
        self.accounts = accounts
        self.mail = mail
        self.allowance = allowance
        self.audit = AuditService(session)

    def add(self, email: str, role: str, *, by: int | None = None) -> bool:
        """Give the account with this address, new or a customer's, a staff role; returns whether it was invited.

        A new account counts as confirmed and gets an e-mail; its owner logs in with a link. Locks as `change_role`
        does, and raises what it raises; also Invalid for a bad address, and Conflict for a member of staff.
        """
        user = self.users.get_by_email(normal_email(email))
        if user is not None and user.is_staff and user.id != by:
            raise Conflict(
                f"{user.email} is already {ROLE_NAMES[user.role]}. Click the address to change the role.",
                "USER_ROLE_UNCHANGED",
            )
        if user is not None:
            return self.change_role(user.id, role, by=by)
        locked = self.users.lock_with_owners(None, by)
        check_is_owner(by, locked)
        self._invite(self.accounts.register(email, role=role))
        return True

    def change_role(self, user_id: int, role: str, *, by: int | None = None) -> bool:
        """Change a user's role and end all their logins and tokens; reservations and orders stay.

        Someone who becomes a customer also loses the second factor. A customer whose address was never confirmed is
        invited like somebody new, as a stranger may have signed up with it and know the password; returns whether.
        Locks the user's row together with `by`, the owner who does it (None for a command), and for an owner all active
        owners, so that two cannot remove each other. Raises NotFound, Forbidden or NotAuthenticated if `by` is not an
        owner any more, or Conflict: the role would not change, the user is `by`, is the last owner or is deactivated.
        """
        locked = self.users.lock_with_owners(user_id, by)
        check_is_owner(by, locked)
        user = self.accounts.get_user(user_id)
        _check_new_role(user, role, by)
        if role != OWNER:
            check_leaves_an_owner(user, locked)
        before, is_invited = user.role, not user.is_staff and user.never_confirmed
        self.users.update(user_id, role=role)
        self.accounts.end_access(user_id)
        if role == CUSTOMER:
            self.users.delete_second_factor(user_id)
            self.users.update(user_id, last_seen_at=None)
        if is_invited:
            self.users.update(user_id, password_hash=None, email_confirmed_at=now(), never_confirmed=False)
            self._invite(user)
        self.audit.record("user.role_changed", user_id, {"role": before}, {"role": role})
        return is_invited

    def _invite(self, user: User) -> None:
        """E-mail the user, unless the address has just had another invitation: the login page is all they need."""
        if self.allowance.take_invitation(user.email_key):
            self.mail.queue_invitation(user.id, user.email)

    def remove_second_factor(self, user_id: int, *, by: int | None = None) -> str:
        """Remove the second factor of a member of staff, for example after a lost phone; returns the address.

        Ends all their logins, as somebody else may have the phone. Locks and raises as `change_role` does; raises
        Conflict if the user is `by` or has no second factor.
        """
        check_is_owner(by, self.users.lock_with_owners(user_id, by))
        user = self.accounts.get_user(user_id)
        if user.id == by:
            raise Conflict("You cannot remove your own second factor here. Ask another owner.", "USER_IS_YOURSELF")
        if not self.users.delete_second_factor(user_id):
            raise Conflict(f"{user.email} has no second factor.", "USER_NO_SECOND_FACTOR")
        self.users.end_logins(user_id)
        self.audit.record("user.second_factor_removed", user_id)
        notify(self.mail, user, SECOND_FACTOR)
        return user.email


def _check_new_role(user: User, role: str, by: int | None) -> None:
    if user.id == by:
        raise Conflict("You cannot change your own role. Ask another owner.", "USER_IS_YOURSELF")
    if user.role == role:
        raise Conflict(f"{user.email} is already {ROLE_NAMES[role]}.", "USER_ROLE_UNCHANGED")
    if user.deactivated_at is not None:
        raise Conflict(f"{user.email} is deactivated. Reactivate the account first.", "USER_DEACTIVATED")


def check_is_owner(by: int | None, locked: Mapping[int, LockedUser]) -> None:
    """Raise unless `by`, among the `locked` active users, is an owner; None is a command."""
    if by is not None and by not in locked:
        raise NotAuthenticated("Please log in first.")
    if by is not None and locked[by].role != OWNER:
        raise Forbidden("Only an owner of the shop can do this.")


def check_may_change(user: User, by: int | None, locked: Mapping[int, LockedUser]) -> None:
    """Raise unless `by`, among the `locked` active users, may deactivate or reactivate this user.

    Staff may change customers, owners everyone; None is a command.
    """
    if user.is_staff:
        check_is_owner(by, locked)
    elif by is not None and (by not in locked or locked[by].role not in STAFF_ROLES):
        raise NotAuthenticated("Please log in first.")


def check_leaves_an_owner(user: User, locked: Mapping[int, LockedUser]) -> None:
    """Raise Conflict if this user is the last owner with access among the `locked` active users."""
    others = [user_id for user_id, other in locked.items() if user_id != user.id and other == LockedUser(OWNER, True)]
    if user.role == OWNER and user.deactivated_at is None and not others:
        raise Conflict(f"{user.email} is the shop's last owner. Make someone else an owner first.", "USER_LAST_OWNER")
