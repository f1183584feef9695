"""Pre-bookings in JSON: the customer's own and, for staff, all pre-bookings of a book."""

from flask import Response, url_for

from bookshop.accounts.scopes import PREBOOKINGS, REPORTS_READ
from bookshop.admin import bp as staff
from bookshop.catalog.api import BOOK
from bookshop.prebookings import bp
from bookshop.prebookings.repository import PreBookRepository
from bookshop.prebookings.schemas import (
    NewPreBook,
    PreBookOut,
    PreBookQuery,
    StaffPreBookOut,
    staff_prebook_out,
)
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required, staff_required
from bookshop.web.contract import contract, json_response, list_response, page_request
from bookshop.web.schemas import ListOf

OWN = {"tag": "Pre-bookings", "scope": PREBOOKINGS}
RESERVE_ERRORS = ("BOOK_NOT_FOUND", "PREBOOK_BOOK_IN_STOCK", "PREBOOK_DUPLICATE", "PREBOOK_LIMIT_REACHED")
CANCEL_ERRORS = ("PREBOOK_NOT_FOUND", "PREBOOK_ALREADY_CANCELLED", "PREBOOK_ALREADY_NOTIFIED")


@bp.post("/api/v1/prebookings")
@customer_required
@contract(*RESERVE_ERRORS, **OWN, HTTP_201=PreBookOut)
def api_reserve(json: NewPreBook) -> Response:
    """Reserve a book that is out of stock."""
    user_id, service = current_identity().user_id, services.prebookings()
    prebook = services.commit(lambda: service.reserve(user_id, json.book_id))
    location = url_for("prebookings.api_prebooking", prebook_id=prebook.id)
    return json_response(PreBookOut.model_validate(prebook), 201, {"Location": location})


@bp.get("/api/v1/prebookings")
@customer_required
@contract(**OWN, HTTP_200=ListOf[PreBookOut])
def api_prebookings(query: PreBookQuery) -> Response:
    """List your pre-bookings, newest first."""
    page = services.repository(PreBookRepository).list_by_user(
        current_identity().user_id, query.status, page_request(query), query.size
    )
    return list_response(page, [PreBookOut.model_validate(prebook) for prebook in page.items])


@bp.get("/api/v1/prebookings/<int:prebook_id>")
@customer_required
@contract("PREBOOK_NOT_FOUND", **OWN, HTTP_200=PreBookOut)
def api_prebooking(prebook_id: int) -> Response:
    """Show one of your pre-bookings."""
    return json_response(PreBookOut.model_validate(services.prebookings().get(current_identity().user_id, prebook_id)))


@bp.delete("/api/v1/prebookings/<int:prebook_id>")
@customer_required
@contract(*CANCEL_ERRORS, **OWN, HTTP_204=None)
def api_cancel(prebook_id: int) -> Response:
    """Cancel your pre-booking while it is waiting."""
    user_id, service = current_identity().user_id, services.prebookings()
    services.commit(lambda: service.cancel(user_id, prebook_id))
    return Response(status=204)


@staff.get(f"{BOOK}/prebookings")
@staff_required
@contract("BOOK_NOT_FOUND", tag="Reports", scope=REPORTS_READ, HTTP_200=ListOf[StaffPreBookOut])
def api_book_prebookings(book_id: int, query: PreBookQuery) -> Response:
    """List the pre-bookings of a book, oldest first, each with its customer's e-mail address."""
    page = services.prebookings().list_of_book(book_id, query.status, page_request(query), query.size)
    return list_response(page, [staff_prebook_out(prebook, email) for prebook, email in page.items])
