"""Who asks: one query for the login or the token of a request."""

from datetime import timedelta

from sqlalchemy.orm import Session

from bookshop.accounts.identity import Identity
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.tokens import token_hash
from bookshop.kit.database import now

USE_IS_NOTED_FOR = timedelta(hours=1)


class Authentication:
    """Finds out who asks; never commits."""

    def __init__(self, session: Session, session_days: int) -> None:
        self.users = UserRepository(session)
        self.lifetime = timedelta(days=session_days)

    def by_login(self, login_id: str) -> Identity | None:
        """Who is logged in with this id; None if the login has ended."""
        row = self.users.identity_by_login(login_id, since=now() - self.lifetime)
        if row is None:
            return None
        user_id, email, role, email_confirmed, unsubscribed = row
        return Identity(user_id, email, role, login_id, email_confirmed=email_confirmed, unsubscribed=unsubscribed)

    def by_token(self, token: str) -> Identity | None:
        """Whose API token this is, and what it may do; None if it is unknown, revoked or expired."""
        row = self.users.identity_by_token(token_hash(token))
        if row is None:
            return None
        user_id, email, role, token_id, last_used_at, scopes = row
        is_noted = last_used_at is not None and last_used_at > now() - USE_IS_NOTED_FOR
        to_note, may = None if is_noted else token_id, frozenset(scopes.split())
        return Identity(user_id, email, role, token_id=token_id, token_to_note=to_note, scopes=may)

    def note_token_use(self, token_id: int) -> None:
        """Write down that a token is in use; waits for nobody, see UserRepository."""
        self.users.note_token_use(token_id)
