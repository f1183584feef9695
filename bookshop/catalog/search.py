"""Full-text search in each database's own way: every word typed is the beginning of a word of the book."""

import re
from typing import Any

from sqlalchemy import ColumnElement, Select, column, desc, false, func, literal_column, text
from sqlalchemy.orm import Session

from bookshop.catalog.models import Book
from bookshop.database import is_sqlite
from bookshop.text import fold, words

LONGEST_QUERY = 200
MOST_WORDS = 12
ISBN_LIKE = re.compile(r"[\d\s-]{8,}[\dxX]")

Matched = tuple[Select[Any], list[ColumnElement[Any]]]


def matching(session: Session, query: Select[Any], typed: str) -> Matched:
    """Narrow a query on books to those that match what was typed; returns it and how to order it, best first.

    A title that is what was typed comes first, then titles that begin so, then the database's own ranking, in which
    title and ISBN weigh more than authors.
    """
    found = _words(typed)
    if not found:
        return query.where(false()), []
    match = _sqlite_match if is_sqlite(session) else _postgresql_match
    query, rank = match(query, found)
    key = fold(typed[:LONGEST_QUERY])
    return query, [desc(Book.title_key == key), desc(Book.title_key.startswith(f"{key} ")), rank]


def matching_authors(session: Session, query: Select[Any], typed: str) -> Select[Any]:
    """Narrow a query on books to those by an author of whom every word typed is the beginning of a name."""
    found = _words(typed)
    if not found:
        return query.where(false())
    if is_sqlite(session):
        by_author = text("SELECT rowid AS id FROM books_fts WHERE books_fts MATCH :author_match")
        prefixes = " ".join(f"search_authors:{word}*" for word in found)
        return query.where(Book.id.in_(by_author.bindparams(author_match=prefixes).columns(column("id"))))
    return query.where(_matches(" & ".join(f"{word}:*B" for word in found)))


def _words(typed: str) -> list[str]:
    typed = typed[:LONGEST_QUERY].strip()
    if ISBN_LIKE.fullmatch(typed):
        typed = re.sub(r"[\s-]", "", typed)
    return words(typed)[:MOST_WORDS]


def _sqlite_match(query: Select[Any], found: list[str]) -> tuple[Select[Any], ColumnElement[Any]]:
    match = text("SELECT rowid AS id, rank FROM books_fts WHERE books_fts MATCH :match")
    prefixes = " ".join(f'"{word}"*' for word in found)
    hits = match.bindparams(match=prefixes).columns(column("id"), column("rank")).subquery("hits")
    return query.join(hits, hits.c.id == Book.id), hits.c.rank


def _postgresql_match(query: Select[Any], found: list[str]) -> tuple[Select[Any], ColumnElement[Any]]:
    tsquery = " & ".join(f"{word}:*" for word in found)
    rank = func.ts_rank(literal_column("books.search_vector"), func.to_tsquery("simple", tsquery))
    return query.where(_matches(tsquery)), desc(rank)


def _matches(tsquery: str) -> ColumnElement[bool]:
    return literal_column("books.search_vector").bool_op("@@")(func.to_tsquery("simple", tsquery))
