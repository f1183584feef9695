"""The checkout and one's own orders."""

from contextlib import suppress
from datetime import timedelta

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.cart.repository import CartRepository
from bookshop.extensions import settings
from bookshop.idempotency.service import Answer as KeptAnswer
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid, NotFound
from bookshop.orders import bp
from bookshop.orders.forms import Aside, CheckoutForm
from bookshop.orders.models import CANCELLED, PLACED, Order
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.views import reserved_notice
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import flash_with_link, render_list, requested_page

SIZE = 20
# Refusals that the page says in other words than JSON.
WORDS = {
    "ORDER_INSUFFICIENT_STOCK": "Others were faster, so nothing is ordered yet. Please say at each book that is short "
    "what to do. All that you typed is kept.",
    "IDEMPOTENCY_IN_FLIGHT": "Your order is being placed at this moment. Please press the button again to see it.",
    "IDEMPOTENCY_MISMATCH": "Nothing was ordered. Please place the order once more.",
    "PREBOOK_BOOK_IN_STOCK": "This book is back in stock this very moment, so you can order it now.",
}

Answer = str | Response | tuple[str, int]


@bp.route("/checkout", methods=["GET", "POST"])
@customer_required
def checkout() -> Answer:
    form = CheckoutForm(None if request.method == "POST" else _last_order())
    aside = form.aside()
    if aside and ShopForm().validate_on_submit():
        return _set_aside(form, aside)
    if not form.validate_on_submit():
        return _show(form, form.status)
    try:
        return _place(form)
    except Invalid as refused:
        return _refuse(form, refused, 400)
    except Conflict as refused:
        return _refuse(form, refused, 409)


def _last_order() -> Order | None:
    """The customer's last order, whose contact will mostly do again."""
    return next(
        iter(services.repository(OrderRepository).list_by_user(current_identity().user_id, None, 1, 1).items), None
    )


def _place(form: CheckoutForm) -> Response:
    """Place the order, or lead to the one that was placed with this very page."""
    user_id, asked = current_identity().user_id, form.checkout()
    keys, checkout = services.idempotency(), services.checkout()

    def work() -> KeptAnswer:
        return KeptAnswer(str(checkout.place(user_id, asked).order.id))

    order_id = int(services.commit(lambda: keys.once(user_id, form.key.data, form.asked, work)).body)
    flash("Thank you! Your order is placed.", "success")
    return redirect(url_for("orders.order", order_id=order_id), 303)


def _refuse(form: CheckoutForm, refused: Conflict | Invalid, status: int) -> Answer:
    """The page again with all that was typed; of which books there are too few, each line says."""
    if refused.code == "IDEMPOTENCY_MISMATCH":
        form.renew_key()
    refused.sentence = WORDS.get(refused.code, refused.sentence)
    form.add_error(refused)
    return _show(form, status)


def _set_aside(form: CheckoutForm, aside: Aside) -> Answer:
    """Do what a button beside a book asks for, and show the page again with all that was typed."""
    user_id, cart = current_identity().user_id, services.cart()
    work = {"take": cart.reduce_to_stock, "reserve": cart.reserve_instead, "remove": cart.remove}[aside.name]
    try:
        services.commit(lambda: work(user_id, aside.book_id))
    except NotFound:  # it was taken out of the cart before, or is no longer sold, which the page says
        if aside.name != "remove":
            return _show(form, 200)
    except Conflict as refused:
        return _refuse(form, refused, 409)
    if aside.name == "remove":
        flash("Left out: the book is no longer in your cart.", "success")
    elif aside.name == "take":
        flash("Your cart holds no more of it than there is.", "success")
    else:
        flash_with_link(reserved_notice(current_identity()), "success")
        if not services.repository(CartRepository).count_copies(user_id):
            return redirect(url_for("prebookings.reservations"), 303)
    return _show(form, 200)


def _show(form: CheckoutForm, status: int) -> Answer:
    """The page with the cart as it is now; an empty one is shown on its own page."""
    cart = services.cart().get(current_identity().user_id)
    if not cart.lines:
        flash("Your cart is empty, so there is nothing to order. What you ordered before is in My orders.", "info")
        return redirect(url_for("cart.cart"), 303)
    form.show(cart)
    return render_template("orders/checkout.html", form=form, cart=cart, post=settings().post_orders), status


@bp.get("/orders")
@customer_required
def orders() -> Answer:
    found = services.repository(OrderRepository).list_by_user(current_identity().user_id, None, requested_page(), SIZE)
    return render_list("orders/orders.html", found)


@bp.get("/orders/<int:order_id>")
@customer_required
def order(order_id: int) -> Answer:
    found = services.orders().get(current_identity().user_id, order_id)
    kept_until = found.ready_at + timedelta(days=settings().collect_days) if found.ready_at else None
    return render_template("orders/order.html", order=found, kept_until=kept_until, now=now())


@bp.route("/orders/<int:order_id>/cancel", methods=["GET", "POST"])
@customer_required
def cancel(order_id: int) -> Answer:
    """Ask first: there is no way back."""
    user_id, service, form = current_identity().user_id, services.orders(), ShopForm()
    found = service.get(user_id, order_id)
    if found.status == PLACED:
        if not form.validate_on_submit():
            return render_template("orders/cancel.html", order=found, form=form), form.status
        with suppress(Conflict):  # somebody was quicker, as the order then says
            services.commit(lambda: services.checkout().cancel(user_id, order_id))
            flash("Your order is cancelled. Its books are back on our shelves, and you pay nothing.", "success")
            return redirect(url_for("orders.order", order_id=order_id), 303)
    flash(_too_late(service.get(user_id, order_id)), "info")
    return redirect(url_for("orders.order", order_id=order_id), 303)


def _too_late(order: Order) -> str:
    if order.status == CANCELLED:
        return "This order was cancelled before."
    return "We have put this order together already, so it cannot be cancelled here. Please tell us in the shop."


@bp.app_template_global()
def orders_ready() -> int:
    """How many of the visitor's orders are ready, and wait to be collected or posted."""
    return (
        services.repository(OrderRepository).count_ready(current_identity().user_id) if current_user.is_customer else 0
    )
