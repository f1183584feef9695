"""The staff pages about orders: lists by status, search, the pick list, and buttons that change one or many."""

from collections.abc import Collection, Mapping, Sequence

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import ViewResponse, chosen_ids, flash_outcome, notified_words
from bookshop.inventory.service import Notified
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import tidy
from bookshop.orders.models import CANCELLED, COLLECTED, PLACED, POST, READY, STATUSES, Order
from bookshop.orders.repository import OrderRepository
from bookshop.orders.service import OrderSearch
from bookshop.returns.repository import ReturnRepository
from bookshop.web import services
from bookshop.web.access import current_identity, require_fresh_login, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page, safe_next

SIZE = 50
MAX_ORDERS = 100  # orders that one button changes
UNCOLLECTED, ALL = "uncollected", "all"
TABS = {
    PLACED: "Placed",
    READY: "Ready",
    UNCOLLECTED: "Uncollected",
    COLLECTED: "Collected",
    CANCELLED: "Cancelled",
    ALL: "All",
}


@bp.get("/admin/orders")
@staff_required
def orders() -> ViewResponse:
    q, service, refusal = tidy(request.args.get("q", "")), services.orders(), ""
    tab = _requested_tab(q)
    try:
        page = service.search(_search(tab, q), requested_page(), SIZE)
    except Invalid as error:
        page, refusal = Page([], 0, 1, SIZE), error.sentence
    return render_list(
        "admin/orders.html",
        page,
        q=q,
        refusal=refusal,
        tab=tab,
        tabs=TABS,
        counts=_counts(service.counts()),
        days=services.shop_details().collect_days,
        post=services.shop_details().post_orders,
        form=ShopForm(),
    )


def _requested_tab(q: str) -> str:
    """Return the tab in the query string; by default all orders for a search, otherwise those to get ready."""
    status = request.args.get("status")
    return status if status in TABS else ALL if q else PLACED


def _search(tab: str, q: str) -> OrderSearch:
    return OrderSearch(q=q, status=tab if tab in STATUSES else None, uncollected=tab == UNCOLLECTED)


def _counts(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return the number of orders of each tab."""
    return {**counts, ALL: sum(counts.get(status, 0) for status in STATUSES)}


@bp.get("/admin/orders/pick-list")
@staff_required
def pick_list() -> ViewResponse:
    return render_template("admin/pick_list.html", picks=services.orders().pick_list(), now=now())


@bp.get("/admin/orders/<int:order_id>")
@staff_required
def order(order_id: int) -> ViewResponse:
    order, returns = services.orders().get_with_books(order_id), services.repository(ReturnRepository)
    return render_template("admin/order.html", order=order, returns=returns.list_by_order(order_id), form=ShopForm())


@bp.post("/admin/returns/<int:return_id>/handled")
@staff_required
def handle_return(return_id: int) -> Response:
    returns = services.returns()
    services.commit(lambda: returns.handle(return_id))
    flash("The return is marked as handled.", "success")
    return redirect(safe_next(request.form.get("next", url_for("admin.dashboard"))), 303)


@bp.post("/admin/orders/ready")
@staff_required
def mark_ready() -> Response:
    return _change(READY)


@bp.post("/admin/orders/collected")
@staff_required
def mark_collected() -> Response:
    return _change(COLLECTED)


@bp.post("/admin/orders/cancel")
@staff_required
def cancel_orders() -> Response:
    return _change(CANCELLED)


def _change(status: str) -> Response:
    """Change the chosen orders, flash the outcome and redirect to the page with the button."""
    checkout, me, chosen = services.checkout(), current_identity().user_id, chosen_ids("order")
    back = redirect(safe_next(request.form.get("next", url_for("admin.orders"))), 303)
    if len(chosen) > MAX_ORDERS:
        flash(f"You ticked {len(chosen):,} orders, so none was changed. Tick at most {MAX_ORDERS}.", "warning")
        return back
    if len(chosen) > 1:
        require_fresh_login()
    changed, notified = services.commit(lambda: checkout.change_all(chosen, status, me))
    _flash_changes(status, services.repository(OrderRepository).list_by_id(chosen), changed, notified)
    return back


def _flash_changes(status: str, orders: Sequence[Order], changed: Collection[int], notified: Notified) -> None:
    """Flash which of the chosen orders were changed, and why the others were not."""
    done = [order for order in orders if order.id in changed]
    unchanged = [f"{order.number} ({_reason(order, status)})" for order in orders if order.id not in changed]
    flash_outcome("orders", _done_sentence(done, status, notified) if done else "", unchanged)


def _done_sentence(done: Sequence[Order], status: str, notified: Notified) -> str:
    returned = _returned_sentence(done, notified) if status == CANCELLED else ""
    subject = f"Order {done[0].number} is" if len(done) == 1 else f"{len(done):,} orders are"
    return f"{subject} {_new_status(done, status)}.{returned}"


def _new_status(done: Sequence[Order], status: str) -> str:
    """Return the new status of these orders in words; posted orders are "posted" instead of "collected"."""
    if status != COLLECTED:
        return status
    deliveries = sorted({order.delivery for order in done})
    return " or ".join("posted" if delivery == POST else COLLECTED for delivery in deliveries)


def _returned_sentence(cancelled: Sequence[Order], notified: Notified) -> str:
    copies = sum(line.quantity for order in cancelled for line in order.lines)
    subject = "1 copy has" if copies == 1 else f"{copies:,} copies have"
    return f" {subject} gone back into stock. {notified_words(notified)}"


def _reason(order: Order, status: str) -> str:
    """Return why an order cannot move to this status."""
    if (order.status, status) == (PLACED, COLLECTED):
        return "must be marked ready first"
    return f"already {order.status}"
