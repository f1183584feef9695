"""Full-text search with each database's own index: every word typed must begin a word of the book."""

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

from bookshop.catalog.isbn import bare_isbn
from bookshop.catalog.models import Book
from bookshop.kit.database import is_sqlite
from bookshop.kit.pagination import SortKey
from bookshop.kit.text import main_title, words

QUERY_MAX = 200  # characters
WORDS_MAX = 12
ISBN_NAME = re.compile(r"^isbn(-?1[03])?[\s:]*", re.IGNORECASE)
HYPHENS = re.compile("[\u2010-\u2015]")
WHOLE, TITLE_OR_ISBN, AUTHORS = "", "A", "B"  # the parts of a book to search: weights of PostgreSQL's tsvector
SQLITE_PARTS = {WHOLE: "", TITLE_OR_ISBN: "{search_title search_isbn} : ", AUTHORS: "{search_authors} : "}


def matching(session: Session, query: Select[Any], typed: str) -> tuple[Select[Any], list[SortKey]]:
    """Filter a query on books by the words typed; returns the query and its sort keys, best match first.

    Titles that equal the text rank first, then titles that begin with it, contain it, have all its words or their
    beginnings (an ISBN counts as a title), and have some of them; shorter titles win ties. Books found by their
    authors alone follow, sorted by title; those with the whole text in a name come first.
    """
    typed_words = words_of(typed)
    if not typed_words:
        return query.where(false()), []
    key = main_title(typed[:QUERY_MAX])
    all_in_title = _matches(session, typed_words, TITLE_OR_ISBN)
    some_in_title = or_(*(_matches(session, [word], TITLE_OR_ISBN) for word in typed_words))
    ranks = [
        Book.main_title == key,
        Book.main_title.startswith(f"{key} "),
        _has_phrase(Book.main_title, key),
        all_in_title,
        some_in_title,
        _has_phrase(Book.search_authors, key),
    ]
    length = case((some_in_title, func.length(Book.main_title)), else_=0)
    return query.where(_matches(session, typed_words, WHOLE)), [
        *(SortKey(rank, descending=True) for rank in ranks),
        SortKey(length),
    ]


def matching_authors(session: Session, query: Select[Any], typed: str) -> Select[Any]:
    """Filter a query on books by author: every word typed must begin a name."""
    typed_words = words_of(typed)
    return query.where(_matches(session, typed_words, AUTHORS) if typed_words else false())


def some_matching(session: Session, query: Select[Any], prefixes: list[str], limit: int) -> Select[Any]:
    """Filter a query on books: each prefix begins a word of the book; stops at any `limit` of them, and sorts nothing.

    On SQLite it joins the index: a subquery with all matches would be completed before the first book is read.
    """
    if not is_sqlite(session):
        return query.where(_matches(session, prefixes, WHOLE)).limit(limit)
    index = table("books_fts", column("rowid"))
    match = literal_column("books_fts").bool_op("MATCH")(_fts5(prefixes, WHOLE))
    return query.join(index, index.c.rowid == Book.id).where(match).limit(limit)


def _has_phrase(folded: ColumnElement[str] | InstrumentedAttribute[str], key: str) -> ColumnElement[bool]:
    return literal(" ").concat(folded).concat(" ").contains(f" {key} ")


def words_of(typed: str) -> list[str]:
    """Return the words of a search, folded like those in the index; an ISBN is one word, with hyphens or without."""
    typed = HYPHENS.sub("-", ISBN_NAME.sub("", typed[:QUERY_MAX].strip()))
    digits = bare_isbn(typed)
    hyphenated = re.fullmatch(r"[\d-]+[\dxX]", typed)
    if hyphenated or re.fullmatch(r"97[89]\d{3,10}", digits) or isbn.is_valid(digits):
        typed = digits
    return words(typed)[:WORDS_MAX]


def _matches(session: Session, prefixes: list[str], part: str) -> ColumnElement[bool]:
    """Return SQL for: each prefix begins a word in that part of the book."""
    if is_sqlite(session):
        hits: Select[Any] = select(column("rowid")).select_from(table("books_fts"))
        return Book.id.in_(hits.where(literal_column("books_fts").bool_op("MATCH")(_fts5(prefixes, part))))
    tsquery = " & ".join(f"{prefix}:*{part}" for prefix in prefixes)
    return literal_column("books.search_vector").bool_op("@@")(func.to_tsquery("simple", tsquery))


def _fts5(prefixes: list[str], part: str) -> str:
    return SQLITE_PARTS[part] + "(" + " AND ".join(f'"{prefix}"*' for prefix in prefixes) + ")"
