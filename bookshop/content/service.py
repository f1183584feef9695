"""Content pages: what visitors read, and what owners change."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.content.models import DRAFT, PAGES_MAX, PUBLISHED, SLUG_MAX
from bookshop.content.repository import ContentRepository, Heading
from bookshop.content.starters import TITLES, starter
from bookshop.kit.exceptions import Conflict, NotFound
from bookshop.kit.text import fold

SLUG = re.compile(f"[a-z0-9-]{{1,{SLUG_MAX}}}")
RESERVED = frozenset(("new",))  # the address of the form for a new page
STARTER = "starter"  # the state of a page that nobody has reviewed
CHANGED_MEANWHILE = (
    "Somebody else has changed this page meanwhile, and your text is not saved. Open the page in another tab and "
    "compare. If yours is right, save it again."
)


@dataclass(frozen=True)
class Page:
    """A content page; `version` is 0 for a starter page that nobody has reviewed."""

    slug: str
    title: str
    body: str
    state: str
    version: int = 0


class ContentService:
    """Reads and changes content pages; never commits."""

    def __init__(self, session: Session) -> None:
        self.pages = ContentRepository(session)
        self.audit = AuditService(session)

    @cached_property
    def links(self) -> Sequence[Heading]:
        """The pages that visitors can read, as they were when first asked for: once for each request."""
        return self.list_pages()

    def read(self, slug: str, *, drafts: bool = False) -> Page:
        """Return a page; raises NotFound, also for a draft unless `drafts`."""
        row, start = self.pages.get(slug) if SLUG.fullmatch(slug) else None, starter(slug)
        if row is not None and (drafts or row.state == PUBLISHED):
            return Page(row.slug, row.title, row.body, row.state, row.version)
        if row is None and start is not None:
            return Page(*start, STARTER)
        raise NotFound("There is no such page.", "PAGE_NOT_FOUND")

    def read_reviewed(self, slug: str) -> Page | None:
        """Return a page that an owner has written or confirmed; None, mostly without a query, if there is none."""
        if not any(page.slug == slug and page.state == PUBLISHED for page in self.links):
            return None
        row = self.pages.get(slug)
        if row is None or row.state != PUBLISHED:
            return None
        return Page(row.slug, row.title, row.body, row.state, row.version)

    def list_pages(self, *, drafts: bool = False) -> Sequence[Heading]:
        """Return the pages without their texts: the starter pages in their order, then others by title."""
        own = {page.slug: page for page in self.pages.list_headings()}
        found = [own.pop(slug, Heading(slug, title, STARTER)) for slug, title in TITLES.items()]
        return [page for page in (*found, *own.values()) if drafts or page.state != DRAFT]

    def texts(self) -> Sequence[tuple[str, str]]:
        """Return title and text of the pages that visitors can read."""
        starts = {slug: start.body for slug in TITLES if (start := starter(slug))}
        bodies = {**starts, **self.pages.published_texts()}
        return [(page.title, bodies[page.slug]) for page in self.links if page.slug in bodies]

    def add(self, values: Mapping[str, Any]) -> str:
        """Add a page and return its slug, made from its title; raises Conflict if it is taken or there is no room."""
        slug = "-".join(fold(values["title"]).split())[:SLUG_MAX].strip("-")
        if not slug or slug in RESERVED:
            raise Conflict("The address of the page is made from its title. Choose another one.", "PAGE_EXISTS")
        if len(self.pages.list_headings()) >= PAGES_MAX:
            raise Conflict(f"A shop can have {PAGES_MAX} pages. Delete one first.", "PAGE_LIMIT_REACHED")
        if starter(slug) or not self.pages.insert(slug, values):
            raise Conflict("There is a page with this title. Choose another one.", "PAGE_EXISTS")
        self.audit.record("page.created", None, after={"slug": slug, "state": values["state"]})
        return slug

    def change(self, slug: str, values: Mapping[str, Any], version: int) -> None:
        """Change a page, or confirm a starter page; raises NotFound, or Conflict if it has another version."""
        before = self.read(slug, drafts=True)
        if before.version != version:
            raise Conflict(CHANGED_MEANWHILE, "PAGE_CHANGED")
        changed = self.pages.update(slug, values, version) if version else self.pages.insert(slug, values)
        if not changed:
            raise Conflict(CHANGED_MEANWHILE, "PAGE_CHANGED")
        self.audit.record("page.changed", None, {"slug": slug, "state": before.state}, {"state": values["state"]})

    def delete(self, slug: str) -> None:
        """Delete a page; a starter page comes back as it was at first. Raises NotFound."""
        if not (SLUG.fullmatch(slug) and self.pages.delete(slug)):
            raise NotFound("There is no such page.", "PAGE_NOT_FOUND")
        self.audit.record("page.deleted", None, {"slug": slug})
