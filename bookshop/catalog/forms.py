"""The shape of the search form."""

import re
from collections.abc import Mapping
from decimal import Decimal

from pydantic import ValidationError

from bookshop.catalog.schemas import BookQuery
from bookshop.money import minor

AMOUNT = re.compile(r"[0-9]{1,7}([.,][0-9]{1,4})?")


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


def _minor(typed: str, currency: str) -> int | None:
    if not AMOUNT.fullmatch(typed.strip()):
        return None
    try:
        return minor(Decimal(typed.strip().replace(",", ".")), currency)
    except ValueError:
        return None
