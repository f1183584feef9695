"""The catalogue in JSON, for anyone; staff see the stock too."""

from flask import Response
from flask_login import current_user

from bookshop import faces
from bookshop.api import answer, contract, list_of
from bookshop.catalog import bp
from bookshop.catalog.models import Book
from bookshop.catalog.schemas import BookOut, BookQuery, book_out
from bookshop.schemas import ListOf


@bp.get("/api/v1/books")
@contract(HTTP_200=ListOf[BookOut])
def api_books(query: BookQuery) -> Response:
    """List and search books."""
    catalog = faces.catalog()
    found = catalog.search(query.criteria(), query.page, query.size)
    waiting = catalog.waiting_counts(found.items) if current_user.is_staff else None
    return list_of(
        found, [book_out(book, waiting if waiting is None else waiting.get(book.id, 0)) for book in found.items]
    )


@bp.get("/api/v1/books/<int:book_id>")
@contract(HTTP_200=BookOut)
def api_book(book_id: int) -> Response:
    """One book."""
    return answer(as_seen(faces.catalog().get(book_id, withdrawn=current_user.is_staff)))


@bp.get("/api/v1/books/isbn/<isbn>")
@contract(HTTP_200=BookOut)
def api_book_by_isbn(isbn: str) -> Response:
    """One book by its ISBN-10 or ISBN-13."""
    return answer(as_seen(faces.catalog().get_by_isbn(isbn, withdrawn=current_user.is_staff)))


def as_seen(book: Book) -> BookOut:
    """The book as the one who asks may see it."""
    return book_out(book, faces.catalog().waiting_count(book) if current_user.is_staff else None)
