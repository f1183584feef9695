"""Writing transactions: retried after conflicts within one deadline, and checked if the reply to COMMIT is lost."""

import logging
import random
import time
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bookshop.kit.database import WRITES, is_sqlite
from bookshop.kit.exceptions import Busy, OutcomeUnknown

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 4
LOCK_TIMEOUT = 4.0  # seconds for which one attempt waits for a lock
OUTCOME_TIMEOUT = 5.0  # seconds for finding out whether a commit succeeded when its reply was lost
DEADLINE = "bookshop_deadline"  # when a request must be answered, on the clock of time.monotonic()
COMMITTED = "bookshop_committed"  # whether a session has committed anything
# serialization failure, deadlock, lock not available: https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCK_NOT_AVAILABLE = "55P03"
RETRYABLE_SQLSTATES = {"40001", "40P01", LOCK_NOT_AVAILABLE}
QUERY_CANCELED = "57014"  # by statement_timeout
SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR = 5, 6, 10
TOO_BUSY = "The shop is very busy right now. Please try again in a moment."
SET_TIMEOUTS = "SELECT set_config('lock_timeout', '%d', true), set_config('statement_timeout', '%d', true)"
# What runs anew, and resets its statistics, after each crash and on a standby that was promoted.
INCARNATION = "concat_ws(' ', pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time())"
BEGIN = f"{SET_TIMEOUTS}, pg_current_xact_id(), {INCARNATION}"
XACT_STATUS = text(
    "SELECT CASE WHEN pg_is_in_recovery() OR CAST(:xid AS xid8) >= pg_snapshot_xmax(pg_current_snapshot()) "
    "THEN 'in progress' ELSE pg_xact_status(CAST(:xid AS xid8)) END AS status, "
    f"{INCARNATION} AS incarnation, pg_is_in_recovery() AS in_recovery"
)


class Xid(NamedTuple):
    """The id of a writing transaction on PostgreSQL, and the incarnation of the server that gave it."""

    number: str
    incarnation: str


def set_deadline(session: Session, seconds: float) -> None:
    """Set the session's deadline to `seconds` from now; statements after it raise Busy."""
    session.info[DEADLINE] = time.monotonic() + seconds


def has_committed(session: Session) -> bool:
    """Return whether the session has committed anything, so that no error may claim that nothing was changed."""
    return bool(session.info.get(COMMITTED))


def in_transaction(session: Session, work: Callable[[], T]) -> T:
    """Run `work` in a writing transaction, commit, and return its result.

    After a deadlock or a lock timeout, rolls back and runs it again, up to 4 times in all. `work` must therefore only
    use the database, or be safe to repeat. Raises Busy if the last attempt fails too or the session's deadline has
    passed, and OutcomeUnknown if it cannot be determined whether the commit succeeded.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            xid = _begin(session)
            result = work()
        except DBAPIError as error:
            session.rollback()
            _raise_unless_retryable(session, error)
        except BaseException:
            session.rollback()
            raise
        else:
            if _commit(session, xid):
                return result
        if attempt < ATTEMPTS:
            time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - jitter, not a secret
    raise Busy(TOO_BUSY)


def _begin(session: Session) -> Xid | None:
    """Begin a writing transaction with timeouts; returns the transaction id on PostgreSQL."""
    deadline = session.info.get(DEADLINE)
    left, options = _seconds_left(deadline), {DEADLINE: deadline}
    if is_sqlite(session):
        session.commit()  # ends the reading transaction that identified the user
        session.connection(execution_options={WRITES: min(LOCK_TIMEOUT, left), **options})
        return None
    connection = session.connection().execution_options(**options)
    _lock, _statement, xid, incarnation = connection.exec_driver_sql(BEGIN % _timeouts(left)).one()
    return Xid(str(xid), incarnation)


def _seconds_left(deadline: float | None) -> float:
    """Return the seconds until a deadline; raises Busy if it has passed."""
    left = inf if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise Busy(TOO_BUSY)
    return left


def _timeouts(left: float) -> tuple[int, int]:
    """Return lock_timeout and statement_timeout in milliseconds for the `left` seconds; 0 means none."""
    return max(1, int(1000 * min(LOCK_TIMEOUT, left))), 0 if left == inf else max(1, int(1000 * left))


def enforce_deadlines(engine: Engine) -> None:
    """Refuse statements of this engine after their deadline, and shorten lock timeouts that would exceed it."""

    @event.listens_for(engine, "before_cursor_execute")
    def before(connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        deadline = connection.get_execution_options().get(DEADLINE)
        if deadline is None or statement.startswith("SELECT set_config"):
            return
        left = _seconds_left(deadline)
        if left < LOCK_TIMEOUT and engine.dialect.name != "sqlite":
            connection.exec_driver_sql(SET_TIMEOUTS % _timeouts(left))


def _raise_unless_retryable(session: Session, error: DBAPIError) -> None:
    """Raise the error, or Busy if the session's deadline has passed, unless the transaction can be run again."""
    deadline = session.info.get(DEADLINE)
    if deadline is not None and _sqlstate(error) == QUERY_CANCELED:
        raise Busy(TOO_BUSY) from error
    if not _is_retryable(error):
        raise error
    log.warning("transaction rolled back: %s%s", type(error.orig).__name__, _place(error))
    _seconds_left(deadline)


