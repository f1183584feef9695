"""The audit log: one row for each thing that a member of staff or a command has changed."""

from datetime import datetime
from typing import Any

from sqlalchemy import DDL, JSON, ForeignKey, Index, String, event
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now

ACTION_MAX, REQUEST_ID_MAX = 40, 32


class AuditEntry(Base):
    """One change: who, when, what, and the values before and after. Rows are only added, and purged when they are old.

    Values hold ids, never names or addresses of people. `user_id` is None for a command.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "subject_id", "id"), Index(None, "user_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(String(ACTION_MAX))  # begins with the kind of its subject: `book.edited`
    subject_id: Mapped[int | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    request_id: Mapped[str | None] = mapped_column(String(REQUEST_ID_MAX))

    @property
    def subject(self) -> str:
        """What kind of thing was changed, such as `book`."""
        return self.action.partition(".")[0]


# No UPDATE can change a row, not even by mistake. DELETE is left to the purge.
POSTGRESQL_APPEND_ONLY = (
    """CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
    """CREATE TRIGGER audit_entries_append_only BEFORE UPDATE ON audit_entries
        FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()""",
)
SQLITE_APPEND_ONLY = (
    """CREATE TRIGGER audit_entries_append_only BEFORE UPDATE ON audit_entries BEGIN
        SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
)
for dialect, statements in (("postgresql", POSTGRESQL_APPEND_ONLY), ("sqlite", SQLITE_APPEND_ONLY)):
    for statement in statements:
        event.listen(AuditEntry.__table__, "after_create", DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]
