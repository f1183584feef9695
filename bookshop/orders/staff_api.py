"""All customers' orders in JSON, for staff."""

from flask import Response

from bookshop.accounts.scopes import ORDERS as ORDERS_SCOPE
from bookshop.admin import bp
from bookshop.orders.models import CANCELLED, COLLECTED, READY
from bookshop.orders.schemas import StaffOrderOut, StaffOrderQuery, staff_order_out
from bookshop.orders.service import OrderSearch
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required
from bookshop.web.contract import contract, json_response, list_response, page_request
from bookshop.web.schemas import ListOf

ORDERS = "/api/v1/admin/orders"
ALL = {"tag": "Orders, for staff", "scope": ORDERS_SCOPE}
ERROR_CODES = ("ORDER_NOT_FOUND", "ORDER_STATE")


@bp.get(ORDERS)
@staff_required
@contract(**ALL, HTTP_200=ListOf[StaffOrderOut])
def api_all_orders(query: StaffOrderQuery) -> Response:
    """List and search all customers' orders: those still to be handled oldest first, others newest first."""
    search = OrderSearch(q=query.q, status=query.status, uncollected=query.uncollected)
    page = services.orders().search(search, page_request(query), query.size)
    return list_response(page, [staff_order_out(order) for order in page.items])


@bp.post(f"{ORDERS}/<int:order_id>/ready")
@staff_required
@contract(*ERROR_CODES, **ALL, HTTP_200=StaffOrderOut)
def api_mark_ready(order_id: int) -> Response:
    """Mark a placed order as ready to collect."""
    return _change(order_id, READY)


@bp.post(f"{ORDERS}/<int:order_id>/collected")
@staff_required
@contract(*ERROR_CODES, **ALL, HTTP_200=StaffOrderOut)
def api_mark_collected(order_id: int) -> Response:
    """Mark a ready order as collected and paid for."""
    return _change(order_id, COLLECTED)


@bp.post(f"{ORDERS}/<int:order_id>/cancel")
@staff_required
@contract(*ERROR_CODES, **ALL, HTTP_200=StaffOrderOut)
def api_cancel_any(order_id: int) -> Response:
    """Cancel an order that is not yet collected; its copies go back into stock, and waiting customers are notified."""
    return _change(order_id, CANCELLED)


def _change(order_id: int, status: str) -> Response:
    checkout, me = services.checkout(), current_identity().user_id
    services.commit(lambda: checkout.change(order_id, status, me))
    return json_response(staff_order_out(services.orders().get_any(order_id)))
