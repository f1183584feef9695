"""Find the user behind a request by login or API token, in one query; lock users who are active."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row, Table, bindparam, or_, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import CUSTOMER, OWNER, STAFF_ROLES, ApiToken, LoginSession, User
from bookshop.kit.database import UtcDateTime, is_sqlite, now, table_of
from bookshop.kit.exceptions import NotAuthenticated

TOKEN_PREFIX = "bookshop_"  # noqa: S105 - lets secret scanners recognise our tokens
TOKEN_USE_INTERVAL = timedelta(hours=1)
SEEN_INTERVAL = timedelta(minutes=10)
FRESH_FOR = timedelta(minutes=15)  # how long a password, code or link that was used allows sensitive actions

# Every request looks up its user, so these Core statements are built once: 176 µs instead of 372 for a token,
# 139 instead of 246 for a lock (bench/statements.py).
users, logins, tokens = table_of(User), table_of(LoginSession), table_of(ApiToken)
ACTIVE = select(users.c.id, users.c.email, users.c.role).where(users.c.deactivated_at.is_(None))
BY_LOGIN = (
    ACTIVE.add_columns(
        users.c.password_hash.is_not(None),
        users.c.unsubscribed_at.is_not(None),
        users.c.last_seen_at,
        logins.c.confirmed_at,
        logins.c.second_factor,
        logins.c.link_id.is_not(None),
    )
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
LOCK_ROLE = (
    select(users.c.role)
    .where(users.c.id == bindparam("user"), users.c.deactivated_at.is_(None))
    .with_for_update(read=True)
)


@dataclass(frozen=True)
class Identity:
    """The user behind a request, authenticated by a login (`login_id`) or by an API token (`token_id`).

    `scopes` is what the token may do; None for a login, which may do everything. `unrecorded_token_id` is the token's
    id if its use has not been recorded for an hour. The remaining fields are set for logins only: `confirmed_at` is
    when a password, a code or a link was last used, `second_factor` whether the login passed the second factor,
    `by_link` whether it has used a link, `seen_at` when a member of staff was last recorded as seen.
    """

    user_id: int
    email: str
    role: str
    login_id: str | None = None
    token_id: int | None = None
    unrecorded_token_id: int | None = None
    scopes: frozenset[str] | None = None
    has_password: bool = False
    unsubscribed: bool = False
    confirmed_at: datetime | None = None
    second_factor: bool = False
    by_link: bool = False
    seen_at: datetime | None = None

    is_authenticated = True
    is_active = True
    is_anonymous = False

    @property
    def is_staff(self) -> bool:
        """Whether the user is a member of staff."""
        return self.role in STAFF_ROLES

    @property
    def is_owner(self) -> bool:
        """Whether the user is an owner, who manages staff."""
        return self.role == OWNER

    @property
    def is_customer(self) -> bool:
        """Whether the user is a customer."""
        return self.role == CUSTOMER

    @property
    def is_seen(self) -> bool:
        """Whether nothing has to be recorded: this is no member of staff, or one who was seen a moment ago."""
        return not self.is_staff or (self.seen_at is not None and self.seen_at > now() - SEEN_INTERVAL)

    @property
    def is_fresh(self) -> bool:
        """Whether a password, a code or a link was used in this login within the last 15 minutes."""
        return is_fresh(self.confirmed_at)

    @property
    def needs_password(self) -> bool:
        """Whether a change of the account needs the password; else a fresh login is enough."""
        return self.has_password and not (self.by_link and self.is_fresh)

    def may(self, scope: str) -> bool:
        """Whether the login or token has this scope."""
        return self.scopes is None or scope in self.scopes

    @property
    def gets_alerts(self) -> bool:
        """Whether the user gets an e-mail when a reserved book is back in stock."""
        return not self.unsubscribed

    def get_id(self) -> str | None:
        """Return what Flask-Login stores in the cookie: the login's random id, so deleting its row ends the login."""
        return self.login_id


