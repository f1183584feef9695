"""The pages for the checkout and the customer's own orders."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts.browser import link_request, link_sent, sent_to
from bookshop.accounts.views import count_form
from bookshop.cart import cookie
from bookshop.cart.views import current_cart, reduce_to_stock, remove_from_cart
from bookshop.idempotency.service import StoredResponse
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid, NotFound, TooManyAttempts
from bookshop.orders import bp
from bookshop.orders.forms import CheckoutForm, LineAction
from bookshop.orders.models import CANCELLED, PLACED, POST, Order
from bookshop.orders.repository import OrderRepository
from bookshop.orders.wording import THANKS
from bookshop.prebookings.views import reserved_notice, send_reservation_link
from bookshop.returns.repository import ReturnRepository
from bookshop.web import kept_forms, services
from bookshop.web.access import current_identity, customer_required, customers_and_visitors
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

ViewResponse = str | Response | tuple[str, int] | tuple[str, int, dict[str, str]]


@bp.route("/checkout", methods=["GET", "POST"])
@customers_and_visitors
def checkout() -> ViewResponse:
    """Order what is in the cart; a visitor who is not logged in gets a link first, which does it."""
    form = _checkout_form()
    action = form.line_action()
    if action and ShopForm().validate_on_submit():
        return _change_line(form, action)
    if not form.validate_on_submit():
        return _show(form, form.status)
    try:
        return _place(form) if current_user.is_customer else _send_link(form)
    except (Conflict, Invalid, TooManyAttempts) as refused:
        return _refuse(form, refused)


def _checkout_form() -> CheckoutForm:
    if not current_user.is_customer:
        return CheckoutForm(email=sent_to())
    return CheckoutForm(_known_contact() if request.method == "GET" else None)


def _known_contact() -> Mapping[str, Any]:
    """Return what was entered for an order that has become short, or else the details of the last order."""
    me = current_identity()
    if kept := services.link_actions().kept_contact(me.user_id, me.email):
        return kept
    for last in services.repository(OrderRepository).list_by_user(me.user_id, None, 1, 1).items:
        return {name: getattr(last, name) for name in ("name", "phone", "delivery", "address")}
    return {}


def _place(form: CheckoutForm) -> Response:
    """Place the order and redirect to it, or to the order that this form has already placed."""
    me, details = current_identity(), form.checkout()
    keys, checkout, actions = services.idempotency(), services.checkout(), services.link_actions()

    def place() -> StoredResponse:
        actions.forget_contact(me.user_id, me.email)
        return StoredResponse(str(checkout.place(me.user_id, details).order.id))

    order_id = int(services.commit(lambda: keys.run_once(me.user_id, form.key.data, form.fingerprint, place)).body)
    flash(THANKS[services.shop_details().wording], "success")
    return redirect(url_for("orders.order", order_id=order_id), 303)


def _send_link(form: CheckoutForm) -> Response:
    """E-mail a visitor the link whose page places the order."""
    count_form()
    actions, wanted, details = services.link_actions(), link_request(form.email.data), form.checkout()
    entries = [line.entry for line in current_cart().lines]
    return link_sent(services.commit(lambda: actions.start_order(wanted, details, entries)))


def _refuse(form: CheckoutForm, refused: Conflict | Invalid | TooManyAttempts) -> ViewResponse:
    """Show the page again with the error and what was typed; each line shows whether it is short of copies."""
    if refused.code == "IDEMPOTENCY_MISMATCH":
        form.renew_key()
    refused.sentence = PAGE_SENTENCES.get(refused.code, refused.sentence)
    return _show(form, form.refuse(refused))


def _change_line(form: CheckoutForm, action: LineAction) -> ViewResponse:
    """Perform the action of the button next to a book, and show the page again with what was typed."""
    try:
        if action.name == "reserve":
            return _reserve(form, action.book_id)
        if action.name == "take":
            reduce_to_stock(action.book_id)
            flash("Changed to the number of copies in stock.", "success")
        else:
            with suppress(NotFound):  # the first of two clicks has removed it
                remove_from_cart(action.book_id)
            flash("Removed from your cart.", "success")
    except NotFound:  # no longer in the cart, or withdrawn, which the page shows
        pass
    except (Conflict, Invalid, TooManyAttempts) as refused:
        return _refuse(form, refused)
    return _show(form, 200)


def _reserve(form: CheckoutForm, book_id: int) -> ViewResponse:
    """Reserve a book instead of ordering it. If no other is left, go on to the page that shows the reservation."""
    if current_user.is_customer:
        next_page = _reserve_now(book_id)
    elif form.email.validate(form):
        next_page = _reserve_by_email(form.email.data, book_id)
    else:
        return _show(form, form.status)
    return _show(form, 200) if current_cart().lines else next_page


def _reserve_now(book_id: int) -> Response:
    me, cart = current_identity(), services.cart()
    services.commit(lambda: cart.reserve_instead(me.user_id, book_id))
    flash_with_link(reserved_notice(me), "success")
    return redirect(url_for("prebookings.reservations"), 303)


def _reserve_by_email(email: str, book_id: int) -> Response:
    count_form()
    next_page = send_reservation_link(email, book_id)
    if cookie.count():
        flash("The link in our e-mail will reserve that book. Continue here, and it will order the others.", "success")
    return next_page


def _show(form: CheckoutForm, status: int) -> ViewResponse:
    """Show the page with the current cart, or redirect to the cart page if it is empty."""
    cart = current_cart()
    if not cart.lines:
        _flash_empty_cart()
        response = redirect(url_for("cart.cart"), 303)
        kept_forms.keep_typed(response, request.path)  # the login may have expired, and with it the customer's cart
        return response
    offer = services.checkout().offer(cart)
    form.show(offer)
    return render_template("orders/checkout.html", form=form, cart=cart, offer=offer), status, form.headers


def _flash_empty_cart() -> None:
    sentence = "Your cart is empty, so there is nothing to order."
    if current_user.is_customer:
        flash(f"{sentence} Earlier orders are in My orders.", "info")
    else:
        login = {"link": url_for("accounts.login", next=url_for("orders.checkout")), "label": "Log in"}
        flash_with_link({"sentence": f"{sentence} Log in to see the cart of your account.", **login}, "info")


@bp.get("/orders")
@customer_required
def orders() -> ViewResponse:
    page = services.repository(OrderRepository).list_by_user(current_identity().user_id, None, requested_page(), SIZE)
    return render_list("orders/orders.html", page)


@bp.get("/orders/<int:order_id>")
@customer_required
def order(order_id: int) -> ViewResponse:
    order = services.orders().get(current_identity().user_id, order_id)
    kept_until = order.ready_at + timedelta(days=services.shop_details().collect_days) if order.ready_at else None
    returns = services.repository(ReturnRepository).list_by_order(order_id) if order.delivery == POST else ()
    return render_template("orders/order.html", order=order, returns=returns, kept_until=kept_until, now=now())


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
