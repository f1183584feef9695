"""Amounts of money: integers in the currency's minor unit inside, written for people at the edge."""

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
    """So much money, in minor units of a currency."""

    cents: int
    currency: str


def totals(amounts: Iterable[Amount]) -> Sequence[Amount]:
    """The sum of the amounts: one for each currency, in the order in which these come."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.currency] = sums.get(amount.currency, 0) + amount.cents
    return [Amount(cents, currency) for currency, cents in sums.items()]


def known_currency(code: str) -> str:
    """The code itself if it is one of ISO 4217; raises ValueError with a sentence if not."""
    if code not in CURRENCIES:
        raise ValueError("is not an ISO 4217 currency code such as EUR")
    return code


@lru_cache(maxsize=10_000)  # a page of a list has dozens of prices, and each takes as long as a statement of SQL
def in_words(amount: int, currency: str) -> str:
    """1290 and EUR give '€12.90'; 1290 and JPY give '¥1,290'."""
    return format_currency(major(amount, currency), currency, locale=LOCALE)


def major(amount: int, currency: str) -> Decimal:
    """The amount in major units: 1290 EUR is 12.90."""
    return Decimal(amount).scaleb(-get_currency_precision(currency))


def read_amount(typed: str, currency: str) -> int:
    """The amount that a person typed, in minor units: 14.50 and 14,50 are the same.

    Digits are not grouped: 1,290 could be either. Raises ValueError with a sentence that says how to write it.
    """
    places = get_currency_precision(currency)
    found = AMOUNT.fullmatch(typed.strip())
    if not found or len(found[2] or "") > places:
        example = " or ".join(dict.fromkeys((str(major(1290, currency)), str(major(1290, currency)).replace(".", ","))))
        raise ValueError(f"Please write the amount in digits, such as {example}, without a thousands separator.")
    return minor(Decimal(f"{found[1]}.{found[2] or 0}"), currency)


def minor(amount: Decimal, currency: str) -> int:
    """The amount in minor units; raises ValueError if it has more decimals than the currency."""
    scaled = amount.scaleb(get_currency_precision(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"has more decimals than {currency} knows")
    return int(scaled)
