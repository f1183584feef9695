"""The file of a shop on SQLite, opened for one process alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError

from bookshop.extensions import db
from bookshop.kit.exceptions import Conflict

IN_USE = (
    "The shop is running, or another program has its database open. Stop the server and all workers, and try again."
)


def file_of_shop() -> Path:
    """Return the path of the file."""
    return Path(str(db.engine.url.database))


@contextmanager
def only_user() -> Iterator[Connection]:
    """Open the file in a writing transaction for this process alone; raises Conflict if any other has it open."""
    db.session.remove()
    db.engine.dispose()
    engine = create_engine(db.engine.url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": 1})
    event.listen(engine, "connect", _lock_out_others)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
    except OperationalError as error:
        if isinstance(error.orig, sqlite3.OperationalError) and "locked" in str(error.orig):
            raise Conflict(IN_USE) from None
        raise


def _lock_out_others(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
