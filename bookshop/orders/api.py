"""One's own orders in JSON."""

from flask import Response, url_for

from bookshop.accounts.scopes import ORDERS
from bookshop.idempotency.api import commit_once
from bookshop.idempotency.service import Answer
from bookshop.orders import bp
from bookshop.orders.repository import OrderRepository
from bookshop.orders.schemas import NewOrder, OrderOut, OrderQuery, order_out
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required
from bookshop.web.contract import answer, contract, list_of, page_request
from bookshop.web.schemas import ListOf

OWN = {"tag": "Orders", "scope": ORDERS}
REFUSALS = ("ORDER_CART_EMPTY", "ORDER_CHANGED", "ORDER_INSUFFICIENT_STOCK")


@bp.post("/api/v1/orders")
@customer_required
@contract(*REFUSALS, **OWN, once=True, HTTP_201=OrderOut)
def api_place(json: NewOrder) -> Response:
    """Order what is in one's cart: all of it, or nothing. With an `Idempotency-Key` once, however often it is sent."""
    user_id, checkout = current_identity().user_id, services.checkout()

    def work() -> Answer:
        placed = checkout.place(user_id, json.checkout())
        location = url_for("orders.api_order", order_id=placed.order.id)
        return Answer(order_out(placed.order, placed.lines).model_dump_json(), 201, location)

    return commit_once(work)


@bp.get("/api/v1/orders")
@customer_required
@contract(**OWN, HTTP_200=ListOf[OrderOut])
def api_orders(query: OrderQuery) -> Response:
    """List one's own orders, newest first."""
    found = services.repository(OrderRepository).list_by_user(
        current_identity().user_id, query.status, page_request(query), query.size
    )
    return list_of(found, [order_out(order) for order in found.items])


@bp.get("/api/v1/orders/<int:order_id>")
@customer_required
@contract("ORDER_NOT_FOUND", **OWN, HTTP_200=OrderOut)
def api_order(order_id: int) -> Response:
    """One of one's own orders."""
    return answer(order_out(services.orders().get(current_identity().user_id, order_id)))


@bp.post("/api/v1/orders/<int:order_id>/cancel")
@customer_required
@contract("ORDER_NOT_FOUND", "ORDER_STATE", **OWN, HTTP_200=OrderOut)
def api_cancel(order_id: int) -> Response:
    """Cancel one's own order while it is placed; its copies go back on the shelf."""
    user_id, service = current_identity().user_id, services.orders()

    def cancelled() -> OrderOut:
        services.checkout().cancel(user_id, order_id)
        return order_out(service.get(user_id, order_id))

    return answer(services.commit(cancelled))
