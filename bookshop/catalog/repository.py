"""SQL for books."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, load_only

from bookshop.catalog.languages import language_tag
from bookshop.catalog.models import Book
from bookshop.catalog.search import matching, matching_authors
from bookshop.kit.database import (
    Page,
    UtcDateTime,
    any_of,
    dialect_of,
    is_sqlite,
    now,
    paginate,
    rows_from_json,
    table_of,
)
from bookshop.kit.exceptions import PreconditionFailed
from bookshop.kit.pagination import PageRequest, SortKey, list_page

IMPORT_LOCK = 1_978  # an arbitrary key for the advisory lock of imports
LAST_CHANGE = select(func.max(Book.updated_at))  # built once, because every request for the list needs it
ON_SALE = (Book.withdrawn_at.is_(None),)
ASCENDING = ("title", "price")  # sorted in ascending order by default; the others in descending order


class StockedBook(NamedTuple):
    """The columns of a book that are needed to sell it, change its stock or withdraw it, and to show its title."""

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
    removed_at: datetime | None
    language: str | None

    @property
    def in_stock(self) -> bool:
        """Whether there is a copy to sell, even if the book is withdrawn."""
        return self.stock_quantity > 0

    @property
    def can_be_ordered(self) -> bool:
        """Whether a customer can order the book."""
        return self.in_stock and self.withdrawn_at is None

    def check_version(self, versions: Collection[int] | None) -> None:
        """Raise PreconditionFailed unless the book has one of these versions; None accepts any."""
        if versions is not None and self.version not in versions:
            raise PreconditionFailed(
                "The book has changed since you read it, so nothing was written. Read it again and repeat your change "
                "with the new ETag."
            )


class BookDetails(NamedTuple):
    """All the columns of a book that pages and JSON show, read by one statement."""

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
        """Whether there is a copy to sell, even if the book is withdrawn."""
        return self.stock_quantity > 0


class BookCard(NamedTuple):
    """The columns of a book that its card in a list shows."""

    id: int
    title: str
    authors: str
    language: str | None
    published_year: int | None
    price_cents: int
    currency: str
    stock_quantity: int
    cover: str | None

    @property
    def in_stock(self) -> bool:
        """Whether there is a copy to sell."""
        return self.stock_quantity > 0


LOAD_CARD = load_only(*(getattr(Book, name) for name in BookCard._fields), raiseload=True)
AnyBook = Book | StockedBook | BookDetails | BookCard  # all have an id, title, authors, cover, price and stock

INSERTED = (
    *("isbn", "title", "authors", "publisher", "language", "published_year", "description", "price_cents", "currency"),
    *("title_key", "main_title", "search_title", "search_authors", "search_isbn", "work_key", "import_id"),
)

# Frequent statements are built once, from the table instead of the model: reading a book takes 159 µs instead of 255,
# and locking 3 books 178 µs instead of 337 (bench/statements.py).
books = table_of(Book)
DETAILS = select(*(books.c[name] for name in BookDetails._fields))
READ = DETAILS.where(books.c.id == bindparam("book"))
READ_BY_ISBN = DETAILS.where(books.c.isbn == bindparam("isbn"))


@dataclass(frozen=True)
class BookCriteria:
    """Filters, which must all match unless None, and the sort order; `withdrawn` includes withdrawn books."""

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
        """Return the book with fresh values from the database."""
        return self.session.get(Book, book_id, populate_existing=True)

    def read(self, book_id: int) -> BookDetails | None:
        """Return the book's details for pages and JSON, with fresh values."""
        return _details(self.session.connection().execute(READ, {"book": book_id}).first())

    def read_by_isbn(self, isbn: str) -> BookDetails | None:
        """Return the details of the book with this ISBN-13, with fresh values."""
        return _details(self.session.connection().execute(READ_BY_ISBN, {"isbn": isbn}).first())

    def ids_by_isbn(self, isbns: Collection[str]) -> Mapping[str, int]:
        """Map those of these ISBN-13s that the shop has to the ids of their books."""
        query = select(books.c.isbn, books.c.id).where(any_of(self.dialect, books.c.isbn, "isbns"))
        return {row[0]: row[1] for row in self.session.connection().execute(query, {"isbns": list(isbns)})}

    def lock(self, book_ids: Collection[int]) -> Sequence[StockedBook]:
        """Lock the books until the transaction ends, and return them in id order with fresh values.

        Other transactions cannot change, withdraw or reserve them until then, but can read them without waiting.
        """
        rows = self.session.connection().execute(_lock(self.dialect), {"ids": list(book_ids)})
        return [StockedBook(*row) for row in rows]

    def list_stocked(self, book_ids: Collection[int]) -> Sequence[StockedBook]:
        """Return the books, including withdrawn ones, in id order with fresh values; locks nothing."""
        rows = self.session.connection().execute(_stocked(self.dialect), {"ids": list(book_ids)})
        return [StockedBook(*row) for row in rows]

    def lock_and_refresh(self, books: Collection[Book]) -> None:
        """Lock these objects' rows as `lock` does, and refresh the objects."""
        if not books:
            return
        query = select(Book).where(Book.id.in_([book.id for book in books])).order_by(Book.id)
        query = query.with_for_update(key_share=True)
        self.session.scalars(query.execution_options(populate_existing=True)).all()

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Insert books, whose rows have all of INSERTED, and return their ids in the order of the rows."""
        numbered = [{name: row[name] for name in INSERTED} | {"number": number} for number, row in enumerate(rows)]
        result = self.session.connection().execute(_insert(self.dialect), {"rows": numbered, "time": now()})
        return sorted(result.scalars())

    def update(self, book_id: int, values: Mapping[str, Any]) -> None:
        """Update fields of a book, its version and its time of change; objects in the session are not refreshed."""
        changed = {**values, "updated_at": now(), "version": Book.version + 1}
        self.session.execute(
            update(Book).where(Book.id == book_id).values(changed), execution_options={"synchronize_session": False}
        )

    def remove(self, book_ids: Collection[int]) -> None:
        """Withdraw locked books for good: no list shows them, no import finds them, and their ISBNs are free again."""
        values = {"removed_at": now(), "withdrawn_at": now(), "isbn": None, "search_isbn": "", "updated_at": now()}
        removed = update(Book).where(Book.id.in_(book_ids)).values(**values, version=Book.version + 1)
        self.session.execute(removed, execution_options={"synchronize_session": False})

    def search(self, criteria: BookCriteria, page_request: PageRequest, size: int) -> Page[BookDetails]:
        """Return one page of the matching books, in the requested order."""
        query, order = self._search(DETAILS, criteria)
        page = list_page(self.session, query, order, page_request, size)
        return replace(page, items=[BookDetails(*row) for row in page.items])

    def search_cards(self, criteria: BookCriteria, page: int, size: int, total: int) -> Page[Book]:
        """Return one page of the matching books with only a card's columns; `total` is given, so nothing is counted."""
        query, order = self._search(select(Book), criteria)
        cards = query.options(LOAD_CARD).order_by(*(key.clause for key in order))
        return paginate(self.session, cards, page, size, total)

    def _search(self, query: Select[Any], criteria: BookCriteria) -> tuple[Select[Any], Sequence[SortKey]]:
        query, ranking = self._matching(query, criteria)
        return query.where(*filters(criteria).values()), _order(criteria, ranking)

    def count(self, criteria: BookCriteria) -> int:
        """Count the matching books."""
        query = self._matching(select(func.count()).select_from(Book), criteria)[0]
        return self.session.scalar(query.where(*filters(criteria).values())) or 0

    def count_by(
        self, criteria: BookCriteria, traits: Mapping[str, ColumnElement[Any] | InstrumentedAttribute[Any]]
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Count the books that match the text of the criteria, grouped by the traits: rows with the traits and `books`.

        The other criteria do not filter the books; pass them as traits to group by them.
        """
        labelled = [trait.label(name) for name, trait in traits.items()]
        matching_books = self._matching(select(*labelled).select_from(Book), criteria)[0].subquery()
        columns = matching_books.c
        return self.session.execute(select(*columns, func.count().label("books")).group_by(*columns)).all()

    def _matching(self, query: Select[Any], criteria: BookCriteria) -> tuple[Select[Any], list[SortKey]]:
        """Filter a query by the text of the criteria and by withdrawal; also returns the keys that rank the matches."""
        ranking: list[SortKey] = []
        query = query.where(Book.removed_at.is_(None) if criteria.withdrawn else Book.withdrawn_at.is_(None))
        if criteria.q and criteria.q.strip():
            query, ranking = matching(self.session, query, criteria.q)
        if criteria.author and criteria.author.strip():
            query = matching_authors(self.session, query, criteria.author)
        return query, ranking

    def last_change(self) -> datetime | None:
        """Return when any book or its stock was last changed; None if there are no books."""
        return self.session.connection().scalar(LAST_CHANGE)

    def list_back_in_stock(self, limit: int) -> Sequence[Book]:
        """Return books that are in stock again after being out of stock, the latest first."""
        back = select(Book).where(Book.back_in_stock_at.is_not(None), *ON_SALE, Book.stock_quantity > 0)
        back = back.options(LOAD_CARD)
        return self.session.scalars(back.order_by(Book.back_in_stock_at.desc(), Book.id.desc()).limit(limit)).all()

    def list_newest(self, limit: int) -> Sequence[Book]:
        """Return the books that were added to the catalogue last, the latest first."""
        newest = select(Book).where(*ON_SALE).options(LOAD_CARD).order_by(Book.id.desc()).limit(limit)
        return self.session.scalars(newest).all()

    def list_on_sale(self, first: int, last: int) -> Sequence[Row[int, str, datetime]]:
        """Return id, title and last change of the books on sale with ids from `first` to `last`, in id order."""
        books = select(Book.id, Book.title, Book.updated_at).where(*ON_SALE, Book.id.between(first, last))
        return self.session.execute(books.order_by(Book.id)).all()

    def highest_id(self) -> int:
        """Return the highest id of a book; 0 if there are no books."""
        return self.session.scalar(select(func.max(Book.id))) or 0

    def lock_imports(self) -> None:
        """Let only one import write until the transaction ends: no constraint prevents duplicates without an ISBN."""
        if not is_sqlite(self.session):
            self.session.execute(select(func.pg_advisory_xact_lock(IMPORT_LOCK)))

    def find_editions(self, isbns: Collection[str], work_keys: Collection[str]) -> Sequence[Book]:
        """Return the books with one of these ISBNs or of one of these works, in id order, with fresh values."""
        given = {"isbns": list(isbns), "works": list(work_keys)}
        return self.session.scalars(_editions(self.dialect), given, execution_options={"populate_existing": True}).all()


@cache
def _insert(dialect: str) -> Executable:
    """Build the insert of books, one statement for many: 500 took 0.24 s with the model on SQLite, row by row.

    Ids are given in the order of the rows.
    """
    kinds = {name: books.c[name].type.__class__ for name in INSERTED}
    rows = rows_from_json(dialect, "rows", number=Integer, **kinds)
    time = bindparam("time", type_=UtcDateTime)
    values = {**{name: rows.c[name] for name in INSERTED}, "stock_quantity": literal(0)}
    values |= {"created_at": time, "updated_at": time}
    source = select(*values.values()).order_by(rows.c.number)
    return insert(books).from_select(list(values), source, include_defaults=False).returning(books.c.id)


@cache
def _stocked(dialect: str) -> Select[Any]:
    query = select(*(books.c[name] for name in StockedBook._fields)).where(any_of(dialect, books.c.id, "ids"))
    return query.order_by(books.c.id)


@cache
def _editions(dialect: str) -> Select[Book]:
    """Select books by ISBN or by work. On PostgreSQL, a thousand of them are two parameters."""
    found = any_of(dialect, books.c.isbn, "isbns") | any_of(dialect, books.c.work_key, "works")
    return select(Book).where(found, Book.removed_at.is_(None)).order_by(Book.id)


@cache
def _lock(dialect: str) -> Select[Any]:
    return _stocked(dialect).with_for_update(key_share=True)


def _details(row: Row[*tuple[Any, ...]] | None) -> BookDetails | None:
    return BookDetails(*row) if row is not None else None


def filters(criteria: BookCriteria) -> dict[str, ColumnElement[bool]]:
    """Return the SQL conditions of the criteria, except text search, one for each facet in use."""
    conditions: dict[str, list[ColumnElement[bool]]] = {"language": [], "in_stock": [], "price": [], "year": []}
    if criteria.language:
        tag = language_tag(criteria.language).lower()
        same = (func.lower(Book.language) == tag) | func.lower(Book.language).startswith(f"{tag}-", autoescape=True)
        conditions["language"].append(same)
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
    descending = criteria.dir == "desc" if criteria.dir else sort not in ASCENDING
    sorted_by: dict[str, list[InstrumentedAttribute[Any]]] = {
        "title": [Book.title_key, Book.id],
        "price": [Book.price_cents, Book.id],
        "published": [Book.published_year, Book.id],
        "newest": [Book.id],
    }
    ordered = [SortKey(column, descending) for column in sorted_by[sort]]
    return [SortKey(Book.published_year.is_(None)), *ordered] if sort == "published" else ordered
