"""What the button of an order says, and the words that go with it."""

from collections.abc import Mapping

from bookshop.shop.models import TO_PAY, TO_RESERVE

BUTTONS: Mapping[str, str] = {TO_RESERVE: "Reserve for collection", TO_PAY: "Order with obligation to pay"}
THANKS: Mapping[str, str] = {
    TO_RESERVE: "Thank you. Your books are reserved for collection.",
    TO_PAY: "Thank you. Your order has been placed.",
}
