"""Queries for the links in e-mails, and for what visitors have started."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import LOGIN, UNDO, LinkAction, LoginLink, LoginSession, User
from bookshop.kit.database import dialect_of, insert_into, later, now, table_of

LIFETIME = 30 * 60  # seconds, from when the link was sent
JOINED_FOR = 10 * 60  # seconds that a link must still be valid for, if something more is to join it
UNDO_LIFETIME = 7 * 24 * 3600
ACTION_LIFETIME = 24 * 3600

# By the database's clock, as the clocks of the worker that sends a link and of the web server may differ.
_SINCE = case((LoginLink.purpose == UNDO, later(-UNDO_LIFETIME)), else_=later(-LIFETIME))
_IS_OPEN = LoginLink.used_at.is_(None) & LoginLink.ended_at.is_(None)
SENT_AT = func.coalesce(LoginLink.sent_at, LoginLink.created_at)
IS_VALID = _IS_OPEN & (SENT_AT >= _SINCE)

actions = table_of(LinkAction)


class LinkRepository:
    """Reads and writes links and actions; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, link: LoginLink) -> LoginLink:
        """Insert a link."""
        self.session.add(link)
        self.session.flush()
        return link

    def get(self, link_id: int) -> LoginLink | None:
        """Return the link with this id."""
        return self.session.get(LoginLink, link_id, populate_existing=True)

    def find(self, token_hash: str) -> tuple[LoginLink, bool] | None:
        """Return the link whose token has this hash, and whether it is still valid."""
        query = select(LoginLink, IS_VALID).where(LoginLink.token_hash == token_hash)
        row = self.session.execute(query.execution_options(populate_existing=True)).first()
        return (row[0], bool(row[1])) if row else None

    def has_valid(self, email_key: str, browser: str) -> bool:
        """Whether this browser has asked for a login link to this address that is valid for 10 more minutes.

        Locks the link, so that what is started now is either done by it or, if it is being used, gets another one.
        """
        own = LoginLink.email_key == email_key, LoginLink.browser == browser, LoginLink.purpose == LOGIN
        in_time = LoginLink.sent_at.is_(None) | (LoginLink.sent_at >= later(JOINED_FOR - LIFETIME))
        query = select(LoginLink.id).where(*own, IS_VALID, in_time).limit(1).with_for_update(read=True)
        return self.session.scalar(query) is not None

    def has_login(self, link_id: int) -> bool:
        """Whether a login names this link; exact while its user is locked."""
        named = select(LoginSession.link_id).where(LoginSession.link_id == link_id)
        return self.session.scalar(named) is not None

    def mark_sent(self, link_id: int) -> None:
        """Record that the link is being sent now; at a further attempt, its lifetime begins again."""
        sent = update(LoginLink).where(LoginLink.id == link_id).values(sent_at=later(0))
        self.session.execute(sent, execution_options={"synchronize_session": False})

    def use(self, link_id: int) -> bool:
        """Record that a link is used; False if it is not valid any more. A second use waits for the first to commit."""
        return self._set(LoginLink.id == link_id, IS_VALID, used_at=now()) > 0

    def end(
        self, *, email_key: str | None = None, user_id: int | None = None, after: int = 0, purposes: Collection[str]
    ) -> None:
        """Make all open links void that have one of these purposes and are for this address, this user, or both.

        With `after`, only those that were created after the link with this id.
        """
        conditions = [LoginLink.purpose.in_(purposes), LoginLink.id > after]
        if email_key is not None:
            conditions.append(LoginLink.email_key == email_key)
        if user_id is not None:
            conditions.append(LoginLink.user_id == user_id)
        self._set(*conditions, _IS_OPEN, ended_at=now())

    def end_unsent(self, email_key: str, browser: str) -> None:
        """Make void the login links that this browser has asked for, and whose messages have not been sent yet."""
        own = LoginLink.email_key == email_key, LoginLink.browser == browser, LoginLink.purpose == LOGIN
        self._set(*own, LoginLink.sent_at.is_(None), _IS_OPEN, ended_at=now())

    def _set(self, *conditions: ColumnElement[bool], **values: Any) -> int:
        changed = update(LoginLink).where(*conditions).values(values)
        result: Any = self.session.execute(changed, execution_options={"synchronize_session": False})
        return int(result.rowcount)

    def is_reserved(self, email_key: str, user_id: int | None = None) -> bool:
        """Whether this is the former address of another user, who may still undo the change."""
        former = select(LoginLink.id).where(LoginLink.email_key == email_key, LoginLink.purpose == UNDO, IS_VALID)
        if user_id is not None:
            former = former.where(LoginLink.user_id != user_id)
        return self.session.scalar(former.limit(1)) is not None

    def list_of(self, user: User) -> Sequence[LoginLink]:
        """Return the links to the user's address, and those that change it, newest first."""
        return self.session.scalars(select(LoginLink).where(_is_of(user)).order_by(LoginLink.id.desc())).all()

    def list_ids_of(self, user: User) -> Sequence[int]:
        """Return the ids of the links to the user's address, and of those that change it."""
        return self.session.scalars(select(LoginLink.id).where(_is_of(user))).all()

    def delete_by_user(self, user: User) -> None:
        """Delete the links of a user and of their addresses, and what was started for these."""
        self.session.connection().execute(delete(actions).where(_is_address_of(user, actions.c.email_key)))
        self.session.execute(delete(LoginLink).where(_is_of(user)), execution_options={"synchronize_session": False})

    # -- actions

    def put_action(self, values: dict[str, Any]) -> None:
        """Insert an action, or replace the one of the same address, browser, kind and book."""
        insert = insert_into(dialect_of(self.session), actions).values(**values, created_at=later(0))
        renewed = {"details": insert.excluded.details, "created_at": later(0)}
        keys = ["email_key", "browser", "kind", "book_id"]
        self.session.connection().execute(insert.on_conflict_do_update(index_elements=keys, set_=renewed))

    def list_actions(self, email_key: str, browsers: Collection[str]) -> Sequence[LinkAction]:
        """Return what these browsers have started for this address in the last 24 hours, oldest first."""
        query = (
            select(LinkAction)
            .where(LinkAction.email_key == email_key, LinkAction.browser.in_([one for one in browsers if one]))
            .where(LinkAction.created_at >= later(-ACTION_LIFETIME))
        )
        query = query.order_by(LinkAction.created_at, LinkAction.id)
        return self.session.scalars(query.execution_options(populate_existing=True)).all()

    def list_actions_of(self, user: User) -> Sequence[LinkAction]:
        """Return everything that was started for the user's addresses in any browser, oldest first."""
        query = select(LinkAction).where(_is_address_of(user, LinkAction.email_key)).order_by(LinkAction.id)
        return self.session.scalars(query).all()

    def move_actions(self, email_key: str, new_key: str, browser: str) -> None:
        """Move what this browser has started for an address to another, where it replaces the same."""
        if email_key == new_key:
            return
        moved = actions.alias()
        again = select(moved.c.id).where(
            moved.c.email_key == email_key,
            *(moved.c[name] == actions.c[name] for name in ("browser", "kind", "book_id")),
        )
        connection, own = self.session.connection(), actions.c.browser == browser
        connection.execute(delete(actions).where(actions.c.email_key == new_key, own, again.exists()))
        connection.execute(update(actions).where(actions.c.email_key == email_key, own).values(email_key=new_key))

    def delete_actions(self, ids: Collection[int]) -> None:
        """Delete these actions."""
        self.session.connection().execute(delete(actions).where(actions.c.id.in_(ids)))

    def delete_actions_in(self, email_key: str, browser: str) -> None:
        """Delete what this browser has started for an address."""
        own = actions.c.email_key == email_key, actions.c.browser == browser
        self.session.connection().execute(delete(actions).where(*own))


def _is_of(user: User) -> ColumnElement[bool]:
    return _is_address_of(user, LoginLink.email_key) | (LoginLink.user_id == user.id)


def _is_address_of(user: User, email_key: Any) -> ColumnElement[bool]:
    """Whether this is the user's address, or a former one to which they can still change back."""
    undo = LoginLink.user_id == user.id, LoginLink.purpose == UNDO, IS_VALID
    former = select(LoginLink.email_key).where(*undo).correlate(None)
    return or_(email_key == user.email_key, email_key.in_(former))
