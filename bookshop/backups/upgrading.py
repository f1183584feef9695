"""Upgrades the database to the schema of this version, while the previous version may go on serving."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from bookshop.backups import schema
from bookshop.backups.making import Made, make_backup, try_record
from bookshop.checks import broken_invariants
from bookshop.extensions import db
from bookshop.kit.exceptions import BookshopError, Busy
from bookshop.web import services

ROUNDS = 5  # of four attempts each
PATIENCE = "1s"  # for a lock: all requests wait behind an upgrade that waits


@dataclass(frozen=True)
class Upgraded:
    """The schema before and after, the backup that was made before, and why it cannot be recorded, or ''."""

    before: str
    after: str
    backup: Made
    not_recorded: str


class UpgradeFailed(BookshopError):
    """Nothing was changed; `problems` are the lines of `flask check`, if those are why."""

    def __init__(self, sentence: str, problems: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.problems = problems


def upgrade_shop(backup: Path) -> Upgraded:
    """Make a backup, rehearse the migrations on a copy that is restored from it, run them, and check the shop.

    All migrations and the check are one transaction: if anything fails, the database is as it was, with everything that
    the previous version has written meanwhile, and the backup is not needed. Raises UpgradeFailed if `flask check`
    finds anything, and the error of a migration.
    """
    before = schema.revision_of(db.session.connection())
    db.session.rollback()
    made = make_backup(backup)
    if made.problems:
        raise UpgradeFailed("In an upgraded copy of the database, `flask check` finds:", made.problems)
    _commit_in_spite_of_others(_migrate)
    return Upgraded(before, schema.head(), made, try_record(backup, made))


def _commit_in_spite_of_others(work: Callable[[], None]) -> None:
    """Commit as services.commit does, with more attempts: each one gives up a lock that others wait for."""
    for _round in range(ROUNDS - 1):
        with suppress(Busy):
            services.commit(work)
            return
    services.commit(work)


def _migrate() -> None:
    """Run the migrations and the check. Locks users first, as nearly all requests do, so that none is in the middle.

    Without that, a request that has read the users and waits for a table that was changed is in a deadlock with a
    migration that changes the users.
    """
    connection = db.session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}'"))
        connection.execute(text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
    schema.migrate(connection)
    if problems := list(broken_invariants(db.session())):
        raise UpgradeFailed("After the migrations, `flask check` found:", problems)
