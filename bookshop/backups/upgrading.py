"""Upgrades the database to the schema of this version, while the previous version may go on serving."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bookshop.backups import schema
from bookshop.backups.making import Made, make_backup, record
from bookshop.checks import broken_invariants
from bookshop.extensions import db
from bookshop.kit.exceptions import BookshopError
from bookshop.web import services


@dataclass(frozen=True)
class Upgraded:
    """The schema before and after, and the backup that was made before."""

    before: str
    after: str
    backup: Made


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
    services.commit(_migrate)
    record(backup, made)
    return Upgraded(before, schema.head(), made)


def _migrate() -> None:
    schema.migrate(db.session.connection())
    if problems := list(broken_invariants(db.session())):
        raise UpgradeFailed("After the migrations, `flask check` found:", problems)
