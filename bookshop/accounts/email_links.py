"""What people do through their mailbox: show that an address is theirs, get a new password, want no more alerts."""

import secrets

from sqlalchemy.orm import Session

from bookshop.accounts.authentication import token_hash
from bookshop.accounts.emails import normal_email
from bookshop.accounts.models import PasswordReset, User
from bookshop.accounts.passwords import hash_password, problem_in_password
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import AccountService
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid, NotFound
from bookshop.mail.models import CONFIRMATION, KNOWN_ADDRESS, PASSWORD_RESET, UNSUBSCRIBED
from bookshop.mail.service import MailService


class EmailLinkService:
    """Confirms addresses, resets passwords and keeps who wants alerts; never commits."""

    def __init__(self, session: Session, accounts: AccountService, mail: MailService) -> None:
        self.users = UserRepository(session)
        self.accounts = accounts
        self.authentication = accounts.authentication
        self.mail = mail

    def sign_up(self, email: str, password: str) -> None:
        """Create a customer and write to the address; if it is known, only write to its owner.

        So nobody learns here who is a customer. Raises Invalid for a bad address or password.
        """
        try:
            user = self.accounts.register(email, password, confirmed=False)
        except Conflict:
            self._write_to_owner(KNOWN_ADDRESS, email)
        else:
            self.mail.queue_of_account(CONFIRMATION, user.id, user.email)

    def _write_to_owner(self, kind: str, email: str) -> None:
        """Write to the owner of an address, if there is one; locks their row.

        Without the lock an account could be deleted just before its address is queued, which would then be kept.
        """
        try:
            owner = self.users.lock_by_email(normal_email(email))
        except Invalid:
            return
        if owner is not None:
            self.mail.queue_of_account(kind, owner.id, owner.email)

    def ask_to_confirm(self, user_id: int) -> None:
        """Write once more to an address that is not confirmed; raises Conflict if it is. Locks the user's row."""
        self.users.lock(user_id)
        user = self.accounts.get_user(user_id)
        if user.email_confirmed_at is not None:
            raise Conflict("Your e-mail address is confirmed already.", "EMAIL_CONFIRMED")
        self.mail.queue_of_account(CONFIRMATION, user_id, user.email)

    def confirm(self, user_id: int, email_key: str) -> None:
        """Note that this address is the user's; raises NotFound if they have another by now."""
        self.users.lock(user_id)
        user = self._reader(user_id, email_key)
        if user.email_confirmed_at is None:
            self.users.update(user_id, email_confirmed_at=now())

    def is_confirmed(self, user_id: int, email_key: str) -> bool:
        """Whether this address is confirmed already; raises NotFound if `confirm` would."""
        return self._reader(user_id, email_key).email_confirmed_at is not None

    def _reader(self, user_id: int, email_key: str) -> User:
        user = self.users.get(user_id)
        if user is None or user.deactivated_at is not None or user.email_key != email_key:
            raise NotFound(
                "This link is about an address that the account no longer has. If you still have an account, log in:"
                " your account page can send the message again.",
                "USER_NOT_FOUND",
            )
        return user

    def set_alerts(self, user_id: int, wanted: bool) -> None:
        """Note whether a user wants restock alerts. Mail about orders is not asked about."""
        self.users.update(user_id, unsubscribed_at=None if wanted else now())
        if not wanted:
            self.mail.end_alerts(user_id, UNSUBSCRIBED)

    def ask_for_reset(self, email: str) -> None:
        """Write to the owner of an address, if there is one, how to get a new password; locks their row."""
        self._write_to_owner(PASSWORD_RESET, email)

    def create_reset(self, user_id: int, email_key: str) -> str:
        """Make the secret of a link for a new password: good once, for 30 minutes, kept as a hash.

        To be made when its message leaves: no outbox holds it, and no delay uses up its time. Locks the user's row;
        raises NotFound if this is no longer their address, for which the link is meant.
        """
        self.users.lock(user_id)
        self._reader(user_id, email_key)
        token = secrets.token_urlsafe(32)
        self.users.delete_resets(user_id, too_old=True)
        self.users.add_reset(PasswordReset(token_hash=token_hash(token), user_id=user_id))
        return token

    def check_reset(self, token: str) -> None:
        """Raise NotFound if `reset_password` would."""
        if self.users.user_of_reset(token_hash(token)) is None:
            raise _used_up()

    def reset_password(self, token: str, new: str) -> str:
        """Give the user to whom this secret was sent a new password, end all logins, API tokens and other such links.

        Returns the user's address, which is confirmed by that. Locks the user's row, so that no login with the old
        password gets between. Raises Invalid for a bad password, which does not use up the link, and NotFound if that
        is used up or too old.
        """
        if problem := problem_in_password(new):
            raise Invalid(problem, "new")
        used = token_hash(token)
        user_id = self.users.user_of_reset(used)
        if user_id is None or not self.authentication.lock_active(user_id) or self.users.use_reset(used) is None:
            raise _used_up()
        self.users.delete_resets(user_id)
        self.users.end_logins(user_id)
        self.users.revoke_tokens(user_id)
        self.users.update(user_id, password_hash=hash_password(new))
        user = self.accounts.get_user(user_id)
        if user.email_confirmed_at is None:
            self.users.update(user_id, email_confirmed_at=now())
        return user.email


def _used_up() -> NotFound:
    return NotFound(
        "This link was used before, is older than 30 minutes, or is not whole. Please ask for another.",
        "RESET_NOT_FOUND",
    )
