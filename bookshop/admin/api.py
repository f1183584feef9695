"""Staff's JSON: books, their stock and its ledger."""

from typing import Any

from flask import Response, url_for

from bookshop.accounts.scopes import CATALOG_WRITE, REPORTS_READ, STOCK_WRITE
from bookshop.admin import bp
from bookshop.admin.schemas import BatchOut, MovementOut, NewBatch, NewStock, batch_out
from bookshop.catalog.api import BOOKS, asked_versions, show
from bookshop.catalog.schemas import BookChanges, NewBook, RestockedBookOut, StaffBookOut
from bookshop.extensions import settings
from bookshop.idempotency.api import commit_once
from bookshop.idempotency.service import Answer
from bookshop.web import services
from bookshop.web.access import staff_required, visitor
from bookshop.web.contract import contract, list_of, place
from bookshop.web.schemas import ListOf, PageQuery

BOOK = "/api/v1/books/<int:book_id>"
STOCK = "Stock"


@bp.post("/api/v1/books")
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


@bp.patch(BOOK)
@staff_required
@contract(
    *("BOOK_NOT_FOUND", "BOOK_ISBN_CONFLICT"), tag=BOOKS, scope=CATALOG_WRITE, if_match=True, HTTP_200=StaffBookOut
)
def api_update_book(book_id: int, json: BookChanges) -> Response:
    """Change the given fields of a book. With its ETag in `If-Match` only if nobody has changed it meanwhile."""
    catalog, versions = services.catalog(), asked_versions()
    services.commit(lambda: catalog.update(book_id, json.values(), versions))
    return show(catalog.read(book_id, withdrawn=True))


@bp.patch(f"{BOOK}/stock")
@staff_required
@contract("BOOK_NOT_FOUND", tag=STOCK, scope=STOCK_WRITE, if_match=True, HTTP_200=RestockedBookOut)
def api_update_stock(book_id: int, json: NewStock) -> Response:
    """Change a book's stock; everyone who waited is notified if it rose from 0."""
    change, versions = json.change(book_id, visitor().user_id), asked_versions()
    notified = services.commit(lambda: services.shelf().update_stock(change, versions)).notified
    book = services.catalog().read(book_id, withdrawn=True)
    return show(book, notified_count=len(notified), alerts_queued=notified.alerts_queued)


@bp.post("/api/v1/stock/batch")
@staff_required
@contract(tag=STOCK, scope=STOCK_WRITE, once=True, HTTP_200=BatchOut)
def api_change_stocks(json: NewBatch) -> Response:
    """Change up to 1,000 stocks at once; everyone who waited for a book that came back is notified.

    In the mode `atomic` all lines are carried out or, if one is refused, none (422, `errors` names the lines). In the
    mode `each` a line that is refused leaves the others alone, and its result says why.
    """
    lines, user_id = json.batch_lines(), visitor().user_id

    def work() -> Answer:
        outcome = services.shelf().change_stocks(lines, user_id, atomic=json.mode == "atomic")
        return Answer(batch_out(json.mode, outcome).model_dump_json())

    return commit_once(work)


@bp.get(f"{BOOK}/movements")
@staff_required
@contract("BOOK_NOT_FOUND", tag=STOCK, scope=REPORTS_READ, HTTP_200=ListOf[MovementOut])
def api_movements(book_id: int, query: PageQuery) -> Response:
    """The ledger of a book's stock, newest first."""
    found = services.inventory().list_movements(book_id, place(query), query.size)
    return list_of(found, [_movement_out(movement, email) for movement, email, _number in found.items])


def _movement_out(movement: Any, email: str | None) -> MovementOut:
    names = ("id", "delta", "quantity_after", "reason", "note", "order_id", "created_at")
    return MovementOut(user=email, **{name: getattr(movement, name) for name in names})
