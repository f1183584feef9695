"""Who you are: registration, logins, passwords, tokens, deactivation."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.accounts.models import CUSTOMER, EMAIL_MAX, STAFF, ApiToken, User
from bookshop.accounts.passwords import hash_password, needs_rehash, password_matches, problem_in_password
from bookshop.accounts.repository import UserRepository
from bookshop.database import now
from bookshop.exceptions import Conflict, Invalid, NotFound
from bookshop.prebookings.repository import PreBookRepository
from bookshop.text import problem_in, tidy

TOKEN_PREFIX = "bookshop_"  # noqa: S105 - lets scanners for leaked secrets recognise ours
WRONG_LOGIN = "E-mail address and password do not fit together."


@dataclass(frozen=True)
class Identity:
    """Who asks: the user, and the login (or, for a token, none) that proves it."""

    user_id: int
    email: str
    role: str
    login_id: str | None = None

    is_authenticated = True
    is_active = True
    is_anonymous = False

    @property
    def is_staff(self) -> bool:
        """Whether this is one of the shop's staff."""
        return self.role == STAFF

    @property
    def is_customer(self) -> bool:
        """Whether this is a customer."""
        return self.role == CUSTOMER

    def get_id(self) -> str | None:
        """What Flask-Login keeps in the cookie: the login's random id, so that deleting its row ends it."""
        return self.login_id


class Checked(NamedTuple):
    """A user whose password fitted this hash; plain values, which no rollback takes back."""

    user_id: int
    password_hash: str


class AccountService:
    """All about accounts; never commits."""

    def __init__(self, session: Session, session_days: int = 30) -> None:
        self.session = session
        self.users = UserRepository(session)
        self.prebookings = PreBookRepository(session)
        self.lifetime = timedelta(days=session_days)

    def register(self, email: str, password: str, role: str = CUSTOMER) -> User:
        """Create a user; raises Invalid for a bad address or password, Conflict if the address is taken."""
        address = normal_email(email)
        if problem := problem_in_password(password):
            raise Invalid(problem, "password")
        user = User(email=address, email_key=address.casefold(), password_hash=hash_password(password), role=role)
        try:
            with self.session.begin_nested():
                self.users.add(user)
        except IntegrityError:
            raise Conflict("There is an account with this e-mail address. Please log in.", "EMAIL_TAKEN") from None
        return user

    def check_password(self, email: str, password: str) -> Checked:
        """Find the active user whom this address and password fit, and the hash that it was checked against.

        Raises Invalid, with the same words and after the same time whether the address is known or not.
        """
        user = self._find(email)
        if not password_matches(user.password_hash if user else None, password):
            raise Invalid(WRONG_LOGIN)
        if user is None or user.deactivated_at is not None:
            raise Invalid(WRONG_LOGIN)
        return Checked(user.id, user.password_hash)

    def log_in(self, checked: Checked, password: str) -> Identity:
        """Open a login for a user whose password was just checked.

        Locks the user's row: a deactivation or a change of the password at the same moment either ends this login
        or is seen here, which raises Invalid.
        """
        self.users.lock(checked.user_id)
        user = self.users.get(checked.user_id)
        if user is None or user.deactivated_at is not None or user.password_hash != checked.password_hash:
            raise Invalid(WRONG_LOGIN)
        if needs_rehash(user.password_hash):
            self.users.update(user.id, password_hash=hash_password(password))
        self.users.end_logins(user.id, before=now() - self.lifetime)
        login_id = secrets.token_urlsafe(32)
        self.users.add_login(login_id, user.id)
        return Identity(user.id, user.email, user.role, login_id)

    def log_out(self, login_id: str) -> None:
        """End this login, on this device only."""
        self.users.end_login(login_id)

    def identify_login(self, login_id: str) -> Identity | None:
        """Who is logged in with this id; None if the login has ended."""
        row = self.users.identity_by_login(login_id, since=now() - self.lifetime)
        return Identity(*row, login_id) if row else None

    def identify_token(self, token: str) -> Identity | None:
        """Whose API token this is; None if it is unknown or revoked."""
        row = self.users.identity_by_token(_token_hash(token))
        return Identity(*row) if row else None

    def change_password(self, user_id: int, current: str, new: str, *, keep_login: str | None) -> None:
        """Change the password and end all other logins; raises Invalid for a wrong current or a bad new one."""
        self.users.lock(user_id)
        user = self.users.get(user_id)
        if user is None or not password_matches(user.password_hash, current):
            raise Invalid("This is not your current password.", "current")
        if problem := problem_in_password(new):
            raise Invalid(problem, "new")
        self.users.update(user_id, password_hash=hash_password(new))
        self.users.end_logins(user_id, but=keep_login)

    def deactivate(self, email: str) -> int:
        """Deactivate a user: end all logins and tokens, cancel what they wait for; returns how many of these.

        Locks the user, so that no reservation slips in, then the books waited for, as the lock order has it.
        """
        user = self._by_email(email)
        self.users.lock(user.id)
        self.prebookings.lock_books_waited_for(user.id)
        cancelled = self.prebookings.cancel_waiting_by_user(user.id)
        self.users.end_logins(user.id)
        self.users.revoke_tokens(user.id)
        if user.deactivated_at is None:
            self.users.update(user.id, deactivated_at=now())
        return cancelled

    def create_token(self, email: str, name: str) -> str:
        """Make an API token for a user and return it: it is stored as a hash, so this is the only time it is seen."""
        user = self._by_email(email)
        if user.deactivated_at is not None:
            raise Conflict(f"{user.email} is deactivated.", "USER_DEACTIVATED")
        if not 1 <= len(name) <= 100 or problem_in(name):
            raise Invalid("The name of a token needs 1 to 100 characters.", "name")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self.users.add_token(ApiToken(user_id=user.id, name=name, token_hash=_token_hash(token)))
        return token

    def revoke_tokens(self, email: str, name: str) -> int:
        """Revoke the user's tokens of this name; returns how many there were."""
        return self.users.revoke_tokens(self._by_email(email).id, name)

    def notified_seen(self, user_id: int) -> int:
        """How many notified pre-bookings the user had looked at by the last logout."""
        user = self.users.get(user_id)
        return user.notified_seen if user else 0

    def remember_notified_seen(self, user_id: int, count: int) -> None:
        """Remember how many notified pre-bookings the user has looked at, unless more are known."""
        if count > self.notified_seen(user_id):
            self.users.update(user_id, notified_seen=count)

    def _by_email(self, email: str) -> User:
        user = self._find(email)
        if user is None:
            raise NotFound("There is no user with this e-mail address.", "USER_NOT_FOUND")
        return user

    def _find(self, email: str) -> User | None:
        try:
            return self.users.get_by_email(normal_email(email))
        except Invalid:
            return None


def normal_email(email: str) -> str:
    """The address in the form in which it is kept, its domain in small letters; raises Invalid if it is none."""
    if problem := problem_in(email):
        raise Invalid(f"The address {problem}.", "email")
    try:
        address = validate_email(tidy(email), check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise Invalid(f"This is not a complete e-mail address. {error}", "email") from None
    if len(address.casefold()) > EMAIL_MAX:
        raise Invalid("This e-mail address is too long.", "email")
    return address


def _token_hash(token: str) -> str:
    """SHA-256 is enough here: the token has 256 random bits, so there is nothing to guess slowly."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
