"""SQL for the list of backups, and for what a restored shop must not repeat."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import LoginSession
from bookshop.backups.models import Backup
from bookshop.kit.database import later, table_of
from bookshop.mail.models import IS_UNSENT, RESTORED, SUPPRESSED, Message
from bookshop.operations.models import WorkerBeat

backups = table_of(Backup)


class BackupRepository:
    """Records backups, and silences a shop that was restored; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def insert(self, file: str, size: int) -> None:
        """Record a backup that is complete now."""
        self.session.connection().execute(insert(backups).values(file=file, size=size, finished_at=later(0)))

    def keep_newest(self, number: int) -> None:
        """Delete all rows but the newest."""
        newest = select(backups.c.id).order_by(backups.c.id.desc()).limit(number)
        self.session.connection().execute(delete(backups).where(backups.c.id.not_in(newest)))

    def last(self) -> tuple[datetime, float] | None:
        """Return when the last backup was complete, and how many seconds ago that is; None if there was none."""
        newest = select(backups.c.finished_at, later(0)).order_by(backups.c.id.desc()).limit(1)
        row = self.session.execute(newest).first()
        return (row[0], (row[1] - row[0]).total_seconds()) if row else None

    def hold_messages(self) -> int:
        """Stop all unsent messages, which may have been sent since the backup; returns how many."""
        held = update(table_of(Message)).where(IS_UNSENT).values(state=SUPPRESSED, reason=RESTORED, lease=None)
        result: Any = self.session.connection().execute(held)
        return int(result.rowcount)

    def forget_former_machine(self) -> None:
        """End all logins, some of which may have ended since; forget workers and backups, which may not be here."""
        for model in (LoginSession, WorkerBeat, Backup):
            self.session.connection().execute(delete(table_of(model)))
