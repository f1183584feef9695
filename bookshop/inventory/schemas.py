"""The JSON schemas for stock."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bookshop.catalog.models import STOCK_MAX
from bookshop.inventory.batch import BatchLine, BatchOutcome, LineResult
from bookshop.inventory.models import NOTE_MAX, Reason
from bookshop.inventory.service import StockChange
from bookshop.kit.database import ID_MAX
from bookshop.web.examples import ISBN
from bookshop.web.schemas import BlankAsNone, Body, Id, Line

LINES_MAX = 1_000
EXAMPLE = {"delta": 5, "reason": "received", "note": "Box 3 of 5"}


def _one_each(*pairs: tuple[str, str], example: dict[str, Any]) -> dict[str, Any]:
    """Return JSON Schema that requires exactly one member of each pair, with an example."""
    return {"allOf": [{"oneOf": [_requires(name) for name in pair]} for pair in pairs], "examples": [example]}


def _requires(member: str) -> dict[str, Any]:
    return {"required": [member], "properties": {member: {"not": {"type": "null"}}}}


class NewStock(Body):
    """A change of a book's stock: set it to `quantity`, or change it by `delta`."""

    quantity: Annotated[int, Field(ge=0, le=STOCK_MAX)] | None = None
    delta: Annotated[int, Field(ge=-STOCK_MAX, le=STOCK_MAX)] | None = None
    reason: Reason | None = None
    note: BlankAsNone[Annotated[Line, Field(max_length=NOTE_MAX)]] = None

    model_config = ConfigDict(json_schema_extra=_one_each(("quantity", "delta"), example=EXAMPLE))

    @model_validator(mode="after")
    def _has_one_amount(self) -> "NewStock":
        if (self.quantity is None) == (self.delta is None):
            raise ValueError("Give either quantity or delta.")
        return self

    def change(self, book_id: int, user_id: int) -> StockChange:
        return StockChange(book_id=book_id, user_id=user_id, **self.model_dump())


class BatchLineIn(NewStock):
    """A change of the stock of one book, identified by `isbn` or by `book_id`."""

    # Wider limits than in NewStock: in mode `each`, the service refuses a bad line without affecting the others.
    isbn: Annotated[str, Field(max_length=100)] | None = None
    quantity: Annotated[int, Field(ge=-ID_MAX, le=ID_MAX)] | None = None
    delta: Annotated[int, Field(ge=-ID_MAX, le=ID_MAX)] | None = None
    book_id: Id | None = None

    model_config = ConfigDict(
        json_schema_extra=_one_each(("isbn", "book_id"), ("quantity", "delta"), example={"isbn": ISBN, **EXAMPLE})
    )

    @model_validator(mode="after")
    def _has_one_book(self) -> "BatchLineIn":
        if (self.isbn is None) == (self.book_id is None):
            raise ValueError("Give either isbn or book_id.")
        return self


class NewBatch(Body):
    """Stock changes, applied in this order: all or none (`atomic`), or each line on its own (`each`)."""

    mode: Literal["atomic", "each"] = "atomic"
    lines: list[BatchLineIn] = Field(min_length=1, max_length=LINES_MAX)

    def batch_lines(self) -> list[BatchLine]:
        return [BatchLine(**line.model_dump()) for line in self.lines]


class LineProblem(BaseModel):
    """Why a line was refused."""

    code: str
    detail: str


class BatchLineOut(BaseModel):
    """The result of a line: the stock after it and the change; `line` is its index in the batch, starting at 0.

    `book_id` is null if there is no such book.
    """

    line: int
    status: Literal["changed", "unchanged", "refused"]
    book_id: int | None
    isbn: str | None
    delta: int
    stock_quantity: int | None
    notified_count: int
    alerts_queued: int
    problem: LineProblem | None


class BatchOut(BaseModel):
    """The result of a batch."""

    mode: Literal["atomic", "each"]
    changed: int
    refused: int
    notified_count: int
    alerts_queued: int
    results: list[BatchLineOut]


def batch_out(mode: Literal["atomic", "each"], outcome: BatchOutcome) -> BatchOut:
    """Convert the outcome of a batch to JSON."""
    alerts = outcome.alerts_by_line()
    results = [_line_out(number, result, alerts[number]) for number, result in enumerate(outcome.results)]
    statuses = Counter(result.status for result in results)
    return BatchOut(
        mode=mode,
        changed=statuses["changed"],
        refused=statuses["refused"],
        notified_count=len(outcome.notified),
        alerts_queued=sum(alerts),
        results=results,
    )


def _line_out(number: int, result: LineResult, alerts_queued: int) -> BatchLineOut:
    book, error = result.book, result.error
    return BatchLineOut(
        line=number,
        status="refused" if error else "changed" if result.movement else "unchanged",
        book_id=book.id if book else None,
        isbn=book.isbn if book else result.line.isbn,
        delta=result.movement["delta"] if result.movement else 0,
        stock_quantity=book.stock_quantity if book else None,
        notified_count=result.notified_count,
        alerts_queued=alerts_queued,
        problem=LineProblem(code=error.code, detail=error.sentence) if error else None,
    )


class MovementOut(BaseModel):
    """One movement of a book's stock; `user` is the e-mail address of its user, null for a command.

    `order_id` is the order that sold the copies or, when cancelled, returned them.
    """

    id: int
    delta: int
    quantity_after: int
    reason: Reason
    note: str | None
    user: str | None
    order_id: int | None
    created_at: datetime
