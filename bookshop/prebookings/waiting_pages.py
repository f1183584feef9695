"""The page that each alert links to: what its customer is waiting for, without logging in."""

from flask import flash, redirect, url_for
from werkzeug.wrappers import Response

from bookshop.accounts import signed_links
from bookshop.accounts.views import limited
from bookshop.prebookings import bp
from bookshop.prebookings.models import WAITING
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_next, requested_page

SIZE = 20
# The page must not reveal whether a link was sent: that depends on what else the address has been sent.
ERASURE_REQUESTED = (
    "We've sent a link to the address of the account, unless it had one in the last five minutes, or five today."
    " Open it within 30 minutes to delete the account and erase your data."
)


@bp.get("/waiting/<token>")
def waiting(token: str) -> str | Response:
    """List the reservations, and nothing else of the account: customers forward alerts."""
    user = services.people().user_of_link(*_content(token))
    page = services.repository(PreBookRepository).list_by_user(user.id, WAITING, requested_page(), SIZE)
    return render_list("prebookings/waiting.html", page, form=ShopForm(), token=token, alerts=user.wants_alerts)


@bp.post("/waiting/<token>/<int:prebook_id>/cancel")
def cancel_waiting(token: str, prebook_id: int) -> Response:
    user_id, service = services.people().user_of_link(*_content(token)).id, services.prebookings()
    services.commit(lambda: service.cancel(user_id, prebook_id))
    flash(f"Your reservation of {service.get(user_id, prebook_id).book_title} is cancelled.", "success")
    return _back(token)


@bp.post("/waiting/<token>/stop")
def stop_waiting(token: str) -> Response:
    people, (user_id, email_key) = services.people(), _content(token)
    cancelled = services.commit(lambda: people.stop_waiting(user_id, email_key))
    flash(_stopped_notice(cancelled), "success")
    return _back(token)


def _stopped_notice(cancelled: int) -> str:
    counted = {0: "You had no reservations to cancel.", 1: "Your reservation is cancelled."}
    done = counted.get(cancelled, f"Your {cancelled} reservations are cancelled.")
    return f"{done} We'll no longer e-mail you when a book is back in stock."


@bp.post("/waiting/<token>/erase")
@limited
def erase(token: str) -> Response:
    """E-mail a login link to the account's address, because this link alone must not be able to delete anything."""
    user_id, links = services.people().user_of_link(*_content(token)).id, services.login_links()
    services.commit(lambda: links.request_for_user(user_id, next="/account/delete"))
    flash(ERASURE_REQUESTED, "info")
    return _back(token)


def _content(token: str) -> tuple[int, str]:
    """Return the user's id and the key of the address that the link was sent to."""
    user_id, email_key = signed_links.read(signed_links.WAITING, token)
    return user_id, email_key


def _back(token: str) -> Response:
    return redirect(requested_next() or url_for("prebookings.waiting", token=token), 303)
