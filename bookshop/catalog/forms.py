"""The shape of what visitors ask of the catalogue by links and by form."""

from collections.abc import Mapping

from pydantic import Field, ValidationError

from bookshop.catalog.schemas import BookQuery, Year
from bookshop.kit.money import read_amount

LONGEST_TYPED = 20


class CatalogueQuery(BookQuery):
    """Which books to show: what JSON knows, and the year of publication."""

    min_year: Year | None = None
    max_year: Year | None = None
    size: int = Field(24, ge=1, le=100)


def book_query(typed: Mapping[str, str], currency: str) -> CatalogueQuery:
    """What a visitor asks of the catalogue; what cannot be meant is passed over, for no search is an error."""
    known = {name: value for name, value in typed.items() if name in CatalogueQuery.model_fields and value.strip()}
    for name in ("min_price", "max_price"):
        price = _minor(typed.get(name, ""), currency)
        if price is not None:
            known[f"{name}_cents"] = str(price)
    try:
        return CatalogueQuery.model_validate(known)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors()}
        return CatalogueQuery.model_validate({name: value for name, value in known.items() if name not in wrong})


def _minor(typed: str, currency: str) -> int | None:
    try:
        return read_amount(typed[:LONGEST_TYPED], currency)
    except ValueError:
        return None
