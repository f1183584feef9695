"""The customer's own orders in JSON."""

from flask import Response, url_for

from bookshop.accounts.scopes import ORDERS
from bookshop.idempotency.api import commit_once
from bookshop.idempotency.service import StoredResponse
from bookshop.orders import bp
from bookshop.orders.repository import OrderRepository
from bookshop.orders.schemas import NewOrder, OrderOut, OrderQuery, order_out
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required
from bookshop.web.contract import contract, json_response, list_response, page_request
from bookshop.web.schemas import ListOf

OWN = {"tag": "Orders", "scope": ORDERS}
ERROR_CODES = ("ORDER_CART_EMPTY", "ORDER_LIMIT", "ORDER_CHANGED", "ORDER_INSUFFICIENT_STOCK")


@bp.post("/api/v1/orders")
@customer_required
@contract(*ERROR_CODES, **OWN, idempotent=True, HTTP_201=OrderOut)
def api_place(json: NewOrder) -> Response:
    """Order everything in your cart, or nothing. With an `Idempotency-Key`, a repeated request orders only once."""
    user_id, checkout = current_identity().user_id, services.checkout()

    def place() -> StoredResponse:
        placed = checkout.place(user_id, json.checkout())
        location = url_for("orders.api_order", order_id=placed.order.id)
        return StoredResponse(order_out(placed.order, placed.lines).model_dump_json(), 201, location)

    return commit_once(place)


@bp.get("/api/v1/orders")
@customer_required
@contract(**OWN, HTTP_200=ListOf[OrderOut])
def api_orders(query: OrderQuery) -> Response:
    """List your orders, newest first."""
    page = services.repository(OrderRepository).list_by_user(
        current_identity().user_id, query.status, page_request(query), query.size
    )
    return list_response(page, [order_out(order) for order in page.items])


@bp.get("/api/v1/orders/<int:order_id>")
@customer_required
@contract("ORDER_NOT_FOUND", **OWN, HTTP_200=OrderOut)
def api_order(order_id: int) -> Response:
    """Show one of your orders."""
    return json_response(order_out(services.orders().get(current_identity().user_id, order_id)))


@bp.post("/api/v1/orders/<int:order_id>/cancel")
@customer_required
@contract("ORDER_NOT_FOUND", "ORDER_STATE", **OWN, HTTP_200=OrderOut)
def api_cancel(order_id: int) -> Response:
    """Cancel your order while it is placed; its copies go back into stock."""
    user_id, service = current_identity().user_id, services.orders()

    def cancel() -> OrderOut:
        services.checkout().cancel(user_id, order_id)
        return order_out(service.get(user_id, order_id))

    return json_response(services.commit(cancel))
