"""Prices and copies as people and programs write them: `7,80`, `7.80 €`, `£7`, `1.234,50`."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple, cast

from babel.numbers import get_currency_precision

from bookshop.bookfiles.columns import FIELD_WORDS
from bookshop.kit.money import CURRENCIES, to_minor_units

DecimalSign = Literal[".", ","]

LONGEST = 40  # characters of a price
COPIES = FIELD_WORDS["stock_quantity"]
ON_REQUEST = "write 0 for a price on request"
CALCULATED = 6  # more decimals than these come from a spreadsheet's arithmetic: 12.990000000000002
SPACES = re.compile(r"[\s\u200b\u2060\ufeff]+")
PRICE = re.compile(
    r"(?P<before>(?:[^0-9.,\-]|(?<=[A-Za-z])\.(?=\s?[0-9]))*)"  # such as "Fr. "
    r"(?P<number>-?[.,]?[0-9](?:[0-9.,' ]*[0-9])?)(?P<after>[^0-9]*)"
)
REMARK = re.compile(
    r"[(\[] ?de? ?[)\]]$|\bt\.?t\.?c\b\.?|\b(?:inc|incl|inkl)\b\.? (?:vat|tax|mwst|ust)\b\.?|\biva incl(?:uido)?\b\.?",
    re.IGNORECASE,
)
EURO_WITHIN = re.compile(r"([0-9]+) ?\u20ac ?([0-9]{2})")  # "12\u20ac90"
EMPTY_DECIMALS = re.compile(r"^\s?[.,][-\u2013\u2014]+")  # "12,-"
GROUPS = re.compile(r"[0-9]{1,3}(?:([.,' ])[0-9]{3})(?:\1[0-9]{3})*")
AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
AMBIGUOUS_DECIMALS = 3
SYMBOLS = {
    "€": "EUR",
    "eur.": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "£": "GBP",
    "us$": "USD",
    "$us": "USD",
    "a$": "AUD",
    "au$": "AUD",
    "c$": "CAD",
    "ca$": "CAD",
    "nz$": "NZD",
    "fr": "CHF",
    "fr.": "CHF",
    "sfr": "CHF",
    "sfr.": "CHF",
    "zł": "PLN",
    "kč": "CZK",
    "¥": "JPY",
    "円": "JPY",
    "₹": "INR",
}
DOLLARS = ("USD", "AUD", "CAD", "NZD", "SGD", "HKD")
KRONER = ("SEK", "NOK", "DKK", "ISK")
KNOWN = frozenset(CURRENCIES)


class Price(NamedTuple):
    """A price in minor units of its currency."""

    cents: int
    currency: str


def read_price(text: str, decimal: DecimalSign, currency: str, stated: str = "") -> Price:
    """Read a price in major units.

    `decimal` decides what 1.234 and 1,234 are, and only that. The currency is that of the price itself, else the one
    `stated` by its line, else `currency`. Raises ValueError with a sentence that shows the text.
    """
    match = _match(text)
    if match is None:
        raise ValueError(f"the price {text[:LONGEST]} cannot be read: write an amount such as 7.80 or 7,80")
    if match["number"].startswith("-"):
        raise ValueError(f"the price {text} is negative: {ON_REQUEST}")
    own = _own_currency(text, match, stated or currency)
    if own and stated and own != stated:
        raise ValueError(f"the price {text} is not in {stated}, the currency of its line")
    used = own or stated or currency
    amount = _amount(match["number"], decimal, used, text)
    try:
        return Price(to_minor_units(amount, used), used)
    except ValueError:
        raise ValueError(_too_precise(text, match["number"], used)) from None


def decimal_sign(text: str) -> DecimalSign | None:
    """Return the decimal separator that a price gives away, None if it does not."""
    match = _match(text)
    number = match["number"] if match else ""
    points, commas = number.count("."), number.count(",")
    if points > 1 or commas > 1:
        return "," if points > commas else "."
    if not (points or commas) or AMBIGUOUS.fullmatch(number):
        return None
    return "." if number.rfind(".") > number.rfind(",") else ","


def read_copies(text: str) -> int:
    """Read a number of copies: 5, 5.0 and 1,234; raises ValueError with a sentence that shows the text."""
    number = _spaced(text[:LONGEST])
    if re.fullmatch(r"[0-9]{1,30}", number):
        return int(number)
    if re.fullmatch(r"-[0-9]{1,30}(?:[.,]0{1,6})?", number):
        raise ValueError(f"{COPIES} must be at least 0, not {text}: write 0 if no copy is in stock")
    if match := re.fullmatch(r"([0-9]{1,30})[.,](?:0{1,2}|0{4,6})", number):
        return int(match[1])
    if GROUPS.fullmatch(number) and not re.fullmatch(r"0.*|[0-9]+[.,]000", number):
        return int(re.sub("[^0-9]", "", number))
    raise ValueError(f"{COPIES} must be a whole number such as 10, not {text[:LONGEST]}")


@lru_cache(maxsize=500)
def currency_code(text: str, currency: str) -> str | None:
    """Return the code for a currency's code, name or symbol, None if it is unknown.

    A dollar or a krone is that of `currency`; otherwise a dollar is that of the United States.
    """
    word = text.strip(" *").lower()
    if word in ("$", "kr", "kr."):
        family, fallback = (DOLLARS, "USD") if word == "$" else (KRONER, None)
        return currency if currency in family else fallback
    code = SYMBOLS.get(word, word.upper())
    return code if code in KNOWN else None


def _match(text: str) -> re.Match[str] | None:
    """Take a price apart, without what it says about taxes and without "(D)", for Germany."""
    plain = REMARK.sub("", _spaced(text)) if len(text) <= LONGEST else ""
    return PRICE.fullmatch(EURO_WITHIN.sub("\\1,\\2 €", plain).strip())


def _spaced(text: str) -> str:
    """Return a text with simple spaces and apostrophes."""
    return SPACES.sub(" ", text.replace("\u2019", "'").replace("\u2212", "-")).strip()


def _own_currency(text: str, match: re.Match[str], currency: str) -> str:
    """Return the currency that is written before or after a number, "" if there is none."""
    after = EMPTY_DECIMALS.sub("", match["after"])
    words = {currency_code(word.strip(), currency) for word in (match["before"], after) if word.strip(" *")}
    if None in words or len(words) > 1:
        raise ValueError(f"the price {text} cannot be read: its currency is not clear")
    return words.pop() or "" if words else ""


def _amount(number: str, decimal: DecimalSign, currency: str, text: str) -> Decimal:
    sign = decimal_sign(number)
    if AMBIGUOUS.fullmatch(number):  # three decimals are likelier than thousands where the currency has as many
        precision = get_currency_precision(currency)
        sign = cast(DecimalSign, number.strip("0123456789")) if precision == AMBIGUOUS_DECIMALS else decimal
        sign = sign if precision else None
    whole, fraction = number, ""
    if sign and number.count(sign) == 1 and number.rfind(sign) > number.rfind("," if sign == "." else "."):
        whole, _sign, fraction = number.partition(sign)
    if not re.fullmatch("[0-9]*", fraction) or not (re.fullmatch("[0-9]*", whole) or GROUPS.fullmatch(whole)):
        raise ValueError(f"the price {text} cannot be read: write an amount such as 7.80 or 7,80")
    amount = Decimal(f"{re.sub('[^0-9]', '', whole) or 0}.{fraction or 0}")
    return round(amount, CALCULATED) if len(fraction) > CALCULATED else amount


def _too_precise(text: str, number: str, currency: str) -> str:
    if AMBIGUOUS.fullmatch(number):
        whole = re.sub("[^0-9]", "", number)
        return f"the price {text} has more decimals than {currency} allows: write {whole} if that is meant"
    return f"the price {text} has more decimals than {currency} allows"
