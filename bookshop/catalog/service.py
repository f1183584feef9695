"""Finding, adding and editing books."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.catalog.facets import Facets, count_facets
from bookshop.catalog.isbn import isbn13, isbn_forms
from bookshop.catalog.models import Book
from bookshop.catalog.related import Related, RelatedBooks
from bookshop.catalog.repository import BookCriteria, BookDetails, BookRepository
from bookshop.catalog.search import WORDS_MAX
from bookshop.catalog.suggestions import suggest_books
from bookshop.catalog.works import work_key
from bookshop.kit.database import Page
from bookshop.kit.exceptions import Conflict, book_not_found
from bookshop.kit.text import fold, main_title, search_words

T = TypeVar("T")
B = TypeVar("B", Book, BookDetails)
Edit = tuple[dict[str, Any], dict[str, Any]]  # the fields that were changed: before and after
IDENTIFYING = ("isbn", "title", "price_cents", "currency")  # what the audit log says about a new book


class CatalogService:
    """Everything about books except their stock, which is BookService's; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.books = BookRepository(session)
        self.audit = AuditService(session)

    def browse(self, criteria: BookCriteria, page: int, size: int, currency: str) -> tuple[Page[Book], Facets]:
        """Return one page of the matching books, in the requested order, and their facets."""
        facets = count_facets(self.books, criteria, currency)
        return self.books.search_cards(criteria, page, size, facets.total), facets

    def words_with_results(self, criteria: BookCriteria) -> Mapping[str, int]:
        """Return the words of a search that find books on their own, with the number of books, rarest first."""
        typed = dict.fromkeys((criteria.q or "").split()[:WORDS_MAX])
        counts = {word: self.books.count(BookCriteria(q=word)) for word in typed} if len(typed) > 1 else {}
        return {word: counts[word] for word in sorted(counts, key=counts.__getitem__) if counts[word]}

    def suggest(self, typed: str) -> Sequence[Book]:
        """Return the books to suggest for a search that is still being typed, the best ones first."""
        return suggest_books(self.session, typed)

    def get(self, book_id: int, *, withdrawn: bool = False) -> Book:
        """Return the book; raises NotFound if there is none, or if it is withdrawn and `withdrawn` is False."""
        return _require(self.books.get(book_id), withdrawn)

    def read(self, book_id: int, *, withdrawn: bool = False) -> BookDetails:
        """Return the book's details for pages and JSON; raises NotFound as `get` does."""
        return _require(self.books.read(book_id), withdrawn)

    def related_to(self, book: BookDetails) -> Related:
        """Return the books on sale that the page of this one leads to."""
        return RelatedBooks(self.session).of(book)

    def read_by_isbn(self, isbn: str, *, withdrawn: bool = False) -> BookDetails:
        """Return the details of the book with this ISBN-10 or ISBN-13; raises NotFound as `get` does."""
        try:
            return _require(self.books.read_by_isbn(isbn13(isbn)), withdrawn)
        except ValueError:
            raise book_not_found() from None

    def create(self, values: Mapping[str, Any]) -> int:
        """Add a book without copies and return its id; raises Conflict if its ISBN is taken."""
        return self.create_all([values])[0]

    def create_all(self, books: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add several books, all or none, and return their ids in the same order; raises Conflict as `create` does."""
        rows = [_row(values) for values in books]
        ids = self._unless_isbn_taken(lambda: self.books.insert(rows))
        new = [{name: row[name] for name in IDENTIFYING if row[name] is not None} for row in rows]
        self.audit.record_all("book.created", dict(zip(ids, ((None, values) for values in new), strict=True)))
        return ids

    def update(self, book_id: int, values: Mapping[str, Any], versions: Collection[int] | None = None) -> None:
        """Change the given fields of a book; with `versions`, only if it has one of them.

        Locks the book's row. Fields that already have these values leave the book as it is, with its version. Raises
        NotFound, PreconditionFailed for another version, or Conflict if the new ISBN is taken.
        """
        locked = self.books.lock([book_id])
        if not locked or locked[0].removed_at is not None:
            raise book_not_found()
        locked[0].check_version(versions)
        if edit := self.edit_locked(self.read(book_id, withdrawn=True), values):
            self.audit.record("book.edited", book_id, *edit)

    def edit_locked(self, book: Book | BookDetails, values: Mapping[str, Any]) -> Edit | None:
        """Change the given fields of a book that the caller has locked and read; None if all have these values.

        The caller records what is returned in the audit log, as `update` does. Raises Conflict if the new ISBN is
        taken.
        """
        before = {name: getattr(book, name) for name, value in values.items() if getattr(book, name) != value}
        if not before:
            return None
        after = {name: values[name] for name in before}
        row = {**after, **_derived_fields({**_described(book), **after})}
        self._unless_isbn_taken(lambda: self.books.update(book.id, row))
        return before, after

    def set_cover(self, book_id: int, name: str | None) -> None:
        """Set a book's uploaded cover, or None for a drawn one; locks the book's row, raises NotFound."""
        locked = self.books.lock([book_id])
        if not locked:
            raise book_not_found()
        previous = locked[0].cover
        if previous != name:
            self.books.update(book_id, {"cover": name})
            self.audit.record("book.cover_changed", book_id, {"cover": previous}, {"cover": name})

    def _unless_isbn_taken(self, write: Callable[[], T]) -> T:
        """Rely on the unique constraint for ISBNs: between a check and the write, another request could take one."""
        try:
            with self.session.begin_nested():
                return write()
        except IntegrityError as error:
            if "isbn" not in str(error.orig):
                raise
            raise Conflict("Another book has this ISBN already.", "BOOK_ISBN_CONFLICT") from None


def _require(book: B | None, withdrawn: bool) -> B:
    if book is None or (book.withdrawn_at is not None and not withdrawn):
        raise book_not_found()
    return book


def _described(book: Book | BookDetails) -> dict[str, Any]:
    return {"title": book.title, "authors": book.authors, "isbn": book.isbn}


def _row(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete row of a new book: its values, None for the others, and the derived fields."""
    optional = dict.fromkeys(("isbn", "publisher", "language", "published_year", "description", "import_id"))
    return {**optional, **values, **_derived_fields(values)}


def _derived_fields(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what is derived from title, authors and ISBN for sorting, searching and finding other editions."""
    return {
        "title_key": fold(values["title"]),
        "main_title": main_title(values["title"]),
        "search_title": search_words(values["title"]),
        "search_authors": search_words(values["authors"]),
        "search_isbn": isbn_forms(values.get("isbn")),
        "work_key": work_key(values["title"], values["authors"]),
    }
