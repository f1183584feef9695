"""SQL for the audit log; rows are inserted and read, never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import JSON, Executable, Integer, Select, bindparam, func, insert, select
from sqlalchemy.orm import Session

from bookshop.audit.models import AuditEntry
from bookshop.kit.database import Page, dialect_of, paginate, rows_from_json, table_of

entries = table_of(AuditEntry)
COMMON = ("created_at", "user_id", "action", "request_id")  # the columns that all entries of a call share
CHUNK = 1000  # rows read at a time for a download
MAX_LISTED = 10_000


@dataclass(frozen=True, kw_only=True)
class AuditSearch:
    """Which entries to list; None is no condition. `action` is a part of it; `since` and `until` are inclusive."""

    user_id: int | None = None
    action: str | None = None
    subject_id: int | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditRepository:
    """Inserts and lists audit entries; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def insert(self, common: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Write an entry for each row of `subject_id`, `before` and `after`, all with the COMMON values, at once."""
        statement = _insert(dialect_of(self.session))
        self.session.connection().execute(statement, {**common, "rows": list(rows)})

    def search(self, search: AuditSearch, page: int, size: int) -> Page[AuditEntry]:
        """Return the entries that meet all conditions, newest first; the total is counted up to 10,000."""
        counted = _matching(search).with_only_columns(AuditEntry.id).limit(MAX_LISTED).subquery()
        total = self.session.scalar(select(func.count()).select_from(counted)) or 0
        return paginate(self.session, _matching(search).order_by(AuditEntry.id.desc()), page, size, total)

    def list_before(self, search: AuditSearch, entry_id: int | None) -> Sequence[AuditEntry]:
        """Return up to 1,000 entries that meet all conditions, newest first, older than the one with this id."""
        query = _matching(search).order_by(AuditEntry.id.desc()).limit(CHUNK)
        return self.session.scalars(query if entry_id is None else query.where(AuditEntry.id < entry_id)).all()


@cache
def _insert(dialect: str) -> Executable:
    """Build the insert of entries, one statement for a whole import or bulk change."""
    rows = rows_from_json(dialect, "rows", subject_id=Integer, before=JSON, after=JSON)
    common = {name: bindparam(name, type_=entries.c[name].type) for name in COMMON}
    values = {**common, **{column.name: column for column in rows.c}}
    return insert(entries).from_select(list(values), select(*values.values()), include_defaults=False)


def _matching(search: AuditSearch) -> Select[AuditEntry]:
    query = select(AuditEntry)
    for name in ("user_id", "subject_id", "request_id"):
        if (value := getattr(search, name)) is not None:
            query = query.where(getattr(AuditEntry, name) == value)
    if search.action is not None:
        query = query.where(AuditEntry.action.contains(search.action, autoescape=True))
    if search.since is not None:
        query = query.where(AuditEntry.created_at >= search.since)
    if search.until is not None:
        query = query.where(AuditEntry.created_at <= search.until)
    return query
