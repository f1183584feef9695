"""The database layer under the models: the base class, UTC times, pages of rows and engine setup."""

import select
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar, cast

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    DateTime,
    Dialect,
    Engine,
    FromClause,
    MetaData,
    Select,
    Table,
    any_,
    bindparam,
    column,
    event,
    func,
    literal,
)
from sqlalchemy import select as select_rows
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from bookshop.kit.exceptions import Busy

T = TypeVar("T")

ID_MAX = 2**31 - 1  # the maximum of PostgreSQL's integer, the type of every id
IDLE_TIMEOUT = "60s"  # after which PostgreSQL ends an idle transaction
MOVED = 20_122  # the user_version of an SQLite file from which the shop has moved to another database
MOVED_AWAY = (
    "The shop has moved to another database, so nothing can be saved here. Restart the server and the workers with the "
    "new BOOKSHOP_DATABASE_URL."
)
WRITES = "bookshop_writes"  # execution option on SQLite: seconds for which a writing transaction waits for the lock


class Base(DeclarativeBase):
    """The base class of all models. Names every constraint, so that migrations can refer to it."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A timestamp in UTC on both databases; SQLite does not store a time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


class later(FunctionElement[datetime]):  # noqa: N801 - named like an SQL function
    """The database's current time plus `seconds`: one clock for all machines."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float) -> None:
        super().__init__(literal(round(seconds, 3)))


@compiles(later, "postgresql")
def _later_on_postgresql(element: later, compiler: Any, **kwargs: Any) -> str:
    return f"statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kwargs)})"


@compiles(later, "sqlite")
def _later_on_sqlite(element: later, compiler: Any, **kwargs: Any) -> str:
    seconds = compiler.process(element.clauses, **kwargs)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"  # as UtcDateTime is stored


def rows_from_json(dialect: str, parameter: str, **columns: type[TypeEngine[Any]]) -> FromClause:
    """Return rows read from one parameter, a JSON list of objects, so that one statement can take thousands."""
    parts = [column(name, kind()) for name, kind in columns.items()]
    if dialect == "postgresql":
        return (
            func.json_to_recordset(bindparam(parameter, type_=JSON))
            .table_valued(*parts)
            .render_derived(name="given", with_types=True)
        )
    each = func.json_each(bindparam(parameter, type_=JSON)).table_valued("value")
    members = (func.json_extract(each.c.value, f"$.{part.name}", type_=part.type).label(part.name) for part in parts)
    return select_rows(*members).select_from(each).subquery("given")


def any_of(dialect: str, column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """Return the condition that a column has one of a parameter's values; on PostgreSQL, the parameter is an array."""
    if dialect == "postgresql":
        return column == any_(bindparam(parameter, type_=ARRAY(column.type)))
    return column.in_(bindparam(parameter, expanding=True))


def dialect_of(session: Session) -> str:
    """Return `sqlite` or `postgresql`."""
    return session.get_bind().dialect.name


def is_sqlite(session: Session) -> bool:
    return dialect_of(session) == "sqlite"


def table_of(model: type[Base]) -> Table:
    """Return the table of a model, for prebuilt statements: see docs/architecture.md."""
    return Base.metadata.tables[model.__tablename__]


def insert_into(dialect: str, table: Table) -> postgresql.Insert:
    """Return an INSERT that supports ON CONFLICT, which SQLAlchemy's generic INSERT does not."""
    return cast(postgresql.Insert, sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table))


def configure_sqlite(engine: Engine) -> None:
    """Configure SQLite: foreign keys, WAL, durable commits, and BEGIN IMMEDIATE for writing transactions.

    Once the shop has moved to another database, a writing transaction raises Busy, whoever had the file open before.

    Deleted rows are overwritten (secure_delete), so that nothing of a deleted account stays in the file.
    Python's driver would delay BEGIN, so that RELEASE SAVEPOINT could commit. Therefore it is in autocommit mode and
    BEGIN is sent here. A transaction that began as a reader could not wait for the write lock, hence IMMEDIATE.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        lock_timeout = connection.get_execution_options().get(WRITES)
        if lock_timeout is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {max(1, int(1000 * lock_timeout))}")
        connection.exec_driver_sql("BEGIN" if lock_timeout is None else "BEGIN IMMEDIATE")
        if lock_timeout is not None:
            driver = connection.connection.driver_connection
            if driver.execute("PRAGMA user_version").fetchone() == (MOVED,):
                raise Busy(MOVED_AWAY)


def truncate_wal(engine: Engine) -> bool:
    """Copy SQLite's write-ahead log to the database file and empty it: it holds pages as they were before a deletion.

    Returns False if a reader or writer prevents that at this moment; never waits. True on PostgreSQL.
    """
    if engine.dialect.name != "sqlite":
        return True
    connection: Any = engine.raw_connection()
    try:
        (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()  # most of the work, without blocking writers
        connection.execute("PRAGMA busy_timeout = 0")
        (busy, *_pages) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.execute(f"PRAGMA busy_timeout = {timeout}")
    finally:
        connection.close()
    return not busy


def configure_postgresql(engine: Engine) -> None:
    """Discard pooled connections that the server has closed, without a round trip at each checkout.

    An idle connection is readable only once the server has closed it. The server also ends transactions that stay
    idle, so that their locks are released.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}'")
        connection.commit()

    @event.listens_for(engine, "checkout")
    def on_checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        poller = select.poll()
        poller.register(connection.fileno(), select.POLLIN)
        if poller.poll(0):
            raise DisconnectionError("the server has closed this connection")


def configure_engine(engine: Engine) -> None:
    """Configure an engine for its database."""
    (configure_sqlite if engine.dialect.name == "sqlite" else configure_postgresql)(engine)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list: `page` counts from 1, `total` is the length of the whole list.

    `next_keys` are the sort keys of its last row if another page follows and the list has cursors; see pagination.py.
    """

    items: Sequence[T]
    total: int
    page: int
    size: int
    next_keys: Sequence[Any] | None = None

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def paginate(
    session: Session, query: Select[*tuple[Any, ...]], page: int, size: int, total: int | None = None
) -> Page[Any]:
    """Return one page of rows (scalars if the query has one column) and the total, in two statements.

    Pass `total` if it is known, to save the counting statement.
    """
    if total is None:
        total = session.scalar(select_rows(func.count()).select_from(query.order_by(None).subquery())) or 0
    result = session.execute(query.limit(size).offset((page - 1) * size))
    rows = result.scalars().all() if len(query.column_descriptions) == 1 else result.all()
    return Page(rows, total, page, size)
