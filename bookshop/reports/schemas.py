"""JSON schemas for reports."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from bookshop.web.schemas import PageQuery


class DemandQuery(PageQuery):
    """The format of the report."""

    format: Literal["json", "csv"] = "json"


class DemandOut(BaseModel):
    """The demand for a book: customers waiting (the first one since `waiting_since`), notified, and then bought."""

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
    """Convert a row, whose columns are in the order of the schema's fields, to JSON."""
    return DemandOut(**dict(zip(DemandOut.model_fields, row, strict=True)))
