"""The shape of staff's JSON."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from bookshop.catalog.models import STOCK_MAX
from bookshop.catalog.schemas import StaffBookOut
from bookshop.inventory.models import NOTE_MAX
from bookshop.inventory.service import StockChange
from bookshop.orders.schemas import Status
from bookshop.schemas import Body, Line, Maybe, PageQuery

Reason = Literal["received", "correction", "sale", "return", "import"]


class NewStock(Body):
    """A change of a book's stock: set it to `quantity`, or change it by `delta`."""

    quantity: Annotated[int, Field(ge=0, le=STOCK_MAX)] | None = None
    delta: Annotated[int, Field(ge=-STOCK_MAX, le=STOCK_MAX)] | None = None
    reason: Reason | None = None
    note: Maybe[Annotated[Line, Field(max_length=NOTE_MAX)]] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "NewStock":
        if (self.quantity is None) == (self.delta is None):
            raise ValueError("Give either quantity or delta.")
        return self

    def change(self, book_id: int, user_id: int) -> StockChange:
        return StockChange(book_id=book_id, user_id=user_id, **self.model_dump())


class StaffOrderQuery(PageQuery):
    """Which orders to list: in a state, not collected for too long, or by number, name, e-mail or ISBN (`q`)."""

    q: str = ""
    status: Status | None = None
    uncollected: bool = False


class RestockedBookOut(StaffBookOut):
    """A book after a change of its stock, and how many customers that notified."""

    notified_count: int


class MovementOut(BaseModel):
    """One line of a book's ledger; `user` is the e-mail address of who made it, null for a command.

    `order_id` is the order that it sold the copies to, or, cancelled, gave them back.
    """

    id: int
    delta: int
    quantity_after: int
    reason: Reason
    note: str | None
    user: str | None
    order_id: int | None
    created_at: datetime
