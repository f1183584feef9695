"""The shape of the search form."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from bookshop.catalog.schemas import BookQuery
from bookshop.money import minor


def book_query(typed: Mapping[str, str], currency: str) -> BookQuery:
    """What a visitor asks of the catalogue; what cannot be meant is passed over, for no search is an error."""
    known = {name: value for name, value in typed.items() if name in BookQuery.model_fields and value.strip()}
    for name in ("min_price", "max_price"):
        price = _minor(typed.get(name, ""), currency)
        if price is not None:
            known[f"{name}_cents"] = str(price)
    try:
        return BookQuery.model_validate(known)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors()}
        return BookQuery.model_validate({name: value for name, value in known.items() if name not in wrong})


def _minor(typed: str, currency: str) -> Any:
    try:
        return minor(Decimal(typed.strip().replace(",", ".")), currency)
    except (InvalidOperation, ValueError, OverflowError):
        return None
