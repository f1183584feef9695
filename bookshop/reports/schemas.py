"""The shape of reports in JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from bookshop.web.schemas import PageQuery


class DemandQuery(PageQuery):
    """In which form to report."""

    format: Literal["json", "csv"] = "json"


class DemandOut(BaseModel):
    """How much a book is wanted: how many wait and since when the first does, were told, and bought then."""

    book_id: int
    isbn: str | None
    title: str
    authors: str
    stock_quantity: int
    waiting: int
    waiting_since: datetime | None
    notified: int
    bought: int


def demand_out(row: Sequence[Any]) -> DemandOut:
    """The demand for a book in JSON, of a row in the same order."""
    return DemandOut(**dict(zip(DemandOut.model_fields, row, strict=True)))
