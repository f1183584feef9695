"""The staff pages about orders: lists by status, search, the pick list, and buttons that change one or many."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import ViewResponse, chosen_ids, flash_outcome, notified_words
from bookshop.checkout.service import ALLOWED_FROM
from bookshop.inventory.service import Notified
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import tidy
from bookshop.orders.models import CANCELLED, COLLECTED, PLACED, POST, READY, STATUSES, Order
from bookshop.orders.repository import OrderRepository
from bookshop.orders.service import OrderSearch
from bookshop.returns.models import Return
from bookshop.returns.repository import ReturnRepository
from bookshop.web import services
from bookshop.web.access import current_identity, require_fresh_login, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.jinja import day
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


class Outcome(NamedTuple):
    """What became of the chosen orders: the ids of the changed ones, the customers who were notified, and the open
    returns.
    """

    status: str
    changed: Collection[int]
    notified: Notified
    withdrawn: Mapping[int, Return]


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
        withdrawn=_withdrawn(page.items),
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
    picks = services.orders().pick_list()
    withdrawn = _withdrawn([order for pick in picks for order, _copies in pick.copies_by_order])
    return render_template("admin/pick_list.html", picks=picks, withdrawn=withdrawn, now=now())


def _withdrawn(orders: Iterable[Order]) -> Mapping[int, Return]:
    """Return the open return of each order that has one; see ReturnRepository.list_withdrawn."""
    by_post = {order.id for order in orders if order.delivery == POST}
    return services.repository(ReturnRepository).list_withdrawn(by_post) if by_post else {}


@bp.get("/admin/orders/<int:order_id>")
@staff_required
def order(order_id: int) -> ViewResponse:
    order, found = services.orders().get_with_books(order_id), services.repository(ReturnRepository)
    withdrawn = found.list_withdrawn([order_id]).get(order_id)
    shown = {"returns": found.list_by_order(order_id), "withdrawn": withdrawn}
    return render_template("admin/order.html", order=order, form=ShopForm(), **shown)


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
    """Change the chosen orders, flash the outcome and redirect to the page with the button.

    Of several orders, those from which the customers have withdrawn are only cancelled: staff decide about each other
    change on the page of the order.
    """
    checkout, me, chosen = services.checkout(), current_identity().user_id, chosen_ids("order")
    back = redirect(safe_next(request.form.get("next", url_for("admin.orders"))), 303)
    if len(chosen) > MAX_ORDERS:
        flash(f"You ticked {len(chosen):,} orders, so none was changed. Tick at most {MAX_ORDERS}.", "warning")
        return back
    if len(chosen) > 1:
        require_fresh_login()
    returns = services.repository(ReturnRepository)

    def change() -> Outcome:
        withdrawn = {} if status == CANCELLED else returns.list_withdrawn(chosen)
        wanted = [order_id for order_id in chosen if len(chosen) == 1 or order_id not in withdrawn]
        return Outcome(status, *checkout.change_all(wanted, status, me), withdrawn)

    outcome = services.commit(change)
    _flash_changes(services.repository(OrderRepository).list_by_id(chosen), outcome)
    return back


def _flash_changes(orders: Sequence[Order], outcome: Outcome) -> None:
    """Flash which of the chosen orders were changed, and why the others were not."""
    done = [order for order in orders if order.id in outcome.changed]
    others = [order for order in orders if order.id not in outcome.changed]
    reasons = [f"{order.number} ({_reason(order, outcome)})" for order in others]
    flash_outcome("orders", _done_sentence(done, outcome) if done else "", reasons)
    if any(_is_left_out(order, outcome) for order in others):
        flash("To change one of them all the same, open it and use the button there.", "info")


def _done_sentence(done: Sequence[Order], outcome: Outcome) -> str:
    subject = f"Order {done[0].number} is" if len(done) == 1 else f"{len(done):,} orders are"
    sentences = [f"{subject} {_new_status(done, outcome.status)}."]
    if outcome.status == CANCELLED:
        sentences.append(_returned_sentence(done, outcome.notified))
    sentences += [_withdrawn_sentence(one) for order in done if (one := outcome.withdrawn.get(order.id))]
    return " ".join(sentences)


def _withdrawn_sentence(one: Return) -> str:
    """Remind staff who have just changed a withdrawn order."""
    what = "some of its books" if one.books else "it"
    return f"The customer withdrew from {what} on {day(one.created_at)}: agree with them what you post."


def _new_status(done: Sequence[Order], status: str) -> str:
    """Return the new status of these orders in words; posted orders are "posted" instead of "collected"."""
    if status != COLLECTED:
        return status
    deliveries = sorted({order.delivery for order in done})
    return " or ".join("posted" if delivery == POST else COLLECTED for delivery in deliveries)


def _returned_sentence(cancelled: Sequence[Order], notified: Notified) -> str:
    copies = sum(line.quantity for order in cancelled for line in order.lines)
    subject = "1 copy has" if copies == 1 else f"{copies:,} copies have"
    return f"{subject} gone back into stock. {notified_words(notified)}"


def _is_left_out(order: Order, outcome: Outcome) -> bool:
    """Return whether an unchanged order could have been changed, had its customer not withdrawn from it."""
    return order.id in outcome.withdrawn and order.status in ALLOWED_FROM[outcome.status]


def _reason(order: Order, outcome: Outcome) -> str:
    """Return why an order did not move to this status."""
    if _is_left_out(order, outcome):
        return f"withdrawn on {day(outcome.withdrawn[order.id].created_at)}"
    if (order.status, outcome.status) == (PLACED, COLLECTED):
        return "must be marked ready first"
    return f"already {order.status}"
