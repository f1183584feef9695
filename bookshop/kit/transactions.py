"""Writing transactions: tried again when they lost a race, within one deadline, and never wrong about their outcome."""

import logging
import random
import time
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bookshop.kit.database import WRITES, is_sqlite
from bookshop.kit.exceptions import Busy, OutcomeUnknown

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 4
LOCK_TIMEOUT = 4.0  # seconds for which one attempt waits for a lock
FIND_OUT = 5.0  # seconds in which to find out whether a commit took place whose answer was lost
DEADLINE = "bookshop_deadline"  # when a request must be answered, by time.monotonic()
COMMITTED = "bookshop_committed"  # whether a session has committed anything
# serialization failure, deadlock, lock not available: https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCK_NOT_AVAILABLE = "55P03"
PASSING_SQLSTATES = {"40001", "40P01", LOCK_NOT_AVAILABLE}
QUERY_CANCELED = "57014"  # by statement_timeout
SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR = 5, 6, 10
TOO_BUSY = "Too many others are changing the same thing just now. Please try again in a moment."
LIMITS = "SELECT set_config('lock_timeout', '%d', true), set_config('statement_timeout', '%d', true)"
BECAME = text("SELECT pg_xact_status(CAST(:xid AS xid8))")
BEGIN = f"{LIMITS}, pg_current_xact_id()"


def set_deadline(session: Session, seconds: float) -> None:
    """Let all that the session does from now on end in so many seconds; raises Busy then."""
    session.info[DEADLINE] = time.monotonic() + seconds


def has_committed(session: Session) -> bool:
    """Whether the session has committed anything, so that nobody may say that nothing was changed."""
    return bool(session.info.get(COMMITTED))


def in_transaction(session: Session, work: Callable[[], T]) -> T:
    """Run `work` in a writing transaction, commit, and return what it returned.

    A transaction that loses a deadlock or waits too long for a lock is rolled back and runs again, a few times;
    `work` must therefore do nothing but talk to the database, or nothing that a second run does not put right. Raises
    Busy when the last try failed too or the session's deadline has passed, and OutcomeUnknown if nobody can tell
    whether the commit took place.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            xid = _begin(session)
            result = work()
        except DBAPIError as error:
            session.rollback()
            _raise_unless_it_passes(session, error)
        except BaseException:
            session.rollback()
            raise
        else:
            if _commit(session, xid):
                return result
        if attempt < ATTEMPTS:
            time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - spreads the tries, hides nothing
    raise Busy(TOO_BUSY)


def _begin(session: Session) -> Any:
    """Begin to write, with limits on what waits; returns the id of the transaction on PostgreSQL."""
    deadline = session.info.get(DEADLINE)
    left, options = _left(deadline), {DEADLINE: deadline}
    if is_sqlite(session):
        session.commit()  # ends the reading transaction that found out who is asking
        session.connection(execution_options={WRITES: min(LOCK_TIMEOUT, left), **options})
        return None
    connection = session.connection().execution_options(**options)
    return connection.exec_driver_sql(BEGIN % _limits(left)).one()[2]


def _left(deadline: float | None) -> float:
    """The seconds until a deadline; raises Busy when there are none."""
    left = inf if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise Busy(TOO_BUSY)
    return left


def _limits(left: float) -> tuple[int, int]:
    """lock_timeout and statement_timeout in milliseconds, 0 for none, with so many seconds left."""
    return max(1, int(1000 * min(LOCK_TIMEOUT, left))), 0 if left == inf else max(1, int(1000 * left))


def keep_deadlines(engine: Engine) -> None:
    """Let no statement of this engine begin after its deadline, nor wait for a lock beyond it."""

    @event.listens_for(engine, "before_cursor_execute")
    def before(connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        deadline = connection.get_execution_options().get(DEADLINE)
        if deadline is None or statement.startswith("SELECT set_config"):
            return
        left = _left(deadline)
        if left < LOCK_TIMEOUT and engine.dialect.name != "sqlite":
            connection.exec_driver_sql(LIMITS % _limits(left))


def _raise_unless_it_passes(session: Session, error: DBAPIError) -> None:
    deadline = session.info.get(DEADLINE)
    if deadline is not None and _sqlstate(error) == QUERY_CANCELED:
        raise Busy(TOO_BUSY) from error
    if not _will_pass(error):
        raise error
    log.warning("transaction given up: %s", type(error.orig).__name__)
    _left(deadline)


def _will_pass(error: DBAPIError) -> bool:
    return _sqlstate(error) in PASSING_SQLSTATES or _sqlite_code(error) in {SQLITE_BUSY, SQLITE_LOCKED}


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _sqlite_code(error: DBAPIError) -> int:
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


# ---------------------------------------------------------------- whether a commit took place


def _commit(session: Session, xid: Any) -> bool:
    """Commit; returns False if it is certain that nothing was, and that another try may succeed."""
    engine = session.get_bind()
    try:
        session.commit()
    except DBAPIError as error:
        session.rollback()
        if not _may_have_committed(error):
            _raise_unless_it_passes(session, error)
            return False
        log.warning("the answer to a commit was lost: %s", type(error.orig).__name__)
        committed = _find_out(engine, xid)
        if committed is None:
            raise OutcomeUnknown from error
        if not committed:
            return False
    except BaseException:
        session.rollback()
        raise
    session.info[COMMITTED] = True
    return True


def _may_have_committed(error: DBAPIError) -> bool:
    """Whether the answer to COMMIT was lost, instead of being no: with the connection, or with the disk of SQLite."""
    sqlstate = _sqlstate(error) or ""
    lost = error.connection_invalidated or sqlstate.startswith(("57P", "08"))
    return lost or _sqlite_code(error) == SQLITE_IOERR


def _find_out(engine: Any, xid: Any) -> bool | None:
    """Ask PostgreSQL on another connection what became of a transaction; None if nobody can tell."""
    end = time.monotonic() + FIND_OUT
    while xid is not None and time.monotonic() < end:
        try:
            with engine.connect() as connection:
                status = connection.scalar(BECAME, {"xid": str(xid)})
        except DBAPIError:
            log.warning("the database is away, so what became of a transaction is asked again")
        else:
            if status in {"committed", "aborted"}:
                return bool(status == "committed")
            if status is None:  # too long ago for the server to remember
                return None
        time.sleep(0.1)
    return None
