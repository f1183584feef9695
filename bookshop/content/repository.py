"""SQL for content pages."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.orm import Session

from bookshop.content.models import PUBLISHED, ContentPage
from bookshop.kit.database import dialect_of, insert_into, now, table_of

pages = table_of(ContentPage)
FIRST = 1  # the version of a new page


class Heading(NamedTuple):
    """A page without its text."""

    slug: str
    title: str
    state: str


class ContentRepository:
    """Reads and writes content pages; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, slug: str) -> Row[Any] | None:
        """Return a page with fresh values."""
        return self.session.connection().execute(select(pages).where(pages.c.slug == slug)).one_or_none()

    def list_headings(self) -> Sequence[Heading]:
        """Return all pages without their texts, by title."""
        rows = self.session.connection().execute(
            select(pages.c.slug, pages.c.title, pages.c.state).order_by(func.lower(pages.c.title), pages.c.slug)
        )
        return [Heading(*row) for row in rows]

    def published_texts(self) -> Mapping[str, str]:
        """Return the texts of the pages that visitors can read, by slug."""
        rows = self.session.connection().execute(select(pages.c.slug, pages.c.body).where(pages.c.state == PUBLISHED))
        return {row.slug: row.body for row in rows}

    def insert(self, slug: str, values: Mapping[str, Any]) -> bool:
        """Add a page; False if there is one with this slug."""
        row = {**values, "slug": slug, "version": FIRST, "updated_at": now()}
        insert = insert_into(dialect_of(self.session), pages).values(**row).on_conflict_do_nothing()
        return self.session.connection().scalar(insert.returning(pages.c.slug)) is not None

    def update(self, slug: str, values: Mapping[str, Any], version: int) -> bool:
        """Change a page and count its version up; False if it has another version."""
        changed = update(pages).where(pages.c.slug == slug, pages.c.version == version)
        result: Any = self.session.connection().execute(
            changed.values(version=pages.c.version + 1, updated_at=now(), **values)
        )
        return bool(result.rowcount)

    def delete(self, slug: str) -> bool:
        """Delete a page; False if there is none."""
        result: Any = self.session.connection().execute(delete(pages).where(pages.c.slug == slug))
        return bool(result.rowcount)
