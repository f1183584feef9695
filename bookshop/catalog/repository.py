"""SQL about books."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, load_only

from bookshop.catalog.languages import language_tag
from bookshop.catalog.models import Book
from bookshop.catalog.search import matching, matching_authors
from bookshop.kit.database import Page, any_of, dialect_of, is_sqlite, now, paginate, table_of
from bookshop.kit.exceptions import PreconditionFailed
from bookshop.kit.pagination import PageRequest, SortKey, list_page

IMPORTS = 1_978  # any number that names the advisory lock of imports
LAST_CHANGE = select(func.max(Book.updated_at))  # asked for at every look at the list: made once
ON_SALE = (Book.withdrawn_at.is_(None),)
ON_CARD = ("id", "title", "authors", "published_year", "price_cents", "currency", "stock_quantity", "cover")
ON_A_CARD = load_only(*(getattr(Book, name) for name in ON_CARD), raiseload=True)
RISING = ("title", "price")  # these begin with the smallest unless told otherwise, the others with the greatest


class StockedBook(NamedTuple):
    """What one needs to know of a book to sell it, change its stock or withdraw it."""

    id: int
    isbn: str | None
    title: str
    authors: str
    price_cents: int
    currency: str
    stock_quantity: int
    withdrawn_at: datetime | None
    cover: str | None
    version: int

    @property
    def in_stock(self) -> bool:
        """Whether a copy is on the shelf."""
        return self.stock_quantity > 0

    @property
    def is_on_sale(self) -> bool:
        """Whether a copy can be had."""
        return self.in_stock and self.withdrawn_at is None

    def expect(self, versions: Collection[int] | None) -> None:
        """Raise Outdated unless the book has one of these versions; None stands for any."""
        if versions is not None and self.version not in versions:
            raise PreconditionFailed(
                "The book was changed since you read it, so nothing was written. Read it again, and send what is still "
                "to be changed with its new ETag."
            )


class BookDetails(NamedTuple):
    """All that a page and JSON say of a book, read by one statement."""

    id: int
    isbn: str | None
    title: str
    authors: str
    publisher: str | None
    language: str | None
    published_year: int | None
    description: str | None
    price_cents: int
    currency: str
    stock_quantity: int
    withdrawn_at: datetime | None
    cover: str | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def in_stock(self) -> bool:
        """Whether a copy is on the shelf."""
        return self.stock_quantity > 0


AnyBook = Book | StockedBook | BookDetails  # has an id, a title, authors, a cover, a price and a stock

# What is asked all the time is made once, of the table: 159 µs to read a book instead of 255, 178 to lock 3 instead of
# 337 (bench/statements.py).
books = table_of(Book)
DETAILS = select(*(books.c[name] for name in BookDetails._fields))
READ = DETAILS.where(books.c.id == bindparam("book"))
READ_BY_ISBN = DETAILS.where(books.c.isbn == bindparam("isbn"))


@dataclass(frozen=True)
class BookCriteria:
    """Which books to list (all that is not None must hold; `withdrawn` lets those in too) and in which order."""

    q: str | None = None
    author: str | None = None
    language: str | None = None
    in_stock: bool | None = None
    min_price_cents: int | None = None
    max_price_cents: int | None = None
    min_year: int | None = None
    max_year: int | None = None
    sort: str | None = None
    dir: str | None = None
    withdrawn: bool = False


class BookRepository:
    """Finds, locks and writes books; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = dialect_of(session)

    def get(self, book_id: int) -> Book | None:
        """The book as the database has it now, whatever the session remembers."""
        return self.session.get(Book, book_id, populate_existing=True)

    def read(self, book_id: int) -> BookDetails | None:
        """What a page and JSON say of the book, as the database has it now."""
        return _details(self.session.connection().execute(READ, {"book": book_id}).first())

    def read_by_isbn(self, isbn: str) -> BookDetails | None:
        """The same of the book with this ISBN-13."""
        return _details(self.session.connection().execute(READ_BY_ISBN, {"isbn": isbn}).first())

    def ids_by_isbn(self, isbns: Collection[str]) -> Mapping[str, int]:
        """The ids of the books with these ISBN-13s."""
        found = select(books.c.isbn, books.c.id).where(any_of(self.dialect, books.c.isbn, "isbns"))
        return {row[0]: row[1] for row in self.session.connection().execute(found, {"isbns": list(isbns)})}

    def lock(self, book_ids: Collection[int]) -> Sequence[StockedBook]:
        """Lock the books, in id order and with fresh values, until the transaction ends.

        Until then nobody else changes, withdraws or reserves them; who only reads them does not wait.
        """
        found = self.session.connection().execute(_lock(self.dialect), {"ids": list(book_ids)})
        return [StockedBook(*row) for row in found]

    def list_stocked(self, book_ids: Collection[int]) -> Sequence[StockedBook]:
        """The books, in id order, withdrawn ones too, as the database has them now; locks nothing."""
        found = self.session.connection().execute(_stocked(self.dialect), {"ids": list(book_ids)})
        return [StockedBook(*row) for row in found]

    def lock_all_of(self, books: Collection[Book]) -> None:
        """Lock books that the session holds, as `lock` does, and give them the values that they have by now."""
        query = select(Book).where(Book.id.in_([book.id for book in books])).order_by(Book.id)
        query = query.with_for_update(key_share=True)
        self.session.scalars(query.execution_options(populate_existing=True)).all()

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Insert books, with no stock yet; returns their ids in the order of the rows."""
        statement = insert(Book).returning(Book.id, sort_by_parameter_order=True)
        return list(self.session.scalars(statement, list(rows)))

    def update(self, book_id: int, values: Mapping[str, Any]) -> None:
        """Write fields of a book; objects that the session holds keep what they had."""
        changed = {**values, "updated_at": now(), "version": Book.version + 1}
        self.session.execute(
            update(Book).where(Book.id == book_id).values(changed), execution_options={"synchronize_session": False}
        )

    def has_cover(self, name: str) -> bool:
        """Whether any book has this uploaded cover."""
        return bool(self.session.scalar(select(exists().where(Book.cover == name))))

    def search(self, criteria: BookCriteria, page_request: PageRequest, size: int) -> Page[BookDetails]:
        """One page of the books that match, in the order asked for."""
        query, order = self._search(DETAILS, criteria)
        found = list_page(self.session, query, order, page_request, size)
        return replace(found, items=[BookDetails(*row) for row in found.items])

    def search_cards(self, criteria: BookCriteria, page: int, size: int, total: int) -> Page[Book]:
        """The same, but of each book only what a card shows, and without counting them: their number is known."""
        query, order = self._search(select(Book), criteria)
        cards = query.options(ON_A_CARD).order_by(*(by.clause for by in order))
        return paginate(self.session, cards, page, size, total)

    def _search(self, query: Select[Any], criteria: BookCriteria) -> tuple[Select[Any], Sequence[SortKey]]:
        query, ranking = self._found(query, criteria)
        return query.where(*filters(criteria).values()), _order(criteria, ranking)

    def count(self, criteria: BookCriteria) -> int:
        """How many books match."""
        query = self._found(select(func.count()).select_from(Book), criteria)[0]
        return self.session.scalar(query.where(*filters(criteria).values())) or 0

    def count_by(
        self, criteria: BookCriteria, traits: Mapping[str, ColumnElement[Any] | InstrumentedAttribute[Any]]
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """How many of the books that the words of the criteria find have each mix of the traits: rows with `books`.

        The other criteria are not asked for; who wants them names them as traits.
        """
        labelled = [trait.label(name) for name, trait in traits.items()]
        found = self._found(select(*labelled).select_from(Book), criteria)[0].subquery()
        return self.session.execute(select(*found.c, func.count().label("books")).group_by(*found.c)).all()

    def _found(self, query: Select[Any], criteria: BookCriteria) -> tuple[Select[Any], list[SortKey]]:
        """Narrow a query to the books on sale that the words of the criteria find, and say how to rank them."""
        ranking: list[SortKey] = []
        if not criteria.withdrawn:
            query = query.where(Book.withdrawn_at.is_(None))
        if criteria.q and criteria.q.strip():
            query, ranking = matching(self.session, query, criteria.q)
        if criteria.author and criteria.author.strip():
            query = matching_authors(self.session, query, criteria.author)
        return query, ranking

    def last_change(self) -> datetime | None:
        """When a book was last added or changed in any way, its stock included."""
        return self.session.connection().scalar(LAST_CHANGE)

    def list_back_in_stock(self, limit: int) -> Sequence[Book]:
        """The books on the shelf that had been sold out, the latest to come back first."""
        back = select(Book).where(Book.back_in_stock_at.is_not(None), *ON_SALE, Book.stock_quantity > 0)
        back = back.options(ON_A_CARD)
        return self.session.scalars(back.order_by(Book.back_in_stock_at.desc(), Book.id.desc()).limit(limit)).all()

    def list_newest(self, limit: int) -> Sequence[Book]:
        """The books that were last added to the catalogue."""
        newest = select(Book).where(*ON_SALE).options(ON_A_CARD).order_by(Book.id.desc()).limit(limit)
        return self.session.scalars(newest).all()

    def list_low(self, copies: int, number: int) -> Sequence[Book]:
        """The books on sale of which at most so many copies are left, but some, fewest first."""
        low = select(Book).where(Book.stock_quantity.between(1, copies), Book.withdrawn_at.is_(None))
        return self.session.scalars(low.order_by(Book.stock_quantity, Book.title_key, Book.id).limit(number)).all()

    def list_on_sale(self, first: int, last: int) -> Sequence[Row[int, str, datetime]]:
        """Id, title and last change of the books on sale whose ids are in that range, by id."""
        books = select(Book.id, Book.title, Book.updated_at).where(*ON_SALE, Book.id.between(first, last))
        return self.session.execute(books.order_by(Book.id)).all()

    def highest_id(self) -> int:
        """The id of the book that was added last, 0 if there is none."""
        return self.session.scalar(select(func.max(Book.id))) or 0

    def lock_imports(self) -> None:
        """Let one import write at a time until the transaction ends: no constraint keeps books without ISBN apart."""
        if not is_sqlite(self.session):
            self.session.execute(select(func.pg_advisory_xact_lock(IMPORTS)))

    def find_same(self, isbns: Collection[str], title_keys: Collection[str]) -> Sequence[Book]:
        """The books with one of these ISBNs or folded titles: candidates for being the same as others."""
        same = Book.isbn.in_(isbns) | Book.title_key.in_(title_keys)
        return self.session.scalars(select(Book).where(same).order_by(Book.id)).all()


@cache
def _stocked(dialect: str) -> Select[Any]:
    wanted = select(*(books.c[name] for name in StockedBook._fields)).where(any_of(dialect, books.c.id, "ids"))
    return wanted.order_by(books.c.id)


@cache
def _lock(dialect: str) -> Select[Any]:
    return _stocked(dialect).with_for_update(key_share=True)


def _details(row: Row[*tuple[Any, ...]] | None) -> BookDetails | None:
    return BookDetails(*row) if row is not None else None


def filters(criteria: BookCriteria) -> dict[str, ColumnElement[bool]]:
    """What the criteria ask of a book besides being found by words: a condition for each kind of filter in use."""
    conditions: dict[str, list[ColumnElement[bool]]] = {"language": [], "in_stock": [], "price": [], "year": []}
    if criteria.language:
        tag = language_tag(criteria.language).lower()
        speaks = (func.lower(Book.language) == tag) | func.lower(Book.language).startswith(f"{tag}-", autoescape=True)
        conditions["language"].append(speaks)
    if criteria.in_stock is not None:
        conditions["in_stock"].append(Book.stock_quantity > 0 if criteria.in_stock else Book.stock_quantity == 0)
    conditions["price"] += _between(Book.price_cents, criteria.min_price_cents, criteria.max_price_cents)
    conditions["year"] += _between(Book.published_year, criteria.min_year, criteria.max_year)
    return {name: and_(*parts) for name, parts in conditions.items() if parts}


def _between(column: InstrumentedAttribute[Any], least: int | None, most: int | None) -> list[ColumnElement[bool]]:
    bounds = [column >= least] if least is not None else []
    return [*bounds, column <= most] if most is not None else bounds


def _order(criteria: BookCriteria, ranking: Sequence[SortKey]) -> Sequence[SortKey]:
    sort = criteria.sort or "relevance"
    if sort == "relevance":
        return [*ranking, SortKey(Book.title_key), SortKey(Book.id)]
    descending = criteria.dir == "desc" if criteria.dir else sort not in RISING
    sorted_by: dict[str, list[InstrumentedAttribute[Any]]] = {
        "title": [Book.title_key, Book.id],
        "price": [Book.price_cents, Book.id],
        "published": [Book.published_year, Book.id],
        "newest": [Book.id],
    }
    ordered = [SortKey(column, descending) for column in sorted_by[sort]]
    return [SortKey(Book.published_year.is_(None)), *ordered] if sort == "published" else ordered
