"""The ground under the models: the base class, UTC times, pages of rows, and what makes SQLite behave."""

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

T = TypeVar("T")

ID_MAX = 2**31 - 1  # what PostgreSQL's integer, the type of every id, can hold
IDLE = "60s"  # after which PostgreSQL ends a transaction in which nothing happens
WRITES = "bookshop_writes"  # on SQLite: for how many seconds a transaction that writes waits for its turn


class Base(DeclarativeBase):
    """The base of all models. Every constraint has a name, so that migrations can find it."""

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
    """A time with zone UTC on both databases; SQLite itself would lose the zone."""

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


class later(FunctionElement[datetime]):  # noqa: N801 - written like the functions of SQL
    """The time in so many seconds by the database's own clock, which is one for all machines that use it."""

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
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"  # as UtcDateTime is kept


def rows_from_json(dialect: str, parameter: str, **columns: type[TypeEngine[Any]]) -> FromClause:
    """Rows that come as one parameter, a JSON list of objects with these members: a thousand in one statement."""
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
    """That a column has one of the values of a parameter; on PostgreSQL an array, which is one value for the driver."""
    if dialect == "postgresql":
        return column == any_(bindparam(parameter, type_=ARRAY(column.type)))
    return column.in_(bindparam(parameter, expanding=True))


def dialect_of(session: Session) -> str:
    """`sqlite` or `postgresql`."""
    return session.get_bind().dialect.name


def is_sqlite(session: Session) -> bool:
    return dialect_of(session) == "sqlite"


def table_of(model: type[Base]) -> Table:
    """The table of a model, for statements that are made once: see docs/architecture.md."""
    return Base.metadata.tables[model.__tablename__]


def insert_into(dialect: str, table: Table) -> postgresql.Insert:
    """An INSERT that may have ON CONFLICT, which both databases know but SQLAlchemy's common INSERT does not."""
    return cast(postgresql.Insert, sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table))


def prepare_sqlite(engine: Engine) -> None:
    """Give SQLite foreign keys, WAL, durable commits, and BEGIN IMMEDIATE for those who will write.

    Python's driver would begin late and let RELEASE SAVEPOINT commit, so it is switched to autocommit and every
    BEGIN is ours. A writer that began as a reader could not wait for its turn: hence IMMEDIATE from the start.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        patience = connection.get_execution_options().get(WRITES)
        if patience is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {max(1, int(1000 * patience))}")
        connection.exec_driver_sql("BEGIN" if patience is None else "BEGIN IMMEDIATE")


def prepare_postgresql(engine: Engine) -> None:
    """Throw away pooled connections that the server has closed, without a question to it at each checkout.

    On an idle connection nothing is to be read but the news that it is closed. One that stopped in a transaction is
    ended by the server, so that nobody waits for its locks for ever.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE}'")
        connection.commit()

    @event.listens_for(engine, "checkout")
    def on_checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        if waiting.poll(0):
            raise DisconnectionError("the server has closed this connection")


def prepare(engine: Engine) -> None:
    """Install on an engine what its database needs."""
    (prepare_sqlite if engine.dialect.name == "sqlite" else prepare_postgresql)(engine)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list: `page` counts from 1, `total` is the length of the whole list.

    `next_keys` are those of its last row, if more follow and the list can be read on from there; see pagination.py.
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
    """The rows of one page (scalars if the query has one column) and the total: two statements, however many rows.

    Who knows the total already gives it, and spares the one that counts.
    """
    if total is None:
        total = session.scalar(select_rows(func.count()).select_from(query.order_by(None).subquery())) or 0
    result = session.execute(query.limit(size).offset((page - 1) * size))
    rows = result.scalars().all() if len(query.column_descriptions) == 1 else result.all()
    return Page(rows, total, page, size)
