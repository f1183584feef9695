"""The price that customers pay for a book, among the prices of its ONIX record."""

import re
from collections.abc import Iterable
from datetime import date

from bookshop.bookfiles.onix_codes import FOR_CUSTOMERS, FROM, FROM_UNTIL, RETAIL_PRICES, UNTIL
from bookshop.bookfiles.onix_xml import Composite

Rank = tuple[bool, bool, int, int]  # prices are better with smaller ones
AMOUNT = re.compile(r"(\d+)(?:[.,](\d+))?", re.ASCII)


def retail_price(prices: Iterable[Composite], currency: str, defaults: tuple[str, str], today: date) -> dict[str, str]:
    """Return the fields `price` and `currency`, or none of them if the record has no price for customers.

    Prefers prices that are valid today, then the shop's `currency`, then fixed prices, then those including tax.
    `defaults` are the type and the currency of prices that do not say theirs.
    """
    ranked: list[tuple[Rank, dict[str, str]]] = []
    for price in prices:
        type_ = price.text("PriceType") or defaults[0]
        own = price.text("CurrencyCode") or defaults[1]
        amount = AMOUNT.fullmatch(price.text("PriceAmount"))
        if amount and type_ in RETAIL_PRICES and price.text("PriceQualifier") in FOR_CUSTOMERS:
            rank = (not _is_valid(price, today), own not in {currency, ""}, RETAIL_PRICES.index(type_), len(ranked))
            ranked.append((rank, {"price": _amount(amount), "currency": own}))
    return min(ranked, key=lambda each: each[0])[1] if ranked else {}


def _amount(amount: re.Match[str]) -> str:
    """Return "12.90" for 12.9, 12,90 and 12.9000, and "12" for 12.00."""
    decimals = (amount[2] or "").rstrip("0")
    return f"{amount[1]}.{decimals:0<2}" if decimals else amount[1]


def _is_valid(price: Composite, today: date) -> bool:
    day = f"{today:%Y%m%d}"
    for limit in price.all("PriceDate"):
        role, said = limit.text("PriceDateRole"), limit.text("Date").replace("-", "")
        first = said[:8] if role in {FROM, FROM_UNTIL} else ""
        last = said[:8] if role == UNTIL else said[8:16] if role == FROM_UNTIL else ""
        if (first and day < first) or (last and day > last):
            return False
    return True
