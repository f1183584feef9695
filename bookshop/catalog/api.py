"""The catalogue in JSON: open to read, with stock figures for staff; only staff can change it."""

import re
from collections.abc import Collection
from typing import Any

from flask import Response, url_for

from bookshop.accounts.scopes import CATALOG_WRITE
from bookshop.admin import bp as staff
from bookshop.catalog import bp
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookDetails, BookRepository
from bookshop.catalog.schemas import (
    AnyBookOut,
    BookChanges,
    BookQuery,
    NewBook,
    RestockedBookOut,
    StaffBookOut,
    SuggestionOut,
    SuggestionQuery,
    SuggestionsOut,
    book_out,
)
from bookshop.catalog.views import book_address, cover_address, waiting_count
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.access import sees_staff_data, staff_required
from bookshop.web.contract import contract, if_match_etags, json_response, list_response, page_request
from bookshop.web.schemas import ListOf

BOOKS = "Books"
BOOK = "/api/v1/books/<int:book_id>"
SUGGESTIONS_CACHED = "public, max-age=30"  # everybody gets the same
VERSION = re.compile(r"([1-9][0-9]{0,9})(-[0-9]+)?")


@bp.get("/api/v1/books")
@contract(tag=BOOKS, HTTP_200=ListOf[AnyBookOut])
def api_books(query: BookQuery) -> Response:
    """List and search books."""
    page = services.repository(BookRepository).search(query.criteria(), page_request(query), query.size)
    if not sees_staff_data():
        return list_response(page, [book_out(book) for book in page.items])
    waiting = services.repository(PreBookRepository).count_waiting_by_book([book.id for book in page.items])
    return list_response(page, [book_out(book, waiting.get(book.id, 0)) for book in page.items])


@bp.get("/api/v1/books/suggest")
@contract(tag=BOOKS, HTTP_200=SuggestionsOut)
def api_suggestions(query: SuggestionQuery) -> Response:
    """Suggest up to 8 books while somebody types a search."""
    items = [_suggestion(book) for book in services.catalog().suggest(query.q)]
    response = json_response(SuggestionsOut(items=items))
    response.headers["Cache-Control"] = SUGGESTIONS_CACHED  # of a 304 too
    return response


@bp.get(BOOK)
@contract("BOOK_NOT_FOUND", tag=BOOKS, HTTP_200=AnyBookOut)
def api_book(book_id: int) -> Response:
    """Show a book. Send its `ETag` in `If-None-Match` to check for changes, or in `If-Match` to change it."""
    return book_response(services.catalog().read(book_id, withdrawn=sees_staff_data()))


@bp.get("/api/v1/books/isbn/<isbn>")
@contract("BOOK_NOT_FOUND", tag=BOOKS, HTTP_200=AnyBookOut)
def api_book_by_isbn(isbn: str) -> Response:
    """Show a book by its ISBN-10 or ISBN-13."""
    return book_response(services.catalog().read_by_isbn(isbn, withdrawn=sees_staff_data()))


@staff.post("/api/v1/books")
@staff_required
@contract("BOOK_ISBN_CONFLICT", tag=BOOKS, scope=CATALOG_WRITE, HTTP_201=StaffBookOut)
def api_create_book(json: NewBook) -> Response:
    """Add a book. It has no copies until its stock is changed."""
    catalog = services.catalog()
    values = json.model_dump()
    values["currency"] = values["currency"] or services.shop_details().currency
    book_id = services.commit(lambda: catalog.create(values))
    location = url_for("catalog.api_book", book_id=book_id)
    return book_response(catalog.read(book_id), 201, {"Location": location})


@staff.patch(BOOK)
@staff_required
@contract(
    *("BOOK_NOT_FOUND", "BOOK_ISBN_CONFLICT"), tag=BOOKS, scope=CATALOG_WRITE, if_match=True, HTTP_200=StaffBookOut
)
def api_update_book(book_id: int, json: BookChanges) -> Response:
    """Change the given fields of a book. With `If-Match`, only if it has not been changed since it was read."""
    catalog, versions = services.catalog(), if_match_versions()
    services.commit(lambda: catalog.update(book_id, json.values(), versions))
    return book_response(catalog.read(book_id, withdrawn=True))


def _suggestion(book: Book) -> SuggestionOut:
    price = {"price_cents": book.price_cents, "currency": book.currency}
    links = {"address": book_address(book), "cover": cover_address(book, "small")}
    return SuggestionOut(title=book.title, authors=book.authors, in_stock=book.in_stock, **links, **price)


def book_response(book: BookDetails, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """Return the book as JSON with its ETag, as the current user may see it; `more` are RestockedBookOut's fields."""
    waiting = waiting_count(book) if sees_staff_data() else None
    visible = book_out(book, waiting)
    body = RestockedBookOut(**visible.model_dump(), **more) if more else visible
    return json_response(body, status, headers, etag(book, waiting))


def etag(book: BookDetails, waiting: int | None) -> str:
    """Return an ETag that changes with the book and, for staff, with the number of waiting customers."""
    return str(book.version) if waiting is None else f"{book.version}-{waiting}"


def if_match_versions() -> Collection[int] | None:
    """Return the book versions in If-Match, without their waiting counts; None if any version will do."""
    etags = if_match_etags()
    if etags is None:
        return None
    return {int(match[1]) for tag in etags if (match := VERSION.fullmatch(tag))}
