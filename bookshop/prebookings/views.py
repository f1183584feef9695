"""Pages about reservations: what JSON calls pre-bookings."""

from flask import flash, redirect, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop import faces
from bookshop.accounts.access import customer_required, visitor
from bookshop.accounts.views import NOTIFIED_SEEN
from bookshop.forms import ShopForm
from bookshop.navigation import asked_page, render_list
from bookshop.prebookings import bp

SIZE = 20


@bp.post("/books/<int:book_id>/reserve")
@customer_required
def reserve(book_id: int) -> Response:
    user_id, service = visitor().user_id, faces.prebookings()
    faces.commit(lambda: service.reserve(user_id, book_id))
    flash("Reserved. You will find a note in My reservations as soon as the book is back in stock.", "success")
    return redirect(url_for("catalog.book", book_id=book_id), 303)


@bp.get("/reservations")
@customer_required
def reservations() -> str | Response:
    back = faces.prebookings().count_notified(visitor().user_id)  # before the list, which then shows no fewer
    found = faces.prebookings().list_own(visitor().user_id, None, asked_page(), SIZE)
    session[NOTIFIED_SEEN] = back
    return render_list("prebookings/reservations.html", found, form=ShopForm())


@bp.post("/reservations/<int:prebook_id>/cancel")
@customer_required
def cancel(prebook_id: int) -> Response:
    user_id, service = visitor().user_id, faces.prebookings()
    faces.commit(lambda: service.cancel(user_id, prebook_id))
    flash("The reservation is cancelled.", "success")
    return redirect(url_for("prebookings.reservations"), 303)


def books_back() -> int:
    """How many of the visitor's reserved books came back since the last look at the reservations."""
    if not current_user.is_customer:
        return 0
    seen: int = session.get(NOTIFIED_SEEN, 0)
    return max(0, faces.prebookings().count_notified(visitor().user_id) - seen)
