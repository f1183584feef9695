"""Staff's JSON: books, their stock and its ledger."""

from typing import Any

from flask import Response, url_for

from bookshop import faces
from bookshop.accounts.access import staff_required, visitor
from bookshop.admin import bp
from bookshop.admin.schemas import MovementOut, NewStock, RestockedBookOut
from bookshop.api import answer, contract, list_of
from bookshop.catalog.api import as_seen
from bookshop.catalog.schemas import BookChanges, NewBook, StaffBookOut
from bookshop.extensions import settings
from bookshop.schemas import ListOf, PageQuery

BOOK = "/api/v1/books/<int:book_id>"


@bp.post("/api/v1/books")
@staff_required
@contract(HTTP_201=StaffBookOut)
def api_create_book(json: NewBook) -> Response:
    """Add a book; it has no copies until its stock is changed."""
    catalog = faces.catalog()
    values = json.model_dump()
    values["currency"] = values["currency"] or settings().currency
    book_id = faces.commit(lambda: catalog.create(values))
    location = url_for("catalog.api_book", book_id=book_id)
    return answer(as_seen(catalog.get(book_id)), 201, {"Location": location})


@bp.patch(BOOK)
@staff_required
@contract(HTTP_200=StaffBookOut)
def api_update_book(book_id: int, json: BookChanges) -> Response:
    """Change the given fields of a book."""
    catalog = faces.catalog()
    faces.commit(lambda: catalog.update(book_id, json.values()))
    return answer(as_seen(catalog.get(book_id, withdrawn=True)))


@bp.patch(f"{BOOK}/stock")
@staff_required
@contract(HTTP_200=RestockedBookOut)
def api_update_stock(book_id: int, json: NewStock) -> Response:
    """Change a book's stock; everyone who waited is notified if it rose from 0."""
    change = json.change(book_id, visitor().user_id)
    restocked = faces.commit(lambda: faces.update_stock(change))
    book = as_seen(faces.catalog().get(book_id, withdrawn=True))
    return answer(RestockedBookOut(**book.model_dump(), notified_count=len(restocked.notified)))


@bp.get(f"{BOOK}/movements")
@staff_required
@contract(HTTP_200=ListOf[MovementOut])
def api_movements(book_id: int, query: PageQuery) -> Response:
    """The ledger of a book's stock, newest first."""
    found = faces.inventory().list_movements(book_id, query.page, query.size)
    return list_of(found, [_movement_out(movement, email) for movement, email, _number in found.items])


def _movement_out(movement: Any, email: str | None) -> MovementOut:
    names = ("id", "delta", "quantity_after", "reason", "note", "order_id", "created_at")
    return MovementOut(user=email, **{name: getattr(movement, name) for name in names})
