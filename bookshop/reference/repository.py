"""SQL for the reference catalogue."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from bookshop.kit.database import any_of, dialect_of, insert_into, now, table_of
from bookshop.reference.models import ReferenceTitle

titles = table_of(ReferenceTitle)


class Title(NamedTuple):
    """A title of the reference catalogue, without the time of its import."""

    isbn: str
    title: str
    authors: str
    publisher: str | None
    language: str | None
    published_year: int | None
    description: str | None
    price_cents: int | None
    currency: str | None


COLUMNS = [titles.c[name] for name in Title._fields]


class ReferenceRepository:
    """Finds and writes titles; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = dialect_of(session)

    def find(self, isbns: Collection[str]) -> Mapping[str, Title]:
        """Return the titles with these ISBN-13s, by ISBN."""
        query = select(*COLUMNS).where(any_of(self.dialect, titles.c.isbn, "isbns"))
        rows = self.session.connection().execute(query, {"isbns": list(isbns)}) if isbns else ()
        return {row.isbn: Title(*row) for row in rows}

    def save(self, rows: Sequence[Title]) -> None:
        """Add titles, each ISBN at most once, or replace those that are there."""
        insert = insert_into(self.dialect, titles)
        replaced = {name: insert.excluded[name] for name in (*Title._fields, "imported_at") if name != "isbn"}
        statement = insert.on_conflict_do_update(index_elements=[titles.c.isbn], set_=replaced)
        time = now()
        in_order = sorted(rows, key=lambda row: row.isbn)  # so that two imports never wait for each other in a circle
        values: list[dict[str, Any]] = [{**row._asdict(), "imported_at": time} for row in in_order]
        self.session.connection().execute(statement, values)
