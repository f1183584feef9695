"""Who you are: registration, logins, passwords, tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication, Identity, new_token, token_hash
from bookshop.accounts.devices import storable
from bookshop.accounts.emails import normal_email
from bookshop.accounts.models import CUSTOMER, TOKEN_NAME_MAX, USER_AGENT_MAX, ApiToken, LoginSession, User
from bookshop.accounts.passwords import hash_password, needs_rehash, password_matches, problem_in_password
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.scopes import chosen_scopes
from bookshop.idempotency.repository import SentFormRepository
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Conflict, Invalid, NotAuthenticated, NotFound, WrongPassword
from bookshop.kit.text import EMAIL_MAX, problem_in, tidy
from bookshop.mail.models import CONFIRMATION
from bookshop.mail.service import MailService

MOST_TOKENS = 20
DAYS_MAX = 3650
EMAIL_TAKEN = "EMAIL_TAKEN"
SHOWN_FOR = timedelta(minutes=1)  # a new token, to a form that is sent twice
WRONG_LOGIN = "E-mail address and password do not fit together."


class CheckedPassword(NamedTuple):
    """A user whose password fitted this hash; plain values, which no rollback takes back."""

    user_id: int
    password_hash: str


class AccountService:
    """All about accounts; never commits. Closing and exporting one is PeopleService's."""

    def __init__(self, session: Session, authentication: Authentication, mail: MailService, session_days: int) -> None:
        self.session = session
        self.authentication = authentication
        self.mail = mail
        self.users = UserRepository(session)
        self.forms = SentFormRepository(session)
        self.session_days, self.lifetime = session_days, timedelta(days=session_days)

    def register(self, email: str, password: str, role: str = CUSTOMER, *, confirmed: bool = True) -> User:
        """Create a user; raises Invalid for a bad address or password, Conflict if the address is taken.

        `confirmed` says that the caller knows whose address it is; see MailboxService.sign_up for who does not.
        """
        address = normal_email(email)
        if problem := problem_in_password(password):
            raise Invalid(problem, "password")
        user = User(
            email=address,
            email_key=address.casefold(),
            password_hash=hash_password(password),
            role=role,
            email_confirmed_at=now() if confirmed else None,
        )
        try:
            with self.session.begin_nested():
                self.users.add(user)
        except IntegrityError:
            raise Conflict("There is an account with this e-mail address. Please log in.", EMAIL_TAKEN) from None
        return user

    def check_password(self, email: str, password: str) -> CheckedPassword:
        """Find the active user whom this address and password fit, and the hash that it was checked against.

        Raises Invalid, with the same words and after the same time whether the address is known or not.
        """
        user = self._find(email)
        if not password_matches(user.password_hash if user else None, password):
            raise WrongPassword(WRONG_LOGIN)
        if user is None or user.deactivated_at is not None:
            raise WrongPassword(WRONG_LOGIN)
        return CheckedPassword(user.id, user.password_hash)

    def log_in(
        self, checked: CheckedPassword, password: str, user_agent: str | None = None, form: str = ""
    ) -> Identity:
        """Open a login, on a device that calls itself `user_agent`, for a user whose password was just checked.

        The same `form`, sent twice, opens one. Locks the form and the user's row: a deactivation or a change of the
        password at the same moment either ends this login or is seen here, which raises Invalid.
        """
        login_id = secrets.token_urlsafe(32)
        first = self._login_by_form(form, checked.user_id, login_id) if form else None
        self.users.lock(checked.user_id)
        user = self.users.get(checked.user_id)
        if user is None or user.deactivated_at is not None or user.password_hash != checked.password_hash:
            raise WrongPassword(WRONG_LOGIN)
        if first is not None:
            return Identity(user.id, user.email, user.role, first)
        if needs_rehash(user.password_hash):
            self.users.update(user.id, password_hash=hash_password(password))
        self.users.end_logins(user.id, before=now() - self.lifetime)
        self.users.add_login(login_id, user.id, storable(user_agent, USER_AGENT_MAX))
        return Identity(user.id, user.email, user.role, login_id)

    def _login_by_form(self, form: str, user_id: int, login_id: str) -> str | None:
        """The login that this form opened before, if it is open; else the form is claimed for `login_id`."""
        key = token_hash(f"login {user_id} {form}")
        if self.forms.claim(key, user_id, login_id):
            return None
        row = self.forms.get(key)
        return row[0] if row and row[0] and self.authentication.by_login(row[0], self.session_days) else None

    def mark(self, email: str, secret: str) -> str:
        """Stands for the account with this address and for its password; an address without an account has one, too."""
        user = self._find(email)
        account = f"{user.id} {user.password_hash}" if user else f"no account: {email}"
        return hmac.new(secret.encode(), f"mark of {account}".encode(), hashlib.sha256).hexdigest()[:32]

    def log_out(self, login_id: str) -> None:
        """End this login, on this device only."""
        self.users.end_login(login_id)

    def list_logins(self, user_id: int) -> Sequence[LoginSession]:
        """Where the user is logged in, newest first."""
        return self.users.list_logins(user_id, since=now() - self.lifetime)

    def end_other_logins(self, user_id: int, login_id: str | None) -> int:
        """Log the user out everywhere but there; returns how many logins that ended."""
        self.users.end_logins(user_id, before=now() - self.lifetime)
        return self.users.end_logins(user_id, but=login_id)

    def change_password(self, user_id: int, current: str, new: str, *, keep_login: str | None) -> None:
        """Change the password and end all other logins; raises Invalid for a wrong current or a bad new one."""
        self.lock_with_password(user_id, current)
        if problem := problem_in_password(new):
            raise Invalid(problem, "new")
        self.users.update(user_id, password_hash=hash_password(new))
        self.users.delete_resets(user_id)
        self.users.end_logins(user_id, but=keep_login)

    def change_email(self, user_id: int, email: str, password: str) -> str:
        """Change the address; returns it in the form in which it is kept.

        Another address must be confirmed anew; what is queued for the old one goes there. Raises Invalid for a bad
        address or a wrong password, Conflict if somebody else has the address.
        """
        address = normal_email(email)
        former = self.lock_with_password(user_id, password).email_key
        try:
            with self.session.begin_nested():
                self.users.update(user_id, email=address, email_key=address.casefold())
        except IntegrityError:
            raise Conflict(
                "Another account has this e-mail address. Please enter a different one.", EMAIL_TAKEN
            ) from None
        self.mail.move(user_id, address)
        if address.casefold() != former:
            self.users.update(user_id, email_confirmed_at=None)
            self.users.delete_resets(user_id)
            self.mail.queue_of_account(CONFIRMATION, user_id, address)
        return address

    def list_users(self, q: str, page: int, size: int) -> Page[User]:
        """The users with this part of an e-mail address, newest first; those who deleted their account are left out."""
        part = tidy(q)
        if len(part) > EMAIL_MAX or problem_in(part):
            return Page([], 0, page, size)
        return self.users.search(part, page, size)

    def get_user(self, user_id: int) -> User:
        """The user; raises NotFound, also if the account is deleted."""
        user = self.users.get(user_id)
        if user is None or user.deleted_at is not None:
            raise NotFound("There is no such user.", "USER_NOT_FOUND")
        return user

    def user_by_email(self, email: str) -> User:
        """The user with this address, without regard to case; raises NotFound."""
        user = self._find(email)
        if user is None:
            raise NotFound("There is no user with this e-mail address.", "USER_NOT_FOUND")
        return user

    def reactivate(self, user_id: int) -> None:
        """Let a deactivated user log in again; what was cancelled stays so. Raises NotFound."""
        self.users.lock(user_id)
        self.get_user(user_id)
        self.users.update(user_id, deactivated_at=None)

    def create_token(
        self,
        user_id: int,
        name: str,
        scopes: Collection[str] | None = None,
        days: int | None = None,
        token: str | None = None,
    ) -> str:
        """Make an API token for a user and return it: it is stored as a hash, so this is the only time it is seen.

        It may do what `scopes` say, or all that the user may; it expires in so many `days`, or never. Locks the user's
        row, which makes the limit exact. Who must get the same one when asking twice, brings a `token` as `new_token`
        makes them. Raises NotFound, Invalid for a bad name or scope, or Conflict if the user is deactivated or has the
        most tokens already, or was shown this one before.
        """
        owner = self.authentication.lock_active(user_id)
        if not owner:
            raise Conflict(f"{self.get_user(user_id).email} is deactivated.", "USER_DEACTIVATED")
        if token and (made := self.users.own_token(user_id, token_hash(token))):
            if made.revoked_at is not None or made.created_at < now() - SHOWN_FOR:
                raise Conflict("This token was created before, and is shown only once. Please create another one.")
            return token
        if not 1 <= len(name) <= TOKEN_NAME_MAX or problem_in(name):
            raise Invalid(f"The name of a token needs 1 to {TOKEN_NAME_MAX} characters.", "name")
        if self.users.count_tokens(user_id) >= MOST_TOKENS:
            raise Conflict(
                f"There are {MOST_TOKENS} tokens already, the most at a time. Revoke one first.", "TOKEN_LIMIT_REACHED"
            )
        token, may = token or new_token(secrets.token_bytes(32)), chosen_scopes(owner.role, scopes)
        expires_at = now() + timedelta(days=days) if days else None
        made = ApiToken(user_id=user_id, name=name, token_hash=token_hash(token), scopes=may, expires_at=expires_at)
        self.users.add_token(made)
        return token

    def revoke_token(self, user_id: int, token_id: int) -> None:
        """Revoke one of the user's own tokens; raises NotFound if there is none or it is revoked."""
        if not self.users.revoke_tokens(user_id, token_id=token_id):
            raise NotFound("There is no such token among yours; perhaps it is revoked already.", "TOKEN_NOT_FOUND")

    def revoke_tokens(self, user_id: int, name: str) -> int:
        """Revoke the user's tokens of this name; returns how many there were."""
        return self.users.revoke_tokens(user_id, name=name)

    def notified_seen(self, user_id: int) -> int:
        """How many notified pre-bookings the user had looked at by the last logout."""
        user = self.users.get(user_id)
        return user.notified_seen if user else 0

    def remember_notified_seen(self, user_id: int, count: int) -> None:
        """Remember how many notified pre-bookings the user has looked at, unless more are known."""
        if count > self.notified_seen(user_id):
            self.users.update(user_id, notified_seen=count)

    def lock_with_password(self, user_id: int, password: str) -> User:
        """Lock the row of the user whose password this is; raises Invalid, or NotAuthenticated if deactivated."""
        if not self.authentication.lock_active(user_id):
            raise NotAuthenticated("Please log in first.")
        user = self.get_user(user_id)
        if not password_matches(user.password_hash, password):
            raise WrongPassword("This is not your current password.", "current")
        return user

    def _find(self, email: str) -> User | None:
        try:
            return self.users.get_by_email(normal_email(email))
        except Invalid:
            return None
