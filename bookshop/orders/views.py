"""The pages for the checkout and the customer's own orders."""

from contextlib import suppress
from datetime import timedelta

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.cart.repository import CartRepository
from bookshop.extensions import settings
from bookshop.idempotency.service import StoredResponse
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid, NotFound
from bookshop.orders import bp
from bookshop.orders.forms import CheckoutForm, LineAction
from bookshop.orders.models import CANCELLED, PLACED, Order
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.views import reserved_notice
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import flash_with_link, render_list, requested_page

SIZE = 20
# Errors that the page words differently from JSON, by code.
PAGE_SENTENCES = {
    "ORDER_INSUFFICIENT_STOCK": "Some books have just sold out. Choose what to do with each. Nothing has been ordered "
    "yet.",
    "IDEMPOTENCY_IN_FLIGHT": "Your order is being placed. Press the button again to see it.",
    "IDEMPOTENCY_MISMATCH": "Nothing was ordered. Check your books and place the order again.",
    "PREBOOK_BOOK_IN_STOCK": "This book is back in stock, so you can order it now.",
}

ViewResponse = str | Response | tuple[str, int]


@bp.route("/checkout", methods=["GET", "POST"])
@customer_required
def checkout() -> ViewResponse:
    form = CheckoutForm(None if request.method == "POST" else _last_order())
    action = form.line_action()
    if action and ShopForm().validate_on_submit():
        return _change_line(form, action)
    if not form.validate_on_submit():
        return _show(form, form.status)
    try:
        return _place(form)
    except Invalid as refused:
        return _refuse(form, refused, 400)
    except Conflict as refused:
        return _refuse(form, refused, 409)


def _last_order() -> Order | None:
    """Return the customer's last order, whose details prefill the form."""
    return next(
        iter(services.repository(OrderRepository).list_by_user(current_identity().user_id, None, 1, 1).items), None
    )


def _place(form: CheckoutForm) -> Response:
    """Place the order and redirect to it, or to the order that this form has already placed."""
    user_id, details = current_identity().user_id, form.checkout()
    keys, checkout = services.idempotency(), services.checkout()

    def place() -> StoredResponse:
        return StoredResponse(str(checkout.place(user_id, details).order.id))

    order_id = int(services.commit(lambda: keys.run_once(user_id, form.key.data, form.fingerprint, place)).body)
    flash("Thank you. Your order has been placed.", "success")
    return redirect(url_for("orders.order", order_id=order_id), 303)


def _refuse(form: CheckoutForm, refused: Conflict | Invalid, status: int) -> ViewResponse:
    """Show the page again with the error and what was typed; each line shows whether it is short of copies."""
    if refused.code == "IDEMPOTENCY_MISMATCH":
        form.renew_key()
    refused.sentence = PAGE_SENTENCES.get(refused.code, refused.sentence)
    form.add_error(refused)
    return _show(form, status)


def _change_line(form: CheckoutForm, action: LineAction) -> ViewResponse:
    """Perform the action of the button next to a book, and show the page again with what was typed."""
    user_id, cart = current_identity().user_id, services.cart()
    change = {"take": cart.reduce_to_stock, "reserve": cart.reserve_instead, "remove": cart.remove}[action.name]
    try:
        services.commit(lambda: change(user_id, action.book_id))
    except NotFound:  # already removed from the cart, or withdrawn, which the page shows
        if action.name != "remove":
            return _show(form, 200)
    except Conflict as refused:
        return _refuse(form, refused, 409)
    if action.name == "remove":
        flash("Removed from your cart.", "success")
    elif action.name == "take":
        flash("Changed to the number of copies in stock.", "success")
    else:
        flash_with_link(reserved_notice(current_identity()), "success")
        if not services.repository(CartRepository).count_copies(user_id):
            return redirect(url_for("prebookings.reservations"), 303)
    return _show(form, 200)


def _show(form: CheckoutForm, status: int) -> ViewResponse:
    """Show the page with the current cart, or redirect to the cart page if it is empty."""
    cart = services.cart().get(current_identity().user_id)
    if not cart.lines:
        flash("Your cart is empty, so there is nothing to order. Earlier orders are in My orders.", "info")
        return redirect(url_for("cart.cart"), 303)
    form.show(cart)
    return render_template("orders/checkout.html", form=form, cart=cart, post=settings().post_orders), status


@bp.get("/orders")
@customer_required
def orders() -> ViewResponse:
    page = services.repository(OrderRepository).list_by_user(current_identity().user_id, None, requested_page(), SIZE)
    return render_list("orders/orders.html", page)


@bp.get("/orders/<int:order_id>")
@customer_required
def order(order_id: int) -> ViewResponse:
    order = services.orders().get(current_identity().user_id, order_id)
    kept_until = order.ready_at + timedelta(days=settings().collect_days) if order.ready_at else None
    return render_template("orders/order.html", order=order, kept_until=kept_until, now=now())


@bp.route("/orders/<int:order_id>/cancel", methods=["GET", "POST"])
@customer_required
def cancel(order_id: int) -> ViewResponse:
    """Ask for confirmation first, as this cannot be undone."""
    user_id, service, form = current_identity().user_id, services.orders(), ShopForm()
    order = service.get(user_id, order_id)
    if order.status == PLACED:
        if not form.validate_on_submit():
            return render_template("orders/cancel.html", order=order, form=form), form.status
        with suppress(Conflict):  # its status has just changed: explained below
            services.commit(lambda: services.checkout().cancel(user_id, order_id))
            flash("Your order is cancelled. There is nothing to pay.", "success")
            return redirect(url_for("orders.order", order_id=order_id), 303)
    flash(_too_late_notice(service.get(user_id, order_id)), "info")
    return redirect(url_for("orders.order", order_id=order_id), 303)


def _too_late_notice(order: Order) -> str:
    if order.status == CANCELLED:
        return "This order has already been cancelled."
    return "You can cancel an order here only until it is ready. If you no longer want this one, contact the shop."


@bp.app_template_global()
def ready_order_count() -> int:
    """Return how many of the visitor's orders are ready to collect or to post."""
    return (
        services.repository(OrderRepository).count_ready(current_identity().user_id) if current_user.is_customer else 0
    )
