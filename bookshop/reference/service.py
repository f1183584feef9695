"""Filling the reference catalogue."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from bookshop.reference.repository import ReferenceRepository, Title

NEEDED = {"isbn": "no ISBN", "title": "no title", "authors": "no authors"}


class Saved(NamedTuple):
    """How many lines have added, updated and not changed a title."""

    added: int
    updated: int
    unchanged: int


class ReferenceService:
    """Keeps the titles from which new books in a delivery are filled in; never commits."""

    def __init__(self, session: Session) -> None:
        self.titles = ReferenceRepository(session)

    def save(self, lines: Iterable[Mapping[str, Any]]) -> Saved:
        """Add or replace titles by their ISBN; of several lines for one ISBN, the last is kept.

        A replaced title keeps the fields that its new line does not have. Each line must have what `missing` looks for.
        """
        wanted = list(lines)
        before = self.titles.find({line["isbn"] for line in wanted})
        after, added, updated = dict(before), 0, 0
        for line in wanted:
            present = after.get(line["isbn"])
            title = _merged(present, line)
            added += present is None
            updated += present not in (None, title)
            after[line["isbn"]] = title
        if changed := [title for isbn, title in after.items() if before.get(isbn) != title]:
            self.titles.save(changed)
        return Saved(added, updated, len(wanted) - added - updated)


def missing(line: Mapping[str, Any]) -> str:
    """Return what a line lacks that every title needs, such as "has no ISBN"; "" if nothing."""
    absent = [words for name, words in NEEDED.items() if not line.get(name)]
    return f"has {' and '.join(absent)}" if absent else ""


def _merged(present: Title | None, line: Mapping[str, Any]) -> Title:
    given = {name: line[name] for name in Title._fields if name in line}
    blank = dict.fromkeys(Title._fields) if present is None else present._asdict()
    return Title(**{**blank, **given})
