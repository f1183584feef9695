"""Record what members of staff and commands change."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from bookshop.audit.repository import AuditRepository
from bookshop.kit.database import now

ACTOR = "bookshop_actor"  # key in `session.info`

Values = Mapping[str, Any]


class Actor(NamedTuple):
    """Who is behind a transaction: `user_id` is None for a command or a visitor.

    `is_audited` is False for customers and visitors, whose own actions are not in the log.
    """

    user_id: int | None
    request_id: str | None
    is_audited: bool


def set_actor(session: Session, actor: Actor) -> None:
    """Set who is behind the transactions of this session from now on."""
    session.info[ACTOR] = actor


class AuditService:
    """Writes the audit log in the caller's transaction; never commits. A session without an actor records nothing."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.entries = AuditRepository(session)

    def record(
        self,
        action: str,
        subject_id: int | None,
        before: Values | None = None,
        after: Values | None = None,
        *,
        by: int | None = None,
    ) -> None:
        """Record one change: ids and plain values, never names or addresses of people.

        `action` begins with the kind of its subject, as in `book.edited`. Does nothing if the actor is not audited;
        pass `by` to record it in any case, as done by this user.
        """
        self.record_all(action, {subject_id: (before, after)}, by=by)

    def record_all(
        self, action: str, changes: Mapping[Any, tuple[Values | None, Values | None]], *, by: int | None = None
    ) -> None:
        """Record the same action on many subjects, given as id -> (before, after), like `record`."""
        actor: Actor = self.session.info.get(ACTOR, Actor(None, None, is_audited=False))
        if not changes or (by is None and not actor.is_audited):
            return
        common = {
            "created_at": now(),
            "user_id": by or actor.user_id,
            "action": action,
            "request_id": actor.request_id,
        }
        rows = [{"subject_id": key, "before": before, "after": after} for key, (before, after) in changes.items()]
        self.entries.insert(common, rows)

    def record_field(self, action: str, name: str, before: Mapping[int, str], after: str) -> None:
        """Record that one field of many subjects, given as id -> value before, now has the same value."""
        self.record_all(action, {key: ({name: value}, {name: after}) for key, value in before.items()})
