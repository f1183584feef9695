"""Amounts of money: integers in the currency's minor unit, formatted for people only on pages and in e-mails."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from babel.numbers import format_currency, get_currency_precision, list_currencies

LOCALE = "en"
AMOUNT = re.compile(r"(-?[0-9]+)(?:[.,]([0-9]+))?")
CURRENCIES = sorted(list_currencies())


class Amount(NamedTuple):
    """An amount of money in minor units of a currency."""

    cents: int
    currency: str


def totals(amounts: Iterable[Amount]) -> Sequence[Amount]:
    """Return the sum for each currency, in order of first appearance."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.currency] = sums.get(amount.currency, 0) + amount.cents
    return [Amount(cents, currency) for currency, cents in sums.items()]


def known_currency(code: str) -> str:
    """Return the code if it is an ISO 4217 currency code; raises ValueError with a message for people if not."""
    if code not in CURRENCIES:
        raise ValueError("is not an ISO 4217 currency code such as EUR")
    return code


@lru_cache(maxsize=10_000)  # a list page has dozens of prices, and formatting one takes as long as an SQL statement
def format_amount(amount: int, currency: str) -> str:
    """Format an amount: 1290 EUR as '€12.90', 1290 JPY as '¥1,290'."""
    return format_currency(to_major_units(amount, currency), currency, locale=LOCALE)


def to_major_units(amount: int, currency: str) -> Decimal:
    """Convert an amount to major units: 1290 EUR is 12.90."""
    return Decimal(amount).scaleb(-get_currency_precision(currency))


def parse_amount(typed: str, currency: str) -> int:
    """Parse a typed amount into minor units; 14.50 and 14,50 are the same.

    Refuses thousands separators, as 1,290 is ambiguous. Raises ValueError with a sentence that shows how to write it.
    """
    places = get_currency_precision(currency)
    match = AMOUNT.fullmatch(typed.strip())
    if not match or len(match[2] or "") > places:
        amount = str(to_major_units(1290, currency))
        example = " or ".join(dict.fromkeys((amount, amount.replace(".", ","))))
        raise ValueError(f"Write the amount in digits, such as {example}, without a thousands separator.")
    return to_minor_units(Decimal(f"{match[1]}.{match[2] or 0}"), currency)


def to_minor_units(amount: Decimal, currency: str) -> int:
    """Convert an amount to minor units; raises ValueError if it has more decimal places than the currency."""
    scaled = amount.scaleb(get_currency_precision(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"has more decimal places than {currency} allows")
    return int(scaled)
