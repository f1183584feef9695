"""The rows of any schema of the shop in one notation, the same for both databases.

A row is a list of None, booleans, integers and strings, its columns in the order of their names. Times are strings in
UTC such as `2026-11-30 06:30:00.000000`, bytes are hexadecimal digits, and JSON is the text that is stored.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import Boolean, Connection, DateTime, LargeBinary, inspect, text
from sqlalchemy import types as sql_types
from sqlalchemy.exc import DBAPIError

from bookshop.kit.database import Base

BATCH = 1000  # rows that are read or written at once
FORMER_TABLES = {"given_answers", "password_resets"}  # of earlier schemas
PLAIN, TIME, BOOLEAN, BYTES, DOCUMENT = "plain", "time", "boolean", "bytes", "document"
KINDS = ((DateTime, TIME), (Boolean, BOOLEAN), (LargeBinary, BYTES), (sql_types.JSON, DOCUMENT))
STORED_TIME = len("2026-11-30 06:30:00.000000")
DIGEST = 16  # bytes
SEQUENCE = text("SELECT pg_get_serial_sequence(:table, 'id')")

Row = list[Any]


@dataclass(frozen=True)
class Table:
    """A table as it is in a database: the kind of each column, by name; without generated columns."""

    name: str
    columns: Mapping[str, str]

    @property
    def quoted(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)


@dataclass
class Digest:
    """The number of rows, and a sum of their hashes that does not depend on their order."""

    rows: int = 0
    total: int = 0

    def add(self, line: bytes) -> None:
        self.rows += 1
        self.total += int.from_bytes(blake2b(line, digest_size=DIGEST).digest())

    def __str__(self) -> str:
        return f"{self.total % 256**DIGEST:0{2 * DIGEST}x}"


def tables_of(connection: Connection) -> list[Table]:
    """Return the tables of the shop, each after those that its foreign keys name; leaves out what others have added."""
    inspector = inspect(connection)
    names = [name for name, _keys in inspector.get_sorted_table_and_fkc_names() if name is not None]
    return [_table(inspector, name) for name in names if name in Base.metadata.tables or name in FORMER_TABLES]


def _table(inspector: Any, name: str) -> Table:
    columns = {column["name"]: column for column in inspector.get_columns(name) if "computed" not in column}
    return Table(name, {name: _kind(columns[name]["type"]) for name in sorted(columns)})


def _kind(column: Any) -> str:
    return next((kind for type_, kind in KINDS if isinstance(column, type_)), PLAIN)


def line_of(row: Row) -> bytes:
    """Return a row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


# ---------------------------------------------------------------- reading


def read_rows(connection: Connection, table: Table) -> Iterator[Sequence[Row]]:
    """Yield the rows of a table in batches; all calls in one transaction see the shop at the same moment."""
    is_sqlite = connection.dialect.name == "sqlite"
    columns = ", ".join(f'"{name}"' if is_sqlite else _selected(name, kind) for name, kind in table.columns.items())
    converted = [(place, READ[kind]) for place, kind in enumerate(table.columns.values()) if kind in READ]
    query = text(f'SELECT {columns} FROM "{table.name}"')  # noqa: S608 - names from the schema
    options = {"stream_results": True, "max_row_buffer": BATCH}
    for batch in connection.execute(query, execution_options=options).partitions(BATCH):
        rows = [list(row) for row in batch]
        for row in rows:
            for place, convert in converted:
                if row[place] is not None:
                    row[place] = convert(row[place])
        yield rows


def _selected(name: str, kind: str) -> str:
    """Return the expression with which PostgreSQL itself writes a column in our notation."""
    if kind == TIME:
        return f"to_char(\"{name}\" AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    return f'CAST("{name}" AS text)' if kind == DOCUMENT else f'"{name}"'


def _stored_time(stored: str) -> str:
    if len(stored) == STORED_TIME:
        return stored
    time = datetime.fromisoformat(stored)
    return f"{time.astimezone(UTC) if time.tzinfo else time:%Y-%m-%d %H:%M:%S.%f}"


def _hexadecimal(stored: bytes | str) -> str:
    return (stored if isinstance(stored, bytes) else stored.encode()).hex()  # SQLite may store text in any column


READ: Mapping[str, Callable[[Any], Any]] = {TIME: _stored_time, BOOLEAN: bool, BYTES: _hexadecimal}


def digest_of(connection: Connection, table: Table) -> Digest:
    """Return the digest of a table's rows."""
    digest = Digest()
    for batch in read_rows(connection, table):
        for row in batch:
            digest.add(line_of(row))
    return digest


# ---------------------------------------------------------------- writing


def write_rows(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert rows into a table, quickly, past SQLAlchemy; raises DBAPIError all the same."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        (_insert_on_sqlite if connection.dialect.name == "sqlite" else _copy_to_postgresql)(connection, table, rows)
    except driver.Error as error:
        raise _as_sqlalchemy_raises_it(connection, error, driver.Error) from error


def _as_sqlalchemy_raises_it(connection: Connection, error: Exception, base: type[Exception]) -> BaseException:
    is_lost = connection.dialect.is_disconnect(error, connection.connection.driver_connection, None)  # type: ignore[arg-type]
    if is_lost:
        connection.invalidate(error)
    options: dict[str, Any] = {"hide_parameters": True, "connection_invalidated": is_lost}
    wrapped: BaseException = DBAPIError.instance(None, None, error, base, dialect=connection.dialect, **options)
    return wrapped


def _insert_on_sqlite(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    values = ", ".join("?" * len(table.columns))
    insert = f'INSERT INTO "{table.name}" ({table.quoted}) VALUES ({values})'  # noqa: S608 - names from the schema
    driver: Any = connection.connection.driver_connection
    driver.executemany(insert, _converted(rows, table, {BYTES: bytes.fromhex}))


def _copy_to_postgresql(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(f'COPY "{table.name}" ({table.quoted}) FROM STDIN') as copy:
        for row in _converted(rows, table, {BYTES: bytes.fromhex, TIME: "{}+00".format}):
            copy.write_row(row)


def _converted(rows: Iterable[Row], table: Table, converters: Mapping[str, Callable[[Any], Any]]) -> Iterator[Row]:
    places = [(place, converters[kind]) for place, kind in enumerate(table.columns.values()) if kind in converters]
    for row in rows:
        for place, convert in places:
            if row[place] is not None:
                row[place] = convert(row[place])
        yield row


def set_sequences(connection: Connection) -> None:
    """Let PostgreSQL count on after the largest id of each table; SQLite does so by itself."""
    if connection.dialect.name == "sqlite":
        return
    for name in (table.name for table in tables_of(connection) if "id" in table.columns):
        if sequence := connection.scalar(SEQUENCE, {"table": f'"{name}"'}):
            largest = f'SELECT max(id) AS largest FROM "{name}"'  # noqa: S608 - names from the schema
            set_value = text(f"SELECT setval(:sequence, largest) FROM ({largest}) counted WHERE largest > 0")  # noqa: S608
            connection.execute(set_value, {"sequence": sequence})
    connection.execute(text("ANALYZE"))
