"""Full-text search in each database's own way: every word typed is the beginning of a word of the book."""

import re
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    case,
    column,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.orm import InstrumentedAttribute, Session
from stdnum import isbn

from bookshop.catalog.models import Book
from bookshop.kit.database import is_sqlite
from bookshop.kit.pagination import SortKey
from bookshop.kit.text import main_title, words

LONGEST_QUERY = 200
MOST_WORDS = 12
ISBN_NAME = re.compile(r"^isbn(-?1[03])?[\s:]*", re.IGNORECASE)
HYPHENS = re.compile("[\u2010-\u2015]")
WHOLE, AUTHORS = "", "B"  # parts of a book that a search may be narrowed to
TITLE_OR_ISBN = "A"
SQLITE_PARTS = {WHOLE: "", TITLE_OR_ISBN: "{search_title search_isbn} : ", AUTHORS: "{search_authors} : "}


def matching(session: Session, query: Select[Any], typed: str) -> tuple[Select[Any], list[SortKey]]:
    """Narrow a query on books to those that match what was typed; returns it and how to order it, best first.

    First a title that is what was typed, then titles that begin with it, that have it inside, that have all its words
    or the beginnings of them (an ISBN counts as title), that have some; the shortest first of those that are equally
    good. Then books that only their authors bring in, by title, those first who have what was typed in a name.
    """
    found = _words(typed)
    if not found:
        return query.where(false()), []
    key = main_title(typed[:LONGEST_QUERY])
    titled = _matches(session, found, TITLE_OR_ISBN)
    in_title = or_(*(_matches(session, [word], TITLE_OR_ISBN) for word in found))
    better = [
        Book.main_title == key,
        Book.main_title.startswith(f"{key} "),
        _has_phrase(Book.main_title, key),
        titled,
        in_title,
        _has_phrase(Book.search_authors, key),
    ]
    length = case((in_title, func.length(Book.main_title)), else_=0)
    return query.where(_matches(session, found, WHOLE)), [
        *(SortKey(part, descending=True) for part in better),
        SortKey(length),
    ]


def matching_authors(session: Session, query: Select[Any], typed: str) -> Select[Any]:
    """Narrow a query on books to those by an author of whom every word typed is the beginning of a name."""
    found = _words(typed)
    return query.where(_matches(session, found, AUTHORS) if found else false())


def _has_phrase(folded: ColumnElement[str] | InstrumentedAttribute[str], key: str) -> ColumnElement[bool]:
    return literal(" ").concat(folded).concat(" ").contains(f" {key} ")


def _words(typed: str) -> list[str]:
    typed = HYPHENS.sub("-", ISBN_NAME.sub("", typed[:LONGEST_QUERY].strip()))
    digits = re.sub(r"[\s-]", "", typed)
    hyphenated = re.fullmatch(r"[\d-]+[\dxX]", typed)
    if hyphenated or re.fullmatch(r"97[89]\d{3,10}", digits) or isbn.is_valid(digits):
        typed = digits
    return words(typed)[:MOST_WORDS]


def _matches(session: Session, found: list[str], part: str) -> ColumnElement[bool]:
    """Whether each of the words begins a word of that part of the book."""
    if is_sqlite(session):
        prefixes = SQLITE_PARTS[part] + "(" + " AND ".join(f'"{word}"*' for word in found) + ")"
        hits: Select[Any] = select(column("rowid")).select_from(table("books_fts"))
        return Book.id.in_(hits.where(literal_column("books_fts").bool_op("MATCH")(prefixes)))
    tsquery = " & ".join(f"{word}:*{part}" for word in found)
    return literal_column("books.search_vector").bool_op("@@")(func.to_tsquery("simple", tsquery))