def _place(error: DBAPIError) -> str:
    """Return where PostgreSQL was: the table and the statement of a foreign key, without any value."""
    context = getattr(getattr(error.orig, "diag", None), "context", None)
    return f" ({' '.join(context.split())})" if context else ""


def _is_retryable(error: DBAPIError) -> bool:
    return _sqlstate(error) in RETRYABLE_SQLSTATES or _sqlite_code(error) in {SQLITE_BUSY, SQLITE_LOCKED}


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _sqlite_code(error: DBAPIError) -> int:
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


# ---------------------------------------------------------------- whether a commit succeeded


def _commit(session: Session, xid: Xid | None) -> bool:
    """Commit; returns False if it certainly failed and another attempt may succeed."""
    engine = session.get_bind()
    try:
        session.commit()
    except DBAPIError as error:
        session.rollback()
        if not _may_have_committed(error):
            _raise_unless_retryable(session, error)
            return False
        log.warning("the reply to a commit was lost: %s", type(error.orig).__name__)
        committed = _was_committed(engine, xid)
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
    """Return whether the reply to COMMIT was lost, with the connection or an I/O error of SQLite, not a refusal."""
    sqlstate = _sqlstate(error) or ""
    lost = error.connection_invalidated or sqlstate.startswith(("57P", "08"))
    return lost or _sqlite_code(error) == SQLITE_IOERR


def _was_committed(engine: Any, xid: Xid | None) -> bool | None:
    """Ask PostgreSQL on another connection whether a transaction was committed; None if that cannot be determined."""
    end = time.monotonic() + OUTCOME_TIMEOUT
    while xid is not None and time.monotonic() < end:
        try:
            with engine.connect() as connection:
                answer = connection.execute(XACT_STATUS, {"xid": xid.number}).one()
        except DBAPIError:
            log.warning("the database is down; asking again whether a transaction was committed")
        else:
            if not answer.in_recovery and (answer.status != "in progress" or answer.incarnation != xid.incarnation):
                return _outcome(answer.status, is_same_server=answer.incarnation == xid.incarnation)
        time.sleep(0.1)
    return None


def _outcome(status: str | None, *, is_same_server: bool) -> bool | None:
    """Return whether a transaction was committed, None if that is not known, from the status of its id.

    A server that crashed, or the standby in its place, may have lost the id with the transaction, and then given it to
    another one. So an id that is committed there proves nothing, but one that is not committed proves the loss.
    """
    if status is None:  # too old for the server to know
        return None
    if status == "committed":
        return True if is_same_server else None
    return False
