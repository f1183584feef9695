"""What schemathesis has to know of the shop besides its document (see schemathesis.toml)."""

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

KEPT = 10  # webhooks that are not deleted, or nothing could be asked of any after a while
OTHERS = 30  # ids that are tried of all that is not an order
URL = re.compile("https://[!-~]+")
NO_BOOK = ("There is no book with this ISBN.", "This is no ISBN.", "There is no such book.")
STOCK = re.compile(r"The stock (is \d+; it cannot (fall|rise) |would change by [+-]\d+, which does not fit )")


def isbn(number: int) -> str:
    """A valid ISBN-13."""
    digits = f"978{number:09d}"
    return digits + str(ean.calc_check_digit(digits))


# A pattern tells what an ISBN looks like, but not which check digit is right.
schemathesis.openapi.format("isbn", strategies.integers(0, 10**9 - 1).map(isbn))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    here = _as_here(path_parameters)
    if context.operation.method.upper() == "DELETE" and isinstance(here, dict) and "webhook_id" in here:
        return {name: value + KEPT if type(value) is int else value for name, value in here.items()}
    return here


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    return _as_here(body)


def _as_here(value: Any, name: str = "") -> Any:
    """What was drawn, as it is asked for in this shop. What its schema lets through, or not, stays so.

    Ids are small, as others were not given yet. 5.0 is an integer to JSON Schema, but not to the shop: it becomes 5.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if name.endswith("_id") and type(value) is int and 0 < value <= ID_MAX:
        return (value - 1) % (ORDERS if name == "order_id" else OTHERS) + 1
    if name == "url" and isinstance(value, str) and len(value) < URL_MAX and URL.fullmatch(value):
        return "https://127.0.0.1/hooks"  # any other name leads nowhere from here
    if isinstance(value, dict):
        return {member: _as_here(held, member) for member, held in value.items()}
    return [_as_here(item) for item in value] if isinstance(value, list) else value


@schemathesis.hook
def filter_failure(_context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """Whether it is a failure to the contract, too: what a check takes for one may be what the contract promises."""
    operation, code = _id_of(case.operation), _member(response, "code")
    if isinstance(failure, UseAfterFree):  # a pre-booking that was cancelled is kept
        kept = bool(response.status_code == 304 or _member(response, "status") == "cancelled")
        return not (operation == "prebookings_prebooking" and kept)
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
    """Whether a request that its schema lets through is refused for the state that the shop is in.

    That is 404 or 409 for most, which the check knows. For these the contract has 412 or 422, for no other reason.
    """
    name, headers = _id_of(operation), {parameter.name for parameter in operation.headers}
    if code == "HTTP_412":  # If-Match names a state in which the book is not
        return "If-Match" in headers
    if code == "IDEMPOTENCY_MISMATCH":  # the key was used for another body
        return "Idempotency-Key" in headers
    may_be = STATES.get(name)
    return may_be is not None and all(may_be(error) for error in errors)


STATES: dict[str, Callable[[dict[str, str]], Any]] = {
    # The stock would leave 0 to 1,000,000, or not change in the way that is said.
    "admin_update_stock": lambda error: STOCK.match(error["detail"]),
    # The same in one of its lines, or there is no such book: none is carried out.
    "admin_change_stocks": lambda error: error["detail"] in NO_BOOK or STOCK.match(error["detail"]),
    # Nobody knows the name, or it leads to where webhooks may not go.
    "webhooks_register": lambda error: error["pointer"] == "#/url",
    # This shop posts nothing.
    "orders_place": lambda error: error["pointer"] == "#/delivery",
}
