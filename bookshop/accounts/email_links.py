"""What users do through links in e-mails: confirm an address, reset a password, turn off alerts."""

import secrets

from sqlalchemy.orm import Session

from bookshop.accounts.authentication import token_hash
from bookshop.accounts.emails import normal_email
from bookshop.accounts.models import PasswordReset, User
from bookshop.accounts.notices import notify
from bookshop.accounts.passwords import hash_password, problem_in_password
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import AccountService
from bookshop.audit.service import AuditService
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid, NotFound
from bookshop.mail.models import CONFIRMATION, KNOWN_ADDRESS, PASSWORD_CHANGED, PASSWORD_RESET, UNSUBSCRIBED
from bookshop.mail.service import MailService


class EmailLinkService:
    """Signs up customers, confirms addresses, resets passwords and turns alerts on and off; never commits."""

    def __init__(self, session: Session, accounts: AccountService, mail: MailService) -> None:
        self.users = UserRepository(session)
        self.accounts = accounts
        self.authentication = accounts.authentication
        self.mail = mail
        self.audit = AuditService(session)

    def sign_up(self, email: str, password: str) -> None:
        """Create a customer and e-mail the address; if it already has an account, only e-mail its owner.

        The response therefore does not reveal who is a customer. Raises Invalid for a bad address or password.
        """
        try:
            user = self.accounts.register(email, password, confirmed=False)
        except Conflict:
            self._email_owner(KNOWN_ADDRESS, email)
        else:
            self.mail.queue_account_message(CONFIRMATION, user.id, user.email)

    def _email_owner(self, kind: str, email: str) -> None:
        """E-mail the owner of an address, if there is one; locks their row.

        The lock prevents the account from being deleted just before its address is queued, which would then stay.
        """
        try:
            owner = self.users.lock_by_email(normal_email(email))
        except Invalid:
            return
        if owner is not None:
            self._send_link(kind, owner)

    def _send_link(self, kind: str, user: User) -> None:
        if self.mail.queue_account_message(kind, user.id, user.email):
            self.audit.record("user.link_requested", user.id, after={"kind": kind})

    def resend_confirmation(self, user_id: int) -> None:
        """Resend the confirmation e-mail; raises Conflict if the address is confirmed. Locks the user's row."""
        self.users.lock(user_id)
        user = self.accounts.get_user(user_id)
        if user.email_confirmed_at is not None:
            raise Conflict("Your e-mail address is already confirmed.", "EMAIL_CONFIRMED")
        self._send_link(CONFIRMATION, user)

    def confirm(self, user_id: int, email_key: str) -> None:
        """Mark the user's address as confirmed; locks the user's row.

        Raises NotFound if the address has changed or the user is deactivated.
        """
        self.users.lock(user_id)
        user = self._user_with_address(user_id, email_key)
        if user.email_confirmed_at is None:
            self.users.update(user_id, email_confirmed_at=now())
            self.audit.record("user.address_confirmed", user_id, by=user.audited_id)

    def is_confirmed(self, user_id: int, email_key: str) -> bool:
        """Whether this address is already confirmed; raises NotFound if `confirm` would."""
        return self._user_with_address(user_id, email_key).email_confirmed_at is not None

    def _user_with_address(self, user_id: int, email_key: str) -> User:
        user = self.users.get(user_id)
        if user is None or user.deactivated_at is not None or user.email_key != email_key:
            raise NotFound(
                "This link is for an e-mail address that the account no longer has. If you have an account, log in: you"
                " can resend the message from your account page.",
                "USER_NOT_FOUND",
            )
        return user

    def set_alerts(self, user_id: int, wanted: bool) -> None:
        """Turn restock alerts on or off; e-mails about orders are always sent."""
        user = self.users.get(user_id)
        if user is not None and user.wants_alerts != wanted:
            self.users.update(user_id, unsubscribed_at=None if wanted else now())
            values = {"alerts": not wanted}, {"alerts": wanted}
            self.audit.record("user.alerts_changed", user_id, *values, by=user.audited_id)
        if not wanted:
            self.mail.end_alerts(user_id, UNSUBSCRIBED)

    def request_reset(self, email: str) -> None:
        """E-mail the owner of an address, if there is one, a link for a new password; locks their row."""
        self._email_owner(PASSWORD_RESET, email)

    def create_reset(self, user_id: int, email_key: str) -> str:
        """Create the secret of a password reset link, valid once for 30 minutes and stored as a hash.

        Call this when the message is being sent: the secret is then never in the outbox, and a delay does not use up
        its time. Locks the user's row; raises NotFound if `email_key` is no longer their address.
        """
        self.users.lock(user_id)
        self._user_with_address(user_id, email_key)
        token = secrets.token_urlsafe(32)
        self.users.delete_resets(user_id, expired_only=True)
        self.users.add_reset(PasswordReset(token_hash=token_hash(token), user_id=user_id))
        return token

    def check_reset(self, token: str) -> None:
        """Raise NotFound for a link that is unknown, used or expired."""
        if self.users.user_of_reset(token_hash(token)) is None:
            raise _reset_not_found()

    def reset_password(self, token: str, new: str) -> str:
        """Set a new password by a reset link; ends all the user's logins, API tokens and other reset links.

        Returns the user's address, which is now confirmed. Locks the user's row, so that no login with the old
        password can slip in. Raises Invalid for a bad password, which does not use up the link, and NotFound for a
        link that is used or too old.
        """
        if problem := problem_in_password(new):
            raise Invalid(problem, "new")
        link = token_hash(token)
        user_id = self.users.user_of_reset(link)
        if user_id is None or not self.authentication.lock_active(user_id) or self.users.use_reset(link) is None:
            raise _reset_not_found()
        self.users.delete_resets(user_id)
        self.accounts.end_access(user_id)
        self.users.update(user_id, password_hash=hash_password(new))
        user = self.accounts.get_user(user_id)
        notify(self.mail, user, PASSWORD_CHANGED)
        if user.email_confirmed_at is None:
            self.users.update(user_id, email_confirmed_at=now())
        self.audit.record("user.password_reset", user_id, by=user.audited_id)
        return user.email


def _reset_not_found() -> NotFound:
    return NotFound(
        "This link has been used, is older than 30 minutes or is incomplete. Ask for a new one.",
        "RESET_NOT_FOUND",
    )
