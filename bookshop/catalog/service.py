"""Books: finding and describing them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.catalog.facets import Facets, count_facets
from bookshop.catalog.isbn import isbn13, isbn_forms
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookCriteria, BookDetails, BookRepository, StockedBook
from bookshop.catalog.search import MOST_WORDS
from bookshop.kit.database import Page
from bookshop.kit.exceptions import Conflict, book_not_found
from bookshop.kit.text import fold, main_title, search_words

T = TypeVar("T")
B = TypeVar("B", Book, BookDetails)


class CatalogService:
    """All about books but their stock, which is BookService's; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.books = BookRepository(session)

    def browse(self, criteria: BookCriteria, page: int, size: int, currency: str) -> tuple[Page[Book], Facets]:
        """One page of the books that match, best first, and what else they can be narrowed by."""
        facets = count_facets(self.books, criteria, currency)
        return self.books.search_cards(criteria, page, size, facets.total), facets

    def words_that_find(self, criteria: BookCriteria) -> Mapping[str, int]:
        """Of what was typed, in case it finds nothing as a whole: the words that find books alone, rarest first."""
        typed = dict.fromkeys((criteria.q or "").split()[:MOST_WORDS])
        counts = {word: self.books.count(BookCriteria(q=word)) for word in typed} if len(typed) > 1 else {}
        return {word: counts[word] for word in sorted(counts, key=counts.__getitem__) if counts[word]}

    def get(self, book_id: int, *, withdrawn: bool = False) -> Book:
        """The book; raises NotFound, also if it is withdrawn unless those are asked for."""
        return _found(self.books.get(book_id), withdrawn)

    def read(self, book_id: int, *, withdrawn: bool = False) -> BookDetails:
        """What a page and JSON say of the book; raises NotFound as `get` does."""
        return _found(self.books.read(book_id), withdrawn)

    def read_by_isbn(self, isbn: str, *, withdrawn: bool = False) -> BookDetails:
        """The same of the book with this ISBN-10 or -13; raises NotFound as `get` does."""
        try:
            return _found(self.books.read_by_isbn(isbn13(isbn)), withdrawn)
        except ValueError:
            raise book_not_found() from None

    def create(self, values: Mapping[str, Any]) -> int:
        """Add a book, with no copies yet; returns its id. Raises Conflict if its ISBN is taken."""
        return self.create_all([values])[0]

    def create_all(self, books: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add many books at once, as `create` does one: all or none; returns their ids in the same order."""
        return self._unless_isbn_taken(lambda: self.books.insert([_row(values) for values in books]))

    def update(self, book_id: int, values: Mapping[str, Any], versions: Collection[int] | None = None) -> None:
        """Change the given fields of a book, or only if it has one of these versions.

        Raises NotFound, Outdated if it has none of them, or Conflict if its new ISBN is taken.
        """
        locked = self.books.lock([book_id])
        if not locked:
            raise book_not_found()
        locked[0].expect(versions)
        if not values:
            return
        row = {**values, **_search_fields({**_described(locked[0]), **values})}
        self._unless_isbn_taken(lambda: self.books.update(book_id, row))

    def set_cover(self, book_id: int, name: str | None) -> str | None:
        """Give a book an uploaded cover, or the drawn one back; returns the former cover if no book has it any more.

        Locks the book's row. Whether a cover is still in use is certain only within `pictures.changing`.
        """
        locked = self.books.lock([book_id])
        if not locked:
            raise book_not_found()
        former = locked[0].cover
        self.books.update(book_id, {"cover": name})
        return former if former and not self.books.has_cover(former) else None

    def _unless_isbn_taken(self, write: Callable[[], T]) -> T:
        """Let the database say whether an ISBN is taken: asking first would leave a gap for another to take it."""
        try:
            with self.session.begin_nested():
                return write()
        except IntegrityError as error:
            if "isbn" not in str(error.orig):
                raise
            raise Conflict("Another book has this ISBN already.", "BOOK_ISBN_CONFLICT") from None


def _found(book: B | None, withdrawn: bool) -> B:
    if book is None or (book.withdrawn_at is not None and not withdrawn):
        raise book_not_found()
    return book


def _described(book: StockedBook) -> dict[str, Any]:
    return {"title": book.title, "authors": book.authors, "isbn": book.isbn}


def _row(values: Mapping[str, Any]) -> dict[str, Any]:
    """The whole row of a new book from what is known of it."""
    optional = dict.fromkeys(("isbn", "publisher", "language", "published_year", "description"))
    return {**optional, **values, **_search_fields(values)}


def _search_fields(values: Mapping[str, Any]) -> dict[str, str]:
    """The folded copies of title, authors and ISBN that a book is sorted and found by."""
    return {
        "title_key": fold(values["title"]),
        "main_title": main_title(values["title"]),
        "search_title": search_words(values["title"]),
        "search_authors": search_words(values["authors"]),
        "search_isbn": isbn_forms(values.get("isbn")),
    }