class Authentication:
    """Finds and locks the user behind a request; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def by_login(self, login_id: str, days: int) -> Identity | None:
        """Return the active user of a login that is at most `days` old; None if there is none."""
        values = {"login": login_id, "since": now() - timedelta(days=days)}
        row = self.session.connection().execute(BY_LOGIN, values).first()
        if row is None:
            return None
        user_id, email, role, has_password, unsubscribed, seen_at, confirmed_at, second_factor, by_link = row
        return Identity(
            user_id,
            email,
            role,
            login_id,
            has_password=has_password,
            unsubscribed=unsubscribed,
            confirmed_at=confirmed_at,
            second_factor=second_factor,
            by_link=by_link,
            seen_at=seen_at,
        )

    def by_token(self, token: str) -> Identity | None:
        """Return the active user of an API token; None if it is unknown, revoked or expired."""
        values = {"token_hash": token_hash(token), "now": now()}
        row = self.session.connection().execute(BY_TOKEN, values).first()
        if row is None:
            return None
        user_id, email, role, token_id, last_used_at, scopes = row
        is_recorded = last_used_at is not None and last_used_at > now() - TOKEN_USE_INTERVAL
        unrecorded_token_id = None if is_recorded else token_id
        scope_names = frozenset(scopes.split())
        return Identity(
            user_id, email, role, token_id=token_id, unrecorded_token_id=unrecorded_token_id, scopes=scope_names
        )

    def record_token_use(self, token_id: int) -> None:
        """Record that a token is in use; see `_record`."""
        self._record(tokens, token_id, "last_used_at")

    def record_seen(self, user_id: int) -> None:
        """Record that a member of staff is there; see `_record`."""
        self._record(users, user_id, "last_seen_at")

    def _record(self, table: Table, row_id: int, column: str) -> None:
        """Write the current time into a row, unless it is locked.

        Never waits: raises OperationalError if another connection is writing to the SQLite database.
        """
        unlocked = select(table.c.id).where(table.c.id == row_id).with_for_update(key_share=True, skip_locked=True)
        statement = update(table).where(table.c.id == unlocked.scalar_subquery()).values({column: now()})
        connection = self.session.connection()
        if not is_sqlite(self.session):
            connection.execute(statement)
            return
        busy_timeout = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        try:
            connection.execute(statement)
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={busy_timeout}")

    def lock_active(self, user_id: int) -> Row[int, str, str] | None:
        """Lock the row of a user who is not deactivated, until the transaction ends.

        Returns the user's id, e-mail address and role; None if there is no such user.
        """
        return self.session.connection().execute(LOCK_ACTIVE, {"user": user_id}).first()

    def lock_login(self, me: Identity) -> Row[int, str, str]:
        """Lock the row of a logged-in user and return it like `lock_active`.

        Raises NotAuthenticated if the login has just been ended, for example by a new password.
        """
        user = self.lock_active(me.user_id)
        login = select(logins.c.id).where(logins.c.id == me.login_id)
        if user is None or self.session.connection().scalar(login) is None:
            raise NotAuthenticated("Please log in first.")
        return user

    def lock_role(self, user_id: int) -> str | None:
        """Return the role of an active user, which cannot change until the transaction ends; None if there is none.

        Takes a shared lock: simultaneous requests of the same member of staff do not wait for each other.
        """
        return self.session.connection().scalar(LOCK_ROLE, {"user": user_id})


def is_fresh(confirmed_at: datetime | None) -> bool:
    """Whether a login that was confirmed then still allows sensitive actions."""
    return confirmed_at is not None and confirmed_at > now() - FRESH_FOR


def new_login_id() -> str:
    """Return an unguessable id for a login."""
    return secrets.token_urlsafe(32)


def new_token(random: bytes) -> str:
    """Return an API token made from 32 random bytes."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(random).decode().rstrip("=")


def token_hash(token: str) -> str:
    """Hash a token with SHA-256, which is enough: 256 random bits cannot be guessed, so no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
