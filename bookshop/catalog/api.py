"""The catalogue in JSON: to read for anyone, who may see the stock if staff, and to change for staff."""

import re
from collections.abc import Collection
from typing import Any

from flask import Response, url_for
from flask_login import current_user

from bookshop.accounts.scopes import CATALOG_WRITE
from bookshop.admin import bp as staff
from bookshop.catalog import bp
from bookshop.catalog.repository import BookDetails, BookRepository
from bookshop.catalog.schemas import (
    AnyBookOut,
    BookChanges,
    BookQuery,
    NewBook,
    RestockedBookOut,
    StaffBookOut,
    book_out,
)
from bookshop.catalog.views import waiting_for
from bookshop.extensions import settings
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.contract import answer, asked_etags, contract, list_of, page_request
from bookshop.web.schemas import ListOf

BOOKS = "Books"
BOOK = "/api/v1/books/<int:book_id>"
VERSION = re.compile(r"([1-9][0-9]{0,9})(-[0-9]+)?")


@bp.get("/api/v1/books")
@contract(tag=BOOKS, HTTP_200=ListOf[AnyBookOut])
def api_books(query: BookQuery) -> Response:
    """List and search books."""
    found = services.repository(BookRepository).search(query.criteria(), page_request(query), query.size)
    if not current_user.is_staff:
        return list_of(found, [book_out(book) for book in found.items])
    waiting = services.repository(PreBookRepository).count_waiting_by_book([book.id for book in found.items])
    return list_of(found, [book_out(book, waiting.get(book.id, 0)) for book in found.items])


@bp.get(BOOK)
@contract("BOOK_NOT_FOUND", tag=BOOKS, HTTP_200=AnyBookOut)
def api_book(book_id: int) -> Response:
    """One book. Its `ETag` stands for its present state: for `If-None-Match`, and for `If-Match` of a change."""
    return show(services.catalog().read(book_id, withdrawn=current_user.is_staff))


@bp.get("/api/v1/books/isbn/<isbn>")
@contract("BOOK_NOT_FOUND", tag=BOOKS, HTTP_200=AnyBookOut)
def api_book_by_isbn(isbn: str) -> Response:
    """One book by its ISBN-10 or ISBN-13."""
    return show(services.catalog().read_by_isbn(isbn, withdrawn=current_user.is_staff))


@staff.post("/api/v1/books")
@staff_required
@contract("BOOK_ISBN_CONFLICT", tag=BOOKS, scope=CATALOG_WRITE, HTTP_201=StaffBookOut)
def api_create_book(json: NewBook) -> Response:
    """Add a book; it has no copies until its stock is changed."""
    catalog = services.catalog()
    values = json.model_dump()
    values["currency"] = values["currency"] or settings().currency
    book_id = services.commit(lambda: catalog.create(values))
    location = url_for("catalog.api_book", book_id=book_id)
    return show(catalog.read(book_id), 201, {"Location": location})


@staff.patch(BOOK)
@staff_required
@contract(
    *("BOOK_NOT_FOUND", "BOOK_ISBN_CONFLICT"), tag=BOOKS, scope=CATALOG_WRITE, if_match=True, HTTP_200=StaffBookOut
)
def api_update_book(book_id: int, json: BookChanges) -> Response:
    """Change the given fields of a book. With its ETag in `If-Match` only if nobody has changed it meanwhile."""
    catalog, versions = services.catalog(), asked_versions()
    services.commit(lambda: catalog.update(book_id, json.values(), versions))
    return show(catalog.read(book_id, withdrawn=True))


def show(book: BookDetails, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """The book as the one who asks may see it, with its ETag; with `more`, what a change of its stock did."""
    waiting = waiting_for(book) if current_user.is_staff else None
    seen = book_out(book, waiting)
    shown = RestockedBookOut(**seen.model_dump(), **more) if more else seen
    return answer(shown, status, headers, etag(book, waiting))


def etag(book: BookDetails, waiting: int | None) -> str:
    """What changes with the book and, for staff, with the number of those who wait."""
    return str(book.version) if waiting is None else f"{book.version}-{waiting}"


def asked_versions() -> Collection[int] | None:
    """The versions of a book that a change is meant for; None for any. Who waits for it is none of the book's."""
    etags = asked_etags()
    if etags is None:
        return None
    return {int(found[1]) for tag in etags if (found := VERSION.fullmatch(tag))}
