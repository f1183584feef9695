"""The codes of problems: what each says to a script, and under which status it comes."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Problem(NamedTuple):
    """A code's HTTP status, and what it means, in words."""

    status: int
    words: str


# Every request may get these, or every one of a kind; openapi.py knows which.
GENERAL: Mapping[str, Problem] = {
    "HTTP_400": Problem(400, "The body is not valid JSON, or a cookie came without the CSRF token."),
    "NOT_AUTHENTICATED": Problem(401, "A token is missing, unknown, revoked or expired."),
    "FORBIDDEN": Problem(403, "It is not for this user, or not within the scopes of the token."),
    "HTTP_404": Problem(404, "There is nothing at this address."),
    "CURSOR_NOT_FOUND": Problem(404, "The cursor is none of this list."),
    "HTTP_412": Problem(412, "The book was changed since it was read: none of the ETags in If-Match is its own."),
    "HTTP_413": Problem(413, "The body is larger than 1 MB."),
    "HTTP_415": Problem(415, "The body is not sent as application/json."),
    "VALIDATION_ERROR": Problem(422, "A value is missing, unknown or wrong; `errors` says which and why."),
    "HTTP_429": Problem(429, "There were too many requests; Retry-After says when to go on."),
    "HTTP_500": Problem(500, "A fault of the shop; `detail` says whether anything was changed."),
    "HTTP_503": Problem(503, "The shop is busy; the same request may succeed in a moment."),
    "OUTCOME_UNKNOWN": Problem(
        503, "The database was lost at the last moment: look whether it was done, or send the same Idempotency-Key."
    ),
    "IDEMPOTENCY_IN_FLIGHT": Problem(409, "A request with this Idempotency-Key is just being worked on."),
    "IDEMPOTENCY_MISMATCH": Problem(422, "The Idempotency-Key was used for another request."),
}
PROBLEMS: Mapping[str, Problem] = {
    **GENERAL,
    "BOOK_NOT_FOUND": Problem(404, "There is no such book."),
    "BOOK_ISBN_CONFLICT": Problem(409, "Another book has this ISBN."),
    "PREBOOK_BOOK_IN_STOCK": Problem(409, "The book is in stock: put it into the cart instead."),
    "PREBOOK_DUPLICATE": Problem(409, "The customer waits for this book already."),
    "PREBOOK_LIMIT_REACHED": Problem(409, "The customer waits for as many books as one may."),
    "PREBOOK_NOT_FOUND": Problem(404, "There is no such pre-booking among one's own."),
    "PREBOOK_ALREADY_CANCELLED": Problem(409, "The pre-booking was cancelled before."),
    "PREBOOK_ALREADY_NOTIFIED": Problem(409, "The book is back, so there is nothing left to cancel."),
    "CART_BOOK_OUT_OF_STOCK": Problem(409, "No copy is left: reserve the book instead."),
    "CART_LIMIT": Problem(409, "The cart holds no more books, or no more copies of one."),
    "CART_ITEM_NOT_FOUND": Problem(404, "The book is not in the cart."),
    "ORDER_CART_EMPTY": Problem(409, "There is nothing in the cart to order."),
    "ORDER_CHANGED": Problem(409, "The cart does not cost what `expected_totals` says."),
    "ORDER_INSUFFICIENT_STOCK": Problem(409, "There are too few copies; `lines` says of what."),
    "ORDER_NOT_FOUND": Problem(404, "There is no such order, or not among one's own."),
    "ORDER_STATE": Problem(409, "The order cannot become that from what it is."),
    "WEBHOOK_NOT_FOUND": Problem(404, "There is no such webhook."),
    "WEBHOOK_LIMIT": Problem(409, "There are as many webhooks as there may be."),
    "WEBHOOK_DELIVERY_NOT_FOUND": Problem(404, "The webhook has no such delivery."),
    "WEBHOOK_DELIVERY_SENDING": Problem(409, "The delivery is just being made."),
}


def by_status(codes: Iterable[str]) -> Mapping[int, list[str]]:
    """The codes under each status."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(PROBLEMS[code].status, []).append(code)
    return found
