"""SQL about users, their logins and tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import STAFF, ApiToken, LoginSession, PasswordReset, User
from bookshop.kit.database import Page, later, now, paginate

RESET_IS_GOOD_FOR = 30 * 60  # seconds
# By the database's clock: the worker that makes a link and the server that is shown it may disagree about the time.
IS_GOOD = PasswordReset.created_at >= later(-RESET_IS_GOOD_FOR)


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

    def search(self, part: str, page: int, size: int) -> Page[User]:
        """The users with this in their addresses, without regard to case, newest first; none who are deleted."""
        found = select(User).where(User.deleted_at.is_(None), User.email_key.contains(part.casefold(), autoescape=True))
        return paginate(self.session, found.order_by(User.id.desc()), page, size)

    def lock(self, user_id: int) -> None:
        """Lock the user's row until the transaction ends: no reservation, login or deactivation gets between."""
        self.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))

    def lock_by_email(self, email: str) -> User | None:
        """Lock the row of the user with this address until the transaction ends; None if nobody has it by then."""
        owner = select(User).where(User.email_key == email.casefold()).with_for_update(key_share=True)
        return self.session.scalar(owner.execution_options(populate_existing=True))

    def lock_with_staff(self, user_id: int) -> Sequence[int]:
        """Lock the user's row and, if it is one of staff, those of all active staff; returns the ids, in order.

        Who locks them after another has left the staff no longer gets that one.
        """
        is_staff = select(User.role).where(User.id == user_id).scalar_subquery() == STAFF
        colleagues = is_staff & (User.role == STAFF) & User.deactivated_at.is_(None)
        locked = select(User.id).where((User.id == user_id) | colleagues).order_by(User.id)
        return self.session.scalars(locked.with_for_update(key_share=True)).all()

    def add(self, user: User) -> None:
        """Write a new user; raises IntegrityError if the address is taken."""
        self.session.add(user)
        self.session.flush()

    def update(self, user_id: int, **values: Any) -> None:
        """Write fields of a user; objects that the session holds keep what they had."""
        self.session.execute(update(User).where(User.id == user_id).values(**values))

    def add_login(self, login_id: str, user_id: int, user_agent: str | None) -> None:
        """Write a login, whose id must be unguessable."""
        self.session.add(LoginSession(id=login_id, user_id=user_id, user_agent=user_agent))

    def list_logins(self, user_id: int, since: datetime | None = None) -> Sequence[LoginSession]:
        """The user's logins, newest first; with `since` none that are older."""
        own = select(LoginSession).where(LoginSession.user_id == user_id)
        if since is not None:
            own = own.where(LoginSession.created_at >= since)
        return self.session.scalars(own.order_by(LoginSession.created_at.desc(), LoginSession.id)).all()

    def end_login(self, login_id: str) -> None:
        """Log out this one login."""
        self.session.execute(delete(LoginSession).where(LoginSession.id == login_id))

    def end_logins(self, user_id: int, *, but: str | None = None, before: datetime | None = None) -> int:
        """Log the user out everywhere, or everywhere but there, or where the login is older; returns how many."""
        ended = delete(LoginSession).where(LoginSession.user_id == user_id)
        if but is not None:
            ended = ended.where(LoginSession.id != but)
        if before is not None:
            ended = ended.where(LoginSession.created_at < before)
        result: Any = self.session.execute(ended)
        return int(result.rowcount)

    def add_token(self, token: ApiToken) -> None:
        """Write a new token."""
        self.session.add(token)

    def list_tokens(self, user_id: int, *, revoked: bool = False) -> Sequence[ApiToken]:
        """The user's tokens, newest first; with `revoked` those too that are. Expired ones are among them."""
        own = select(ApiToken).where(ApiToken.user_id == user_id).order_by(ApiToken.id.desc())
        return self.session.scalars(own if revoked else own.where(ApiToken.revoked_at.is_(None))).all()

    def own_token(self, user_id: int, token_hash: str) -> ApiToken | None:
        """The user's token with this hash, even if it is revoked."""
        return self.session.scalar(
            select(ApiToken).where(ApiToken.user_id == user_id, ApiToken.token_hash == token_hash)
        )

    def count_tokens(self, user_id: int) -> int:
        """How many tokens of the user are not revoked."""
        own = select(func.count()).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
        return self.session.scalar(own) or 0

    def revoke_tokens(self, user_id: int, *, token_id: int | None = None, name: str | None = None) -> int:
        """Revoke the user's tokens, or the one with this id, or those of one name; returns how many."""
        revoked = update(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
        if token_id is not None:
            revoked = revoked.where(ApiToken.id == token_id)
        if name is not None:
            revoked = revoked.where(ApiToken.name == name)
        result: Any = self.session.execute(revoked.values(revoked_at=now()))
        return int(result.rowcount)

    def delete_tokens(self, user_id: int) -> None:
        """Forget the user's tokens."""
        self.session.execute(delete(ApiToken).where(ApiToken.user_id == user_id))

    def add_reset(self, reset: PasswordReset) -> None:
        """Write a new link for a new password."""
        self.session.add(reset)

    def user_of_reset(self, token_hash: str) -> int | None:
        """Whose link for a new password this is, if it is not too old."""
        return self.session.scalar(select(PasswordReset.user_id).where(PasswordReset.token_hash == token_hash, IS_GOOD))

    def use_reset(self, token_hash: str) -> int | None:
        """Use up a link for a new password; returns whose it was, None if another did so first or it is too old."""
        used = delete(PasswordReset).where(PasswordReset.token_hash == token_hash, IS_GOOD)
        return self.session.scalar(used.returning(PasswordReset.user_id))

    def delete_resets(self, user_id: int, *, too_old: bool = False) -> None:
        """End all the user's links for a new password, or forget those that are too old."""
        ended = delete(PasswordReset).where(PasswordReset.user_id == user_id)
        self.session.execute(ended.where(~IS_GOOD) if too_old else ended)
