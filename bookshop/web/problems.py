"""The error codes of the JSON API, each with its HTTP status and the explanation published in the OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Problem(NamedTuple):
    """The HTTP status of an error code, and what the code means to the developer of a script."""

    status: int
    explanation: str


# These can be the answer to any request, or to any request of one kind; `_codes` in openapi.py decides which.
GENERAL: Mapping[str, Problem] = {
    "HTTP_400": Problem(400, "The body is not valid JSON, or a request with a session cookie lacks its CSRF token."),
    "NOT_AUTHENTICATED": Problem(401, "The token is missing, unknown, revoked or expired. Create a new one."),
    "FORBIDDEN": Problem(403, "This account may not do this, or the token lacks the scope that is needed."),
    "SECOND_FACTOR_REQUIRED": Problem(
        403, "The shop requires a second factor of its staff and the session passed none. Tokens do not need one."
    ),
    "FRESH_LOGIN_REQUIRED": Problem(
        403, "The last password, code or link of the session was more than 15 minutes ago. Tokens need none."
    ),
    "HTTP_404": Problem(404, "There is nothing at this address."),
    "CURSOR_NOT_FOUND": Problem(
        404, "The cursor belongs to another list, filter or sort order. Start again with an empty cursor."
    ),
    "HTTP_412": Problem(
        412, "The book has changed since you read it. Read it again and send its new ETag in If-Match."
    ),
    "HTTP_413": Problem(413, "The body is larger than 1 MB."),
    "HTTP_415": Problem(415, "The body was not sent with `Content-Type: application/json`."),
    "VALIDATION_ERROR": Problem(
        422, "A value is missing, unknown or invalid; `errors` lists each one with the reason."
    ),
    "HTTP_429": Problem(429, "Too many requests. Wait for the number of seconds in Retry-After."),
    "HTTP_500": Problem(500, "An error in the shop; `detail` states whether anything was changed."),
    "HTTP_503": Problem(503, "The shop is busy and nothing was changed. Retry after the seconds in Retry-After."),
    "OUTCOME_UNKNOWN": Problem(
        503,
        "The database connection was lost during the commit, so the change may or may not have been made. "
        "Check, or retry with the same Idempotency-Key.",
    ),
    "IDEMPOTENCY_IN_FLIGHT": Problem(
        409, "Another request with this Idempotency-Key is still being processed. Retry in a moment."
    ),
    "IDEMPOTENCY_MISMATCH": Problem(
        422, "This Idempotency-Key was used for a different request. Use a new key for each request."
    ),
}
PROBLEMS: Mapping[str, Problem] = {
    **GENERAL,
    "BOOK_NOT_FOUND": Problem(404, "There is no book with this id or ISBN, or it has been withdrawn."),
    "BOOK_ISBN_CONFLICT": Problem(409, "Another book already has this ISBN."),
    "PREBOOK_BOOK_IN_STOCK": Problem(409, "The book is in stock. Add it to the cart instead."),
    "PREBOOK_DUPLICATE": Problem(409, "The customer already has a waiting pre-booking for this book."),
    "PREBOOK_LIMIT_REACHED": Problem(
        409, "The customer has reached the limit of waiting pre-bookings. Cancel one before making another."
    ),
    "PREBOOK_NOT_FOUND": Problem(404, "The customer has no pre-booking with this id."),
    "PREBOOK_ALREADY_CANCELLED": Problem(409, "The pre-booking has already been cancelled."),
    "PREBOOK_ALREADY_NOTIFIED": Problem(
        409, "The customer has already been notified that the book is back in stock, so there is nothing to cancel."
    ),
    "CART_BOOK_OUT_OF_STOCK": Problem(409, "The book is out of stock. Reserve it instead."),
    "CART_LIMIT": Problem(409, "The cart has reached its limit of different books, or of copies of one book."),
    "CART_ITEM_NOT_FOUND": Problem(404, "The book is not in the cart."),
    "ORDER_CART_EMPTY": Problem(409, "The cart is empty, so there is nothing to order."),
    "ORDER_LIMIT": Problem(
        409, "The customer has reached the limit of open orders. Collect or cancel one before placing another."
    ),
    "ORDER_CHANGED": Problem(
        409, "The total, postage included, differs from `expected_totals`. Read the cart and the postage again."
    ),
    "ORDER_INSUFFICIENT_STOCK": Problem(
        409, "There are not enough copies of some books; `lines` lists them with the copies that are left."
    ),
    "ORDER_NOT_FOUND": Problem(404, "There is no order with this id, or it belongs to another customer."),
    "ORDER_STATE": Problem(409, "The order's current status does not allow this change."),
    "EVENTS_PURGED": Problem(
        410, "The events after this position are no longer kept. `oldest` is the first position that can be read."
    ),
    "WEBHOOK_NOT_FOUND": Problem(404, "There is no webhook with this id."),
    "WEBHOOK_LIMIT": Problem(409, "The shop has reached its limit of webhooks. Delete one before adding another."),
    "WEBHOOK_DELIVERY_NOT_FOUND": Problem(404, "The webhook has no delivery with this id. Old ones are deleted."),
    "WEBHOOK_DELIVERY_SENDING": Problem(409, "The delivery is being sent right now. Check again in a moment."),
}


def by_status(codes: Iterable[str]) -> Mapping[int, list[str]]:
    """Group error codes by HTTP status."""
    grouped: dict[int, list[str]] = {}
    for code in codes:
        grouped.setdefault(PROBLEMS[code].status, []).append(code)
    return grouped
