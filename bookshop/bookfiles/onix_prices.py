"""The price that customers pay for a book, among the prices of its ONIX record."""

import re
from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from babel.numbers import get_currency_precision

from bookshop.bookfiles.onix_codes import EXCLUDING_TAX, FOR_CUSTOMERS, FROM, FROM_UNTIL, RETAIL_PRICES, UNTIL
from bookshop.bookfiles.onix_xml import Composite

Rank = tuple[bool, bool, bool, int]  # prices are better with smaller ones
AMOUNT = re.compile(r"(\d+)(?:[.,](\d+))?", re.ASCII)
CALCULABLE = re.compile(r"\d{1,12}(?:[.,]\d{1,6})?", re.ASCII)
SINGLE = {"", "0", "1"}  # minimum order quantities of customers
SHOWN, LONGEST_CODE = 4, 6  # countries, and characters of one


class Offer(NamedTuple):
    """A price for customers; `guess` is a sentence about its tax, if anything was uncertain about that."""

    rank: Rank
    amount: str
    currency: str
    countries: list[str]
    guess: str = ""

    def __str__(self) -> str:
        """Return the price in words: "20.60 EUR (AT)"."""
        more = ["\u2026"] if len(self.countries) > SHOWN else []
        countries = ", ".join([*self.countries[:SHOWN], *more])
        return f"{self.amount} {self.currency}{f' ({countries})' if countries else ''}"


def retail_price(
    prices: Iterable[Composite], currency: str, defaults: tuple[str, str], today: date
) -> tuple[dict[str, str], list[str]]:
    """Return the fields `price` and `currency`, or none if there is no price for customers, and what was guessed.

    Prefers prices of single copies, then those that are valid today, then the shop's `currency`, then fixed prices,
    then those including tax. `defaults` are the type and the currency of prices that do not say theirs.
    """
    offers = [offer for price in prices if (offer := _offer(price, currency, defaults, today))]
    if not offers:
        return {}, []
    best = min(offers, key=lambda offer: offer.rank)
    fields = {"price": best.amount, "currency": best.currency}
    equal = (offer for offer in offers if offer.rank == best.rank)
    other = next((offer for offer in equal if (offer.amount, offer.currency) != (best.amount, best.currency)), None)
    choice = f"of the prices {best} and {other}, the first was taken" if other else ""
    return fields, [guess for guess in (best.guess, choice) if guess]


def _offer(price: Composite, currency: str, defaults: tuple[str, str], today: date) -> Offer | None:
    """Return a price, or None if it is not for customers."""
    type_ = price.text("PriceType") or defaults[0]
    own = price.text("CurrencyCode") or defaults[1] or currency
    match = AMOUNT.fullmatch(price.text("PriceAmount"))
    if not match or type_ not in RETAIL_PRICES or price.text("PriceQualifier") not in FOR_CUSTOMERS:
        return None
    is_bulk = price.text("MinimumOrderQuantity") not in SINGLE
    rank = (is_bulk, not _is_valid(price, today), own != currency, RETAIL_PRICES.index(type_))
    offer = Offer(rank, _amount(match), own, _countries(price))
    return _with_tax(offer, price) if type_ in EXCLUDING_TAX else offer


def _with_tax(offer: Offer, price: Composite) -> Offer:
    """Add the tax to a price that excludes it, if its rate is given."""
    words = f"{offer.amount} {offer.currency}"
    tax = _tax(price, offer.amount)
    if not tax:
        guess = f"the price {words} excludes tax, and the file does not say how much that is" if tax is None else ""
        return offer._replace(guess=guess)
    unit = Decimal(1).scaleb(-get_currency_precision(offer.currency))
    match = AMOUNT.fullmatch(str((Decimal(offer.amount) + tax).quantize(unit, ROUND_HALF_UP)))
    amount = _amount(match) if match else offer.amount
    return offer._replace(
        amount=amount, guess=f"the price {words} excludes tax, so the tax was added: {amount} {offer.currency}"
    )


def _tax(price: Composite, amount: str) -> Decimal | None:
    """Return the tax on an amount, parts of which may have rates of their own; None if a rate is not given."""
    parts = [(one.text("TaxRatePercent"), one.text("TaxableAmount") or amount) for one in price.all("Tax")]
    if not parts or not all(CALCULABLE.fullmatch(text) for part in [*parts, (amount,)] for text in part):
        return None
    return sum((_decimal(rate) * _decimal(base) / 100 for rate, base in parts), Decimal())


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "."))


def _countries(price: Composite) -> list[str]:
    """Return the codes of the countries where a price holds, or of regions such as WORLD."""
    return [
        code[:LONGEST_CODE]
        for territory in price.all("Territory")
        for name in ("CountriesIncluded", "RegionsIncluded")
        for code in territory.text(name).split()
    ]


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
