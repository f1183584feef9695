"""The books that the page of a book leads to: its other editions, more by its authors, and others in stock.

All come from one statement. Each shelf first takes a limited number of candidates from an index, and sorts only these,
so a catalogue of a million books costs no more than one of a thousand.

The last shelf shows books in stock: those in the same language first, and among them those from about the same time.
Its candidates are the books published just before and after, and those that were sold, delivered or edited last, which
in a small shop are all books. It does not follow what other customers bought: a small shop sells most titles to very
few people, so such a list would be empty, or would tell what a neighbour reads.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    bindparam,
    column,
    false,
    func,
    literal_column,
    select,
    table,
    union,
    union_all,
)
from sqlalchemy.orm import Session

from bookshop.catalog.languages import base_language
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookCard, BookDetails
from bookshop.catalog.works import work_key
from bookshop.kit.database import dialect_of, table_of
from bookshop.kit.text import words

EDITIONS, BY_AUTHORS, SIMILAR = "editions", "authors", "similar"
SHOWN = 4  # books on a shelf: their covers weigh more than the rest of the page
CANDIDATES = 100  # of other editions, and of books by the same authors
NEIGHBOURS, LATEST = 150, 300  # candidates for the last shelf: in each direction of time, and by their last change
AUTHORS_MAX = 3  # authors of a book whose other books are looked for
NOT_AUTHORS = {"anon", "anonymous", "unknown", "various", "various authors"}

books = table_of(Book)


class Related(NamedTuple):
    """The books on each shelf, the best ones first."""

    editions: Sequence[BookCard]
    by_authors: Sequence[BookCard]
    similar: Sequence[BookCard]

    @property
    def all(self) -> Sequence[BookCard]:
        """The books of all shelves; each is on one of them only."""
        return [*self.editions, *self.by_authors, *self.similar]


class RelatedBooks:
    """Finds the books that are related to one; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def of(self, book: BookDetails) -> Related:
        """Return the books on sale that are related to this one."""
        has_author, has_language = bool(author_names(book.authors)), book.language is not None
        statement = _related(dialect_of(self.session), has_author, has_language, book.published_year is not None)
        rows = self.session.connection().execute(statement, self.parameters(book)).all()
        editions, by_authors, similar = (
            [BookCard(*row[2:]) for row in rows if row.shelf == shelf] for shelf in (EDITIONS, BY_AUTHORS, SIMILAR)
        )
        shown = {card.id for card in by_authors[:SHOWN]}
        others = [card for card in similar if card.id not in shown]
        return Related(editions[:SHOWN], by_authors[:SHOWN], others[:SHOWN])

    def parameters(self, book: BookDetails) -> Mapping[str, Any]:
        """Return the parameters of the statement."""
        language = base_language(book.language or "").lower()
        return {
            "book": book.id,
            "work": work_key(book.title, book.authors),
            "authors": _phrases(dialect_of(self.session), author_names(book.authors)),
            "language": language,
            "region": f"{language}-%",
            "year": book.published_year or 0,
        }


def author_names(authors: str) -> list[list[str]]:
    """Return the folded words of the first authors' names; none for words such as "Various"."""
    names = [words(name) for name in authors.split(",")[:AUTHORS_MAX]]
    return [name for name in names if name and " ".join(name) not in NOT_AUTHORS]


def _phrases(dialect: str, names: Sequence[Sequence[str]]) -> str:
    """Return a search for books that have one of these names among their authors, for the index of the database."""
    if dialect == "sqlite":
        return "{search_authors} : (" + " OR ".join(f'"{" ".join(name)}"' for name in names) + ")"
    return " | ".join("(" + " <-> ".join(f"{word}:B" for word in name) + ")" for name in names)


@cache
def _related(dialect: str, by_authors: bool, by_language: bool, by_year: bool) -> Select[Any]:
    in_stock, year = (books.c.stock_quantity > 0).desc(), books.c.published_year
    newest_first = (in_stock, year.is_(None), year.desc(), books.c.id.desc())
    same_language = [func.coalesce(_has_language(), false()).desc()] if by_language else []
    nearest = [year.is_(None), func.abs(year - bindparam("year"))] if by_year else []
    other_work = books.c.work_key != bindparam("work")
    shelves = [
        _shelf(EDITIONS, _editions(), [], newest_first),
        _shelf(
            SIMILAR,
            _similar(by_year),
            [other_work, books.c.stock_quantity > 0],
            [*same_language, *nearest, books.c.id.desc()],
        ),
    ]
    if by_authors:
        shelves.append(_shelf(BY_AUTHORS, _by_authors(dialect), [other_work], newest_first))
    found = union_all(*shelves).subquery("found")
    return select(found).where(found.c.place <= 2 * SHOWN).order_by(found.c.shelf, found.c.place)


def _shelf(
    name: str, candidates: Select[Any], conditions: Sequence[ColumnElement[bool]], order: Sequence[ColumnElement[Any]]
) -> Select[Any]:
    given = candidates.subquery(f"{name}_candidates")
    place = func.row_number().over(order_by=order).label("place")
    shelf = literal_column(f"'{name}'", String).label("shelf")
    cards = select(shelf, place, *(books.c[column] for column in BookCard._fields))
    on_sale = books.c.withdrawn_at.is_(None), books.c.id != bindparam("book")
    return cards.join_from(books, given, given.c.id == books.c.id).where(*on_sale, *conditions)


def _editions() -> Select[Any]:
    edition = books.alias("edition")
    return select(edition.c.id).where(edition.c.work_key == bindparam("work")).limit(CANDIDATES)


def _by_authors(dialect: str) -> Select[Any]:
    if dialect == "sqlite":
        hits: Select[Any] = select(column("rowid").label("id")).select_from(table("books_fts"))
        return hits.where(literal_column("books_fts").bool_op("MATCH")(bindparam("authors"))).limit(CANDIDATES)
    hit = books.alias("hit")
    query = func.to_tsquery("simple", bindparam("authors", type_=String))
    return select(hit.c.id).where(literal_column("hit.search_vector").bool_op("@@")(query)).limit(CANDIDATES)


def _similar(by_year: bool) -> Select[Any]:
    near = books.alias("near")
    ids, year = select(near.c.id), near.c.published_year
    parts = [ids.order_by(near.c.updated_at.desc()).limit(LATEST)]
    if by_year:
        parts.append(ids.where(year >= bindparam("year")).order_by(year).limit(NEIGHBOURS))
        parts.append(ids.where(year < bindparam("year")).order_by(year.desc()).limit(NEIGHBOURS))
    return select(union(*(select(part.subquery()) for part in parts)).subquery())


def _has_language() -> ColumnElement[bool]:
    tag = func.lower(books.c.language)
    return (tag == bindparam("language")) | tag.like(bindparam("region"))
