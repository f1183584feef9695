"""The schema of the shop on one connection: which it is, removing it, and migrating it within a transaction."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from bookshop.backups.rows import tables_of
from bookshop.config import ROOT
from bookshop.kit.exceptions import Conflict

MIGRATIONS = str(ROOT / "migrations")
HEAD = "head"
VERSION_TABLE = "alembic_version"
FUNCTION = "refuse_audit_change"  # on PostgreSQL, created by a migration


def revision_of(connection: Connection) -> str:
    """Return the revision of the schema; raises Conflict if there are no tables."""
    if inspect(connection).has_table(VERSION_TABLE):
        for revision in connection.scalars(text("SELECT version_num FROM alembic_version")):
            return str(revision)
    raise Conflict("The database has no tables: run `flask db upgrade`.")


@cache
def revisions() -> tuple[str, frozenset[str]]:
    """Return the newest revision in `migrations/`, which this version of the shop needs, and all of them."""
    scripts = ScriptDirectory(MIGRATIONS)
    return str(scripts.get_current_head()), frozenset(script.revision for script in scripts.walk_revisions())


def is_known(revision: str) -> bool:
    """Whether this version of the shop has the migrations up to a revision."""
    return revision in revisions()[1]


def head() -> str:
    """Return the revision that this version of the shop needs."""
    return revisions()[0]


def migrate(connection: Connection, revision: str = HEAD) -> None:
    """Run the migrations up to a revision in the transaction of this connection. Needs the application's context."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    config.attributes["connection"] = connection
    with _quiet():
        command.upgrade(config, revision)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the lines that Alembic logs for each migration."""
    log = logging.getLogger("alembic.runtime")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def has_shop(connection: Connection) -> bool:
    """Whether the database holds a shop: a user or a book. A new one may have settings and heartbeats of workers."""
    tables = {"users", "books"} & set(inspect(connection).get_table_names())
    return any(connection.scalar(text(f"SELECT 1 FROM {table} LIMIT 1")) for table in tables)  # noqa: S608


def drop_all(connection: Connection) -> None:
    """Remove the shop's tables, in the transaction of this connection; what others have added stays."""
    names = [table.name for table in tables_of(connection)]
    for name in ("books_fts", VERSION_TABLE, *reversed(names)):
        connection.execute(text(f'DROP TABLE IF EXISTS "{name}"'))
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"DROP FUNCTION IF EXISTS {FUNCTION}"))
