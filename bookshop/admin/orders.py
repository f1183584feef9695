"""Staff's pages about orders: what is to be done, finding one, the pick list, and changing one or many."""

from collections.abc import Collection, Mapping, Sequence

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import Answer, chosen_ids, flash_outcome, told
from bookshop.extensions import settings
from bookshop.inventory.service import Notified
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import tidy
from bookshop.orders.models import CANCELLED, COLLECTED, PLACED, POST, READY, STATUSES, Order
from bookshop.orders.repository import OrderRepository
from bookshop.orders.service import OrderSearch
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page, safe_next

SIZE = 50
MOST = 100  # orders that one button changes
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
def orders() -> Answer:
    q, service, refusal = tidy(request.args.get("q", "")), services.orders(), ""
    tab = _asked_tab(q)
    try:
        found = service.search(_search(tab, q), requested_page(), SIZE)
    except Invalid as refused:
        found, refusal = Page([], 0, 1, SIZE), refused.sentence
    return render_list(
        "admin/orders.html",
        found,
        q=q,
        refusal=refusal,
        tab=tab,
        tabs=TABS,
        counts=_counts(service.counts()),
        days=settings().collect_days,
        post=settings().post_orders,
        form=ShopForm(),
    )


def _asked_tab(q: str) -> str:
    """The list that the address asks for; else the one to work on or, for who looks for something, all."""
    asked = request.args.get("status")
    return asked if asked in TABS else ALL if q else PLACED


def _search(tab: str, q: str) -> OrderSearch:
    return OrderSearch(q=q, status=tab if tab in STATUSES else None, uncollected=tab == UNCOLLECTED)


def _counts(counts: Mapping[str, int]) -> Mapping[str, int]:
    """How many orders each tab has."""
    return {**counts, ALL: sum(counts.get(status, 0) for status in STATUSES)}


@bp.get("/admin/orders/pick-list")
@staff_required
def pick_list() -> Answer:
    return render_template("admin/pick_list.html", picks=services.orders().pick_list(), now=now())


@bp.get("/admin/orders/<int:order_id>")
@staff_required
def order(order_id: int) -> Answer:
    return render_template("admin/order.html", order=services.orders().get_with_books(order_id), form=ShopForm())


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
    """Change the chosen orders, say what came of it, and go back to the page where the button was."""
    checkout, me, chosen = services.checkout(), current_identity().user_id, chosen_ids("order")
    back = redirect(safe_next(request.form.get("next", url_for("admin.orders"))), 303)
    if len(chosen) > MOST:
        flash(f"These are {len(chosen):,} orders, so none was changed. Please choose at most {MOST}.", "warning")
        return back
    changed, notified = services.commit(lambda: checkout.change_all(chosen, status, me))
    _say(status, services.repository(OrderRepository).list_by_id(chosen), changed, notified)
    return back


def _say(status: str, orders: Sequence[Order], changed: Collection[int], notified: Notified) -> None:
    """Flash what became of the chosen orders."""
    done = [order for order in orders if order.id in changed]
    left = [f"{order.number}, which {_why(order, status)}" for order in orders if order.id not in changed]
    flash_outcome("orders", _done(done, status, notified) if done else "", left)


def _done(done: Sequence[Order], status: str, notified: Notified) -> str:
    returned = _returned(done, notified) if status == CANCELLED else ""
    subject = f"Order {done[0].number} is" if len(done) == 1 else f"{len(done):,} orders are"
    return f"{subject} {_become(done, status)}.{returned}"


def _become(done: Sequence[Order], status: str) -> str:
    """What orders became, in a word for those that are posted too."""
    ways = sorted({order.delivery for order in done})
    return " or ".join("posted" if way == POST else COLLECTED for way in ways) if status == COLLECTED else status


def _returned(cancelled: Sequence[Order], notified: Notified) -> str:
    copies = sum(line.quantity for order in cancelled for line in order.lines)
    return f" {'1 copy is' if copies == 1 else f'{copies:,} copies are'} back in stock. {told(notified)}"


def _why(order: Order, status: str) -> str:
    if (order.status, status) == (PLACED, COLLECTED):
        return "must be marked ready first"
    return f"is {order.status} already"
