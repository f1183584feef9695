"""JSON schemas for orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import Row

from bookshop.catalog.schemas import Currency
from bookshop.checkout.service import Checkout
from bookshop.kit.money import Amount
from bookshop.orders.models import ADDRESS_MAX, NAME_MAX, ORDER_NOTE_MAX, PHONE_MAX, Order, OrderLine, order_totals
from bookshop.web.schemas import NOT_BLANK_LINES, BlankAsNone, Body, JsonLiteral, Line, Lines, PageQuery

MAX_CENTS = 2**53 - 1  # the largest integer that all JSON parsers agree on (RFC 8259, 6)
Status = Literal["placed", "ready", "collected", "cancelled"]
Delivery = Literal["collect", "post"]

# JSON Schema for the rule that an order by post needs an address.
ADDRESS_IF_POSTED: dict[str, JsonValue] = {
    "if": {"required": ["delivery"], "properties": {"delivery": {"const": "post"}}},
    "then": {"required": ["address"], "properties": {"address": {"type": "string", "pattern": NOT_BLANK_LINES}}},
}


class ExpectedAmount(Body):
    """The expected total of an order in one currency, in its minor units."""

    amount_cents: Annotated[int, Field(ge=0, le=MAX_CENTS)]
    currency: Currency


class NewOrder(Body):
    """An order of everything in your cart. Without `name`, it is under the account's e-mail address.

    With `expected_totals`, one amount per currency, the order is refused if the total, postage included, is different
    by now.
    """

    model_config = ConfigDict(json_schema_extra=ADDRESS_IF_POSTED)

    name: BlankAsNone[Annotated[Line, Field(max_length=NAME_MAX)]] = None
    phone: BlankAsNone[Annotated[Line, Field(max_length=PHONE_MAX)]] = None
    note: BlankAsNone[Annotated[Lines, Field(max_length=ORDER_NOTE_MAX)]] = None
    delivery: Delivery = "collect"
    address: BlankAsNone[Annotated[Lines, Field(max_length=ADDRESS_MAX)]] = None

    expected_totals: Annotated[list[ExpectedAmount], Field(min_length=1, max_length=10)] | None = None

    def checkout(self) -> Checkout:
        details = self.model_dump(exclude={"expected_totals"})
        amounts = self.expected_totals
        expected = [Amount(amount.amount_cents, amount.currency) for amount in amounts] if amounts else None
        return Checkout(**details, expected=expected)


class OrderQuery(PageQuery):
    """Which of your orders to list."""

    status: Status | None = None


class AmountOut(BaseModel):
    """An amount in minor units of a currency."""

    amount_cents: int
    currency: str


class OrderLineOut(BaseModel):
    """A book as it was sold; `prebooking_id` is the pre-booking that this sale ended, if any."""

    model_config = ConfigDict(from_attributes=True)

    book_id: int
    title: str
    quantity: int
    price_cents: int
    currency: str
    prebooking_id: int | None


class OrderOut(BaseModel):
    """An order; `totals` is what the customer pays, books and postage, one amount per currency.

    `postage_cents` is in minor units of `postage_currency`, which is null if there is no postage to pay.
    """

    model_config = ConfigDict(from_attributes=True)

    id: int
    number: str
    status: Status
    payment: Literal["on_collection"]
    delivery: Delivery
    name: str
    phone: str | None
    address: str | None
    note: str | None
    lines: list[OrderLineOut]
    totals: list[AmountOut]
    created_at: datetime
    ready_at: datetime | None
    collected_at: datetime | None
    cancelled_at: datetime | None
    postage_cents: int
    postage_currency: str | None


class StaffOrderOut(OrderOut):
    """An order as staff see it, with the customer's e-mail address: null if the account is deleted."""

    email: str | None


def order_out(
    order: Order | Row[*tuple[Any, ...]], lines: Sequence[OrderLine | Row[*tuple[Any, ...]]] | None = None
) -> OrderOut:
    """Convert an order to JSON: a model, or a row and the rows of its lines."""
    return OrderOut(**_members(order, order.lines if lines is None else lines))


def staff_order_out(order: Order) -> StaffOrderOut:
    """Convert an order to JSON for staff."""
    email = None if order.user.deleted_at else order.user.email
    return StaffOrderOut(email=email, **_members(order, order.lines))


def _members(order: Any, lines: Sequence[Any]) -> dict[str, Any]:
    sums = order_totals(order, lines)
    members = {name: getattr(order, name) for name in OrderOut.model_fields if name not in {"lines", "totals"}}
    return {
        **members,
        "lines": [OrderLineOut.model_validate(line) for line in lines],
        "totals": [AmountOut(amount_cents=cents, currency=currency) for cents, currency in sums],
    }


class StaffOrderQuery(PageQuery):
    """Which orders to list: by status, uncollected for too long, or by any part of what OrderSearch finds (`q`)."""

    q: str = ""
    status: Status | None = None
    uncollected: Annotated[bool, JsonLiteral] = False
