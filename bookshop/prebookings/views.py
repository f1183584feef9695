"""Pages about reservations: what JSON calls pre-bookings."""

from flask import redirect, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts.authentication import Identity
from bookshop.accounts.views import NOTIFIED_SEEN
from bookshop.catalog.views import address_of
from bookshop.prebookings import bp
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import flash_with_link, render_list, requested_next, requested_page

SIZE = 20


@bp.post("/books/<int:book_id>/reserve")
@customer_required
def reserve(book_id: int) -> Response:
    me, service = current_identity(), services.prebookings()
    prebook = services.commit(lambda: service.reserve(me.user_id, book_id))
    flash_with_link(reserved_notice(me), "success")
    address = address_of(book_id, prebook.book_title)
    return redirect(requested_next() or f"{address}#availability", 303)


def reserved_notice(me: Identity) -> dict[str, str]:
    """What is said to who reserved a book: how they will be told, and where to go if no e-mail is to come."""
    if me.gets_alerts:
        return {"sentence": "Reserved. As soon as the book is back, you get an e-mail and a note in My reservations."}
    if me.email_confirmed:
        why, place = "You have turned off e-mails about books that are back.", "mail"
    else:
        why, place = "No e-mail comes before you confirm your address.", "you"
    return {
        "sentence": f"Reserved. As soon as the book is back, you find a note in My reservations. {why}",
        "link": url_for("accounts.account", _anchor=place),
        "label": "Your account",
    }


@bp.get("/reservations")
@customer_required
def reservations() -> str | Response:
    user_id, prebookings = current_identity().user_id, services.repository(PreBookRepository)
    back = prebookings.count_notified(user_id)  # before the list, which then shows no fewer
    found = prebookings.list_by_state(user_id, requested_page(), SIZE)
    session[NOTIFIED_SEEN] = back
    return render_list("prebookings/reservations.html", found, form=ShopForm())


@bp.post("/reservations/<int:prebook_id>/cancel")
@customer_required
def cancel(prebook_id: int) -> Response:
    user_id, service = current_identity().user_id, services.prebookings()
    services.commit(lambda: service.cancel(user_id, prebook_id))
    back = requested_next() or url_for("prebookings.reservations")
    flash_with_link(_undo(service.get(user_id, prebook_id), back), "success")
    return redirect(back, 303)


def _undo(cancelled: PreBook, back: str) -> dict[str, str]:
    """A message with a button that reserves the book anew, and leads back to the page where it was cancelled."""
    return {
        "sentence": f"The reservation is cancelled. You no longer wait for {cancelled.book_title}.",
        "action": url_for("prebookings.reserve", book_id=cancelled.book_id),
        "label": "Undo",
        "next": back,
    }


@bp.app_template_global()
def books_back() -> int:
    """How many of the visitor's reserved books came back since the last look at the reservations, and are there."""
    if not current_user.is_customer:
        return 0
    return services.prebookings().count_back(current_identity().user_id, session.get(NOTIFIED_SEEN, 0))
