"""What schemathesis must know about the shop besides its OpenAPI document (see schemathesis.toml)."""

import re
from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UseAfterFree
from stdnum import ean

from bookshop.kit.database import ID_MAX
from bookshop.webhooks.addresses import URL_MAX
from tests.support.fuzzing import ORDERS

KEPT = 10  # webhooks that are never deleted, so that some always exist
OTHERS = 30  # ids tried of everything except orders
URL = re.compile("https://[!-~]+")
NO_BOOK = ("There is no book with this ISBN.", "This is not an ISBN.", "There is no such book.")
STOCK = re.compile(r"The stock (is \d+; it cannot (fall|rise) |would change by [+-]\d+, which does not fit )")


def isbn(number: int) -> str:
    """Return a valid ISBN-13."""
    digits = f"978{number:09d}"
    return digits + str(ean.calc_check_digit(digits))


# A pattern describes the form of an ISBN, but not its check digit.
schemathesis.openapi.format("isbn", strategies.integers(0, 10**9 - 1).map(isbn))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    usable = _usable(path_parameters)
    if context.operation.method.upper() == "DELETE" and isinstance(usable, dict) and "webhook_id" in usable:
        return {name: value + KEPT if type(value) is int else value for name, value in usable.items()}
    return usable


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    return _usable(body)


def _usable(value: Any, name: str = "") -> Any:
    """Map a generated value to one that is useful in this shop; its validity does not change.

    Ids become small, because larger ones do not exist yet. 5.0 is an integer in JSON Schema, but not in the shop: it
    becomes 5.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if name.endswith("_id") and type(value) is int and 0 < value <= ID_MAX:
        return (value - 1) % (ORDERS if name == "order_id" else OTHERS) + 1
    if name == "url" and isinstance(value, str) and len(value) < URL_MAX and URL.fullmatch(value):
        return "https://127.0.0.1/hooks"  # no other host can be reached
    if isinstance(value, dict):
        return {member: _usable(item, member) for member, item in value.items()}
    return [_usable(item) for item in value] if isinstance(value, list) else value


@schemathesis.hook
def filter_failure(_context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """Whether a failure really breaks the contract: some checks object to documented behaviour."""
    operation, code = _id_of(case.operation), _member(response, "code")
    if isinstance(failure, UseAfterFree):  # a cancelled pre-booking still exists
        still_exists = bool(response.status_code == 304 or _member(response, "status") == "cancelled")
        return not (operation == "prebookings_prebooking" and still_exists)
    if isinstance(failure, EnsureResourceAvailability):  # an order empties the cart
        return bool(code != "CART_ITEM_NOT_FOUND")
    if isinstance(failure, RejectedPositiveData):
        return not _is_refused_for_its_state(case.operation, code, _member(response, "errors") or [])
    return True


def _id_of(operation: Any) -> str:
    return str(operation.definition.raw["operationId"])


def _member(response: Any, name: str) -> Any:
    is_json = "json" in str(response.headers.get("content-type"))
    return response.json().get(name) if is_json else None


def _is_refused_for_its_state(operation: Any, code: str, errors: list[dict[str, str]]) -> bool:
    """Whether a request with a valid schema is refused because of the shop's current state.

    Mostly that is 404 or 409, which the check accepts. For these operations the contract has 412 or 422 in such cases.
    """
    name, headers = _id_of(operation), {parameter.name for parameter in operation.headers}
    if code == "HTTP_412":  # If-Match does not match the book's current state
        return "If-Match" in headers
    if code == "IDEMPOTENCY_MISMATCH":  # the key was used for another body
        return "Idempotency-Key" in headers
    is_due_to_state = REFUSALS_BY_STATE.get(name)
    return is_due_to_state is not None and all(is_due_to_state(error) for error in errors)


REFUSALS_BY_STATE: dict[str, Callable[[dict[str, str]], Any]] = {
    # The stock would leave 0 to 1,000,000, or not change as stated.
    "admin_update_stock": lambda error: STOCK.match(error["detail"]),
    # The same in one of its lines, or an unknown book: no line is applied.
    "admin_change_stocks": lambda error: error["detail"] in NO_BOOK or STOCK.match(error["detail"]),
    # The host is unknown, or its address is not allowed.
    "webhooks_register": lambda error: error["pointer"] == "#/url",
    # It is not an e-mail address, in a way that no pattern can express.
    "accounts_request_link": lambda error: error["pointer"] == "#/email",
    # This shop does not post orders.
    "orders_place": lambda error: error["pointer"] == "#/delivery",
}
