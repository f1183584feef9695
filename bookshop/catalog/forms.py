"""Parsing the query string of the catalogue page, from links and from its form."""

from collections.abc import Mapping

from pydantic import Field, ValidationError

from bookshop.catalog.schemas import BookQuery, Year
from bookshop.kit.money import parse_amount

AMOUNT_MAX = 20  # characters
PRICES = ("min_price", "max_price")  # the fields for amounts, in major units


class CatalogueQuery(BookQuery):
    """Which books to show: the filters of the JSON API, and the year of publication."""

    min_year: Year | None = None
    max_year: Year | None = None
    size: int = Field(24, ge=1, le=100)


def book_query(typed: Mapping[str, str], currency: str) -> CatalogueQuery:
    """Parse the query string of the catalogue page; invalid values are ignored, so that no search is an error."""
    known = {name: value for name, value in typed.items() if name in CatalogueQuery.model_fields and value.strip()}
    for name in PRICES:
        price = _minor_units(typed.get(name, ""), currency)
        if price is not None:
            known[f"{name}_cents"] = str(price)
    try:
        return CatalogueQuery.model_validate(known)
    except ValidationError as error:
        invalid = {problem["loc"][0] for problem in error.errors()}
        return CatalogueQuery.model_validate({name: value for name, value in known.items() if name not in invalid})


def wrong_prices(typed: Mapping[str, str], currency: str) -> list[str]:
    """Return the fields for prices whose text is not an amount."""
    return [name for name in PRICES if typed.get(name, "").strip() and _minor_units(typed[name], currency) is None]


def _minor_units(typed: str, currency: str) -> int | None:
    try:
        return parse_amount(typed[:AMOUNT_MAX], currency)
    except ValueError:
        return None
