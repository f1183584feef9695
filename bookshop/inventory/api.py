"""The JSON views for stock, for staff: change one book's stock or many, and read the ledger."""

from typing import Any

from flask import Response

from bookshop.accounts.scopes import REPORTS_READ, STOCK_WRITE
from bookshop.admin import bp
from bookshop.catalog.api import BOOK, book_response, if_match_versions
from bookshop.catalog.schemas import RestockedBookOut
from bookshop.idempotency.api import commit_once
from bookshop.idempotency.service import StoredResponse
from bookshop.inventory.schemas import BatchOut, MovementOut, NewBatch, NewStock, batch_out
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required
from bookshop.web.contract import contract, list_response, page_request
from bookshop.web.schemas import ListOf, PageQuery

STOCK = "Stock"


@bp.patch(f"{BOOK}/stock")
@staff_required
@contract("BOOK_NOT_FOUND", tag=STOCK, scope=STOCK_WRITE, if_match=True, HTTP_200=RestockedBookOut)
def api_update_stock(book_id: int, json: NewStock) -> Response:
    """Change a book's stock. If it rises from 0, the waiting customers are notified."""
    change, versions = json.change(book_id, current_identity().user_id), if_match_versions()
    notified = services.commit(lambda: services.shelf().update_stock(change, versions)).notified
    book = services.catalog().read(book_id, withdrawn=True)
    return book_response(book, notified_count=len(notified), alerts_queued=notified.alerts_queued)


@bp.post("/api/v1/stock/batch")
@staff_required
@contract(tag=STOCK, scope=STOCK_WRITE, idempotent=True, HTTP_200=BatchOut)
def api_change_stocks(json: NewBatch) -> Response:
    """Change up to 1,000 stocks at once. The customers waiting for a book that is back in stock are notified.

    In mode `atomic`, either all lines are applied or, if one is refused, none (422; `errors` names the refused lines).
    In mode `each`, a refused line does not affect the others, and its result has the reason.
    """
    lines, user_id = json.batch_lines(), current_identity().user_id

    def change_stocks() -> StoredResponse:
        outcome = services.shelf().change_stocks(lines, user_id, atomic=json.mode == "atomic")
        return StoredResponse(batch_out(json.mode, outcome).model_dump_json())

    return commit_once(change_stocks)


@bp.get(f"{BOOK}/movements")
@staff_required
@contract("BOOK_NOT_FOUND", tag=STOCK, scope=REPORTS_READ, HTTP_200=ListOf[MovementOut])
def api_movements(book_id: int, query: PageQuery) -> Response:
    """List the movements of a book's stock, newest first."""
    page = services.inventory().list_movements(book_id, page_request(query), query.size)
    return list_response(page, [_movement_out(movement, email) for movement, email, _number in page.items])


def _movement_out(movement: Any, email: str | None) -> MovementOut:
    names = ("id", "delta", "quantity_after", "reason", "note", "order_id", "created_at")
    return MovementOut(user=email, **{name: getattr(movement, name) for name in names})
