"""Which user makes a request: found by its login or its token, in one query, and locked while they are active."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Row, bindparam, or_, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import CUSTOMER, STAFF, ApiToken, LoginSession, User
from bookshop.kit.database import UtcDateTime, is_sqlite, now, table_of

TOKEN_PREFIX = "bookshop_"  # noqa: S105 - lets scanners for leaked secrets recognise ours
USE_IS_NOTED_FOR = timedelta(hours=1)

# Every request looks up its user. Made once, of tables: 176 µs for a token instead of 372, 139 to lock instead of 246
# (bench/statements.py).
users, logins, tokens = table_of(User), table_of(LoginSession), table_of(ApiToken)
ACTIVE = select(users.c.id, users.c.email, users.c.role).where(users.c.deactivated_at.is_(None))
BY_LOGIN = (
    ACTIVE.add_columns(users.c.email_confirmed_at.is_not(None), users.c.unsubscribed_at.is_not(None))
    .join(logins, logins.c.user_id == users.c.id)
    .where(logins.c.id == bindparam("login"), logins.c.created_at >= bindparam("since"))
)
BY_TOKEN = (
    ACTIVE.add_columns(tokens.c.id.label("token_id"), tokens.c.last_used_at, tokens.c.scopes)
    .join(tokens, tokens.c.user_id == users.c.id)
    .where(tokens.c.token_hash == bindparam("token_hash"), tokens.c.revoked_at.is_(None))
    .where(or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > bindparam("now", type_=UtcDateTime)))
)
LOCK_ACTIVE = ACTIVE.where(users.c.id == bindparam("user")).with_for_update(key_share=True)


@dataclass(frozen=True)
class Identity:
    """The user who makes a request, and the login (or, for a token, none) that proves it.

    `token_id` is the token that proves it, `scopes` what it may do (None for a login, which may do everything), and
    `token_to_note` the token again, if its use was not written down for an hour. Whether the address is confirmed, and
    whether the user wants no e-mail about reserved books, is told of a login only.
    """

    user_id: int
    email: str
    role: str
    login_id: str | None = None
    token_id: int | None = None
    token_to_note: int | None = None
    scopes: frozenset[str] | None = None
    email_confirmed: bool = False
    unsubscribed: bool = False

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

    def may(self, scope: str) -> bool:
        """Whether the login or token lets its user do what this scope is for."""
        return self.scopes is None or scope in self.scopes

    @property
    def gets_alerts(self) -> bool:
        """Whether e-mail about reserved books that are back goes out to this user."""
        return self.email_confirmed and not self.unsubscribed

    def get_id(self) -> str | None:
        """What Flask-Login keeps in the cookie: the login's random id, so that deleting its row ends it."""
        return self.login_id


class Authentication:
    """Finds the user who makes a request, and locks their row; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def by_login(self, login_id: str, days: int) -> Identity | None:
        """The user who logged in with this id, so many days ago at most; None if the login or the user is gone."""
        values = {"login": login_id, "since": now() - timedelta(days=days)}
        row = self.session.connection().execute(BY_LOGIN, values).first()
        if row is None:
            return None
        user_id, email, role, email_confirmed, unsubscribed = row
        return Identity(user_id, email, role, login_id, email_confirmed=email_confirmed, unsubscribed=unsubscribed)

    def by_token(self, token: str) -> Identity | None:
        """Whose API token this is, and what it may do; None if it is unknown, revoked or expired."""
        values = {"token_hash": token_hash(token), "now": now()}
        row = self.session.connection().execute(BY_TOKEN, values).first()
        if row is None:
            return None
        user_id, email, role, token_id, last_used_at, scopes = row
        is_noted = last_used_at is not None and last_used_at > now() - USE_IS_NOTED_FOR
        to_note, may = None if is_noted else token_id, frozenset(scopes.split())
        return Identity(user_id, email, role, token_id=token_id, token_to_note=to_note, scopes=may)

    def note_token_use(self, token_id: int) -> None:
        """Write down that a token is in use, unless somebody else holds its row.

        Waits for nobody: raises OperationalError where another writes to an SQLite database at this moment.
        """
        free = select(tokens.c.id).where(tokens.c.id == token_id).with_for_update(key_share=True, skip_locked=True)
        note = update(tokens).where(tokens.c.id == free.scalar_subquery()).values(last_used_at=now())
        connection = self.session.connection()
        if not is_sqlite(self.session):
            connection.execute(note)
            return
        patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        try:
            connection.execute(note)
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={patience}")

    def lock_active(self, user_id: int) -> Row[int, str, str] | None:
        """Lock the row of a user who is not deactivated until the transaction ends; None if there is none.

        Returns the user's id, e-mail address and role.
        """
        return self.session.connection().execute(LOCK_ACTIVE, {"user": user_id}).first()


def new_token(random: bytes) -> str:
    """An API token made of 32 bytes that nobody can guess."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(random).decode().rstrip("=")


def token_hash(token: str) -> str:
    """SHA-256 is enough here: the token has 256 random bits, so there is nothing to guess slowly."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
