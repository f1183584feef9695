"""The pages for reservations, called pre-bookings in code and in JSON."""

from flask import redirect, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts.authentication import Identity
from bookshop.accounts.browser import link_request, link_sent
from bookshop.accounts.forms import AddressForm
from bookshop.accounts.logging_in import NOTIFIED_SEEN
from bookshop.accounts.views import ViewResponse, limited
from bookshop.cart import cookie
from bookshop.catalog.views import address_of, book_page
from bookshop.kit.exceptions import Invalid
from bookshop.prebookings import bp
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required, customers_and_visitors
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import flash_with_link, render_list, requested_card, requested_next, requested_page

SIZE = 20


@bp.post("/books/<int:book_id>/reserve")
@customers_and_visitors
@limited
def reserve(book_id: int) -> ViewResponse:
    if not current_user.is_authenticated:
        return _reserve_by_email(book_id)
    me, service = current_identity(), services.prebookings()
    prebook = services.commit(lambda: service.reserve(me.user_id, book_id))
    flash_with_link({**reserved_notice(me), "book": book_id}, "success")
    address = address_of(book_id, prebook.book_title)
    return redirect(requested_card(book_id) or f"{address}#availability", 303)


def _reserve_by_email(book_id: int) -> ViewResponse:
    form = AddressForm()
    if form.validate_on_submit():
        try:
            return send_reservation_link(form.email.data, book_id)
        except Invalid as error:
            form.add_error(error)
    return book_page(services.catalog().read(book_id, withdrawn=True), form), form.status


def send_reservation_link(email: str, book_id: int) -> Response:
    """E-mail a visitor a link that reserves a sold-out book, which leaves the cart; say where the link was sent.

    Raises what `LinkActionService.start_reservation` raises.
    """
    actions, wanted = services.link_actions(), link_request(email)
    address = services.commit(lambda: actions.start_reservation(wanted, book_id))
    cookie.remove(book_id)
    return link_sent(address)


def reserved_notice(me: Identity) -> dict[str, str]:
    """Return the message shown after reserving: how the customer is notified, and where to turn e-mails on."""
    if me.gets_alerts:
        return {"sentence": "Reserved. We'll e-mail you when the book is back in stock."}
    reason = "You have turned off e-mails about books that are back in stock."
    return {
        "sentence": f"Reserved. My reservations will show you when the book is back in stock. {reason}",
        "link": url_for("accounts.account", _anchor="mail"),
        "label": "Your account",
    }


@bp.get("/reservations")
@customer_required
def reservations() -> str | Response:
    user_id, prebookings = current_identity().user_id, services.repository(PreBookRepository)
    seen = prebookings.count_notified(user_id)  # counted before the list is read, so that nothing unseen counts as seen
    page = prebookings.list_by_state(user_id, requested_page(), SIZE)
    session[NOTIFIED_SEEN] = seen
    return render_list("prebookings/reservations.html", page, form=ShopForm())


@bp.post("/reservations/<int:prebook_id>/cancel")
@customer_required
def cancel(prebook_id: int) -> Response:
    user_id, service = current_identity().user_id, services.prebookings()
    services.commit(lambda: service.cancel(user_id, prebook_id))
    back = requested_next() or url_for("prebookings.reservations")
    flash_with_link(_cancelled_notice(service.get(user_id, prebook_id), back), "success")
    return redirect(back, 303)


def _cancelled_notice(cancelled: PreBook, back: str) -> dict[str, str]:
    """Return a message with an Undo button, which reserves the book again and redirects to `back`."""
    return {
        "sentence": f"Your reservation of {cancelled.book_title} is cancelled.",
        "action": url_for("prebookings.reserve", book_id=cancelled.book_id),
        "label": "Undo",
        "next": back,
    }


@bp.app_template_global()
def back_in_stock_count() -> int:
    """Count the visitor's reserved books that came back in stock since they last viewed their reservations."""
    if not current_user.is_customer:
        return 0
    return services.prebookings().count_back(current_identity().user_id, session.get(NOTIFIED_SEEN, 0))
