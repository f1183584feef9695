"""Queries for users, their logins, second factors and API tokens."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.emails import key_of
from bookshop.accounts.models import (
    OWNER,
    STAFF_ROLES,
    ApiToken,
    LoginLink,
    LoginSession,
    RecoveryCode,
    SecondFactor,
    User,
)
from bookshop.kit.database import Page, now, paginate


class LockedUser(NamedTuple):
    """An active user whose row is locked; `has_access` is False until an invited user has logged in."""

    role: str
    has_access: bool


class UserRepository:
    """Reads, locks and writes users, their logins and tokens; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, user_id: int) -> User | None:
        """Return the user, freshly read from the database."""
        return self.session.get(User, user_id, populate_existing=True)

    def get_by_email(self, email: str) -> User | None:
        """Return the user with this address, ignoring case."""
        return self.session.scalar(
            select(User).where(User.email_key == key_of(email)).execution_options(populate_existing=True)
        )

    def mark_of(self, email_key: str) -> tuple[int | None, str | None]:
        """Return the id and the password hash of the user with this address; Nones, in the same time, if none has."""
        columns = func.max(User.id), func.max(User.password_hash)
        row = self.session.connection().execute(select(*columns).where(User.email_key == email_key)).one()
        return row[0], row[1]

    def emails_of(self, user_ids: Collection[int]) -> Mapping[int, str]:
        """Return the addresses of these users; deleted accounts have a placeholder."""
        rows = self.session.execute(select(User.id, User.email).where(User.id.in_(user_ids)))
        return {row[0]: row[1] for row in rows}

    def search(self, part: str, page: int, size: int) -> Page[User]:
        """Return users whose address contains `part`, ignoring case, newest first, without deleted ones."""
        query = select(User).where(User.deleted_at.is_(None), User.email_key.contains(key_of(part), autoescape=True))
        return paginate(self.session, query.order_by(User.id.desc()), page, size)

    def lock(self, user_id: int) -> None:
        """Lock the user's row until the transaction ends: no reservation, login or deactivation can slip in."""
        self.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))

    def lock_by_email(self, email: str) -> User | None:
        """Lock the user with this address until the transaction ends; None if no user has it once locked."""
        owner = select(User).where(User.email_key == key_of(email)).with_for_update(key_share=True)
        return self.session.scalar(owner.execution_options(populate_existing=True))

    def lock_with_owners(self, user_id: int | None, by: int | None = None) -> Mapping[int, LockedUser]:
        """Lock the rows of the user, of `by` and, if the user is an owner, of all active owners, in id order.

        Returns those who are active, by id: someone who was deactivated while this waited is not among them.
        """
        is_owner = select(User.role).where(User.id == user_id).scalar_subquery() == OWNER
        owners = is_owner & (User.role == OWNER) & User.deactivated_at.is_(None)
        has_access = ~User.never_confirmed & (User.password_hash.is_not(None) | User.last_login_at.is_not(None))
        columns = User.id, User.role, User.deactivated_at, has_access
        locked = select(*columns).where(User.id.in_({user_id, by}) | owners).order_by(User.id)
        rows = self.session.execute(locked.with_for_update(key_share=True)).all()
        return {row[0]: LockedUser(row[1], row[3]) for row in rows if row[2] is None}

    def list_staff(self) -> Sequence[tuple[User, bool]]:
        """List all members of staff, owners first, each with whether they have a second factor."""
        staff = (
            select(User, SecondFactor.user_id.is_not(None))
            .outerjoin(SecondFactor)
            .where(User.role.in_(STAFF_ROLES), User.deleted_at.is_(None))
        )
        rows = self.session.execute(staff.order_by(User.role != OWNER, User.email_key)).all()
        return [(row[0], row[1]) for row in rows]

    def add(self, user: User) -> None:
        """Insert a user; raises IntegrityError if the address is taken."""
        self.session.add(user)
        self.session.flush()

    def update(self, user_id: int, **values: Any) -> None:
        """Update columns of a user; objects already loaded in the session are not refreshed."""
        self.session.execute(update(User).where(User.id == user_id).values(**values))

    def add_login(
        self,
        login_id: str,
        user_id: int,
        user_agent: str | None,
        *,
        second_factor: bool = False,
        link_id: int | None = None,
    ) -> None:
        """Insert a login, confirmed now; its id must be unguessable.

        `second_factor` is whether it passed one, `link_id` the link that was used instead of a password; it may have
        been purged while the code was awaited.
        """
        link = select(LoginLink.id).where(LoginLink.id == link_id).scalar_subquery() if link_id is not None else None
        login = LoginSession(id=login_id, user_id=user_id, user_agent=user_agent, confirmed_at=now(), link_id=link)
        login.second_factor = second_factor
        self.session.add(login)

    def get_login(self, login_id: str) -> LoginSession | None:
        """Return the login, freshly read."""
        return self.session.get(LoginSession, login_id, populate_existing=True)

    def set_login_confirmed(self, login_id: str, **link_id: int) -> None:
        """Record that a password, a code or the link with this `link_id` was used in this login now."""
        confirmed = update(LoginSession).where(LoginSession.id == login_id)
        self.session.execute(confirmed.values(confirmed_at=now(), **link_id))

    def set_second_factor_passed(self, user_id: int, *, passed: bool) -> None:
        """Mark all the user's logins as having passed the second factor, or not."""
        own = update(LoginSession).where(LoginSession.user_id == user_id)
        self.session.execute(own.values(second_factor=passed))

    def list_logins(self, user_id: int, since: datetime | None = None) -> Sequence[LoginSession]:
        """List the user's logins, newest first; with `since`, only those created since then."""
        own = select(LoginSession).where(LoginSession.user_id == user_id)
        if since is not None:
            own = own.where(LoginSession.created_at >= since)
        return self.session.scalars(own.order_by(LoginSession.created_at.desc(), LoginSession.id)).all()

    def end_login(self, login_id: str) -> int | None:
        """Delete this login; returns its user's id, or None if it has ended already."""
        ended = delete(LoginSession).where(LoginSession.id == login_id)
        return self.session.scalar(ended.returning(LoginSession.user_id))

    def end_logins(self, user_id: int, *, except_login: str | None = None, before: datetime | None = None) -> int:
        """Delete the user's logins, except `except_login`, or only those created `before`; returns how many."""
        ended = delete(LoginSession).where(LoginSession.user_id == user_id)
        if except_login is not None:
            ended = ended.where(LoginSession.id != except_login)
        if before is not None:
            ended = ended.where(LoginSession.created_at < before)
        result: Any = self.session.execute(ended)
        return int(result.rowcount)

    def add_token(self, token: ApiToken) -> None:
        """Insert a token."""
        self.session.add(token)
        self.session.flush()

    def list_tokens(self, user_id: int, *, revoked: bool = False) -> Sequence[ApiToken]:
        """List the user's tokens, newest first, including expired ones and, with `revoked`, revoked ones."""
        own = select(ApiToken).where(ApiToken.user_id == user_id).order_by(ApiToken.id.desc())
        return self.session.scalars(own if revoked else own.where(ApiToken.revoked_at.is_(None))).all()

    def get_token_by_hash(self, user_id: int, token_hash: str) -> ApiToken | None:
        """Return the user's token with this hash, even if it is revoked."""
        return self.session.scalar(
            select(ApiToken).where(ApiToken.user_id == user_id, ApiToken.token_hash == token_hash)
        )

    def count_tokens(self, user_id: int) -> int:
        """Count the user's tokens that are not revoked."""
        own = select(func.count()).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
        return self.session.scalar(own) or 0

    def revoke_tokens(self, user_id: int, *, token_id: int | None = None, name: str | None = None) -> Sequence[int]:
        """Revoke the user's tokens, or only the one with this id or those with this name; returns the ids in order."""
        revoked = update(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
        if token_id is not None:
            revoked = revoked.where(ApiToken.id == token_id)
        if name is not None:
            revoked = revoked.where(ApiToken.name == name)
        return sorted(self.session.scalars(revoked.values(revoked_at=now()).returning(ApiToken.id)))

    def delete_tokens(self, user_id: int) -> None:
        """Delete the user's tokens."""
        self.session.execute(delete(ApiToken).where(ApiToken.user_id == user_id))

    def has_second_factor(self, user_id: int) -> bool:
        """Whether the user has a second factor."""
        return self.get_second_factor(user_id) is not None

    def get_second_factor(self, user_id: int) -> SecondFactor | None:
        """Return the user's second factor, freshly read."""
        return self.session.get(SecondFactor, user_id, populate_existing=True)

    def add_second_factor(self, factor: SecondFactor) -> None:
        """Insert a second factor."""
        self.session.add(factor)
        self.session.flush()

    def use_step(self, user_id: int, step: int) -> bool:
        """Record that the code of this time step was used; False if it, or a later one, has been used before."""
        newer = update(SecondFactor).where(SecondFactor.user_id == user_id, SecondFactor.last_step < step)
        result: Any = self.session.execute(newer.values(last_step=step))
        return bool(result.rowcount)

    def recovery_code_hashes(self, user_id: int) -> Sequence[str]:
        """List the hashes of the user's unused recovery codes."""
        return self.session.scalars(select(RecoveryCode.code_hash).where(RecoveryCode.user_id == user_id)).all()

    def replace_recovery_codes(self, user_id: int, hashes: Sequence[str]) -> None:
        """Replace the user's recovery codes."""
        self.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        self.session.execute(insert(RecoveryCode), [{"user_id": user_id, "code_hash": one} for one in hashes])

    def use_recovery_code(self, user_id: int, code_hash: str) -> bool:
        """Delete one of the user's recovery codes; False if there is none like this."""
        used = delete(RecoveryCode).where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash)
        return self.session.scalar(used.returning(RecoveryCode.user_id)) is not None

    def delete_second_factor(self, user_id: int) -> bool:
        """Delete the user's second factor and recovery codes; returns whether there was one."""
        self.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        result: Any = self.session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))
        return bool(result.rowcount)
