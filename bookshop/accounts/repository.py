"""SQL about users, their logins and tokens."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import ApiToken, LoginSession, User
from bookshop.database import Base, now

# Every request asks who it is: these statements are made once, of tables, and sent on the connection.
users, logins, tokens = (Base.metadata.tables[name] for name in ("users", "login_sessions", "api_tokens"))
ACTIVE = select(users.c.id, users.c.email, users.c.role).where(users.c.deactivated_at.is_(None))
BY_LOGIN = ACTIVE.join(logins, logins.c.user_id == users.c.id).where(
    logins.c.id == bindparam("login"), logins.c.created_at >= bindparam("since")
)
BY_TOKEN = ACTIVE.join(tokens, tokens.c.user_id == users.c.id).where(
    tokens.c.token_hash == bindparam("token_hash"), tokens.c.revoked_at.is_(None)
)
LOCK_ACTIVE = ACTIVE.where(users.c.id == bindparam("user")).with_for_update(key_share=True)


class UserRepository:
    """Finds, locks and writes users, their logins and tokens; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, user_id: int) -> User | None:
        """The user as the database has it now."""
        return self.session.get(User, user_id, populate_existing=True)

    def get_by_email(self, email: str) -> User | None:
        """The user with this address, without regard to case."""
        return self.session.scalar(
            select(User).where(User.email_key == email.casefold()).execution_options(populate_existing=True)
        )

    def lock(self, user_id: int) -> None:
        """Lock the user's row until the transaction ends: no reservation, login or deactivation gets between."""
        self.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))

    def lock_active(self, user_id: int) -> bool:
        """Lock the row of a user who is not deactivated until the transaction ends; False if there is none."""
        return self.session.connection().scalar(LOCK_ACTIVE, {"user": user_id}) is not None

    def add(self, user: User) -> None:
        """Write a new user; raises IntegrityError if the address is taken."""
        self.session.add(user)
        self.session.flush()

    def update(self, user_id: int, **values: Any) -> None:
        """Write fields of a user; objects that the session holds keep what they had."""
        self.session.execute(update(User).where(User.id == user_id).values(**values))

    def add_login(self, login_id: str, user_id: int) -> None:
        """Write a login, whose id must be unguessable."""
        self.session.add(LoginSession(id=login_id, user_id=user_id))

    def end_login(self, login_id: str) -> None:
        """Log out this one login."""
        self.session.execute(delete(LoginSession).where(LoginSession.id == login_id))

    def end_logins(self, user_id: int, *, but: str | None = None, before: datetime | None = None) -> None:
        """Log the user out everywhere, or everywhere but there, or where the login is older than `before`."""
        ended = delete(LoginSession).where(LoginSession.user_id == user_id)
        if but is not None:
            ended = ended.where(LoginSession.id != but)
        if before is not None:
            ended = ended.where(LoginSession.created_at < before)
        self.session.execute(ended)

    def identity_by_login(self, login_id: str, since: datetime) -> Row[int, str, str] | None:
        """Who is logged in with this id, if the login is not older than `since` and the user is active."""
        return self.session.connection().execute(BY_LOGIN, {"login": login_id, "since": since}).first()

    def identity_by_token(self, token_hash: str) -> Row[int, str, str] | None:
        """Whose token this is, if it is not revoked and the user is active."""
        return self.session.connection().execute(BY_TOKEN, {"token_hash": token_hash}).first()

    def add_token(self, token: ApiToken) -> None:
        """Write a new token."""
        self.session.add(token)

    def revoke_tokens(self, user_id: int, name: str | None = None) -> int:
        """Revoke the user's tokens, or those of one name; returns how many."""
        revoked = update(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
        if name is not None:
            revoked = revoked.where(ApiToken.name == name)
        result: Any = self.session.execute(revoked.values(revoked_at=now()))
        return int(result.rowcount)
