"""The shape of events in JSON: one model for each kind of data, told apart by `kind`."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from bookshop.events.kinds import ALL, KINDS_PATTERN, read_kinds
from bookshop.inventory.models import Reason
from bookshop.kit.database import ID_MAX
from bookshop.web.schemas import Plain, Query, written

SIZE_MAX = 1000


def _known(text: str) -> str:
    read_kinds(text)
    return text


class EventQuery(Query):
    """Which events: those after the `id` that one has, of these `kinds` (`stock.changed,order.*`; `*` is all)."""

    after: Annotated[int, Plain] = Field(0, ge=0, le=ID_MAX, description="The `next` of the answer before.")
    kinds: Annotated[str, AfterValidator(_known), written(KINDS_PATTERN)] = ALL
    size: Annotated[int, Plain] = Field(100, ge=1, le=SIZE_MAX)

    @property
    def wanted(self) -> Collection[str]:
        """The kinds that are meant."""
        return read_kinds(self.kinds)


class Data(BaseModel):
    """What an event says; read from a row of FeedRepository."""

    model_config = ConfigDict(from_attributes=True)


class MovementData(Data):
    """A line of the ledger, and the stock after it. `order_id` is the order that sold the copies or gave them back."""

    movement_id: int
    book_id: int
    isbn: str | None
    delta: int
    stock_quantity: int
    reason: Reason
    order_id: int | None


class RestockData(Data):
    """A change of stock from 0 to more than 0, and how many customers it notified."""

    movement_id: int
    book_id: int
    isbn: str | None
    stock_quantity: int
    notified_count: int


class PreBookingData(Data):
    """A pre-booking and its book."""

    prebooking_id: int
    book_id: int
    isbn: str | None


class OrderData(Data):
    """An order and its number."""

    order_id: int
    number: str


class EventBase(BaseModel):
    """What all events have: `id` is their place in the feed."""

    id: int
    created_at: datetime


class StockChanged(EventBase):
    """The stock of a book changed."""

    kind: Literal["stock.changed"]
    data: MovementData


class BookRestocked(EventBase):
    """A book came back."""

    kind: Literal["book.restocked"]
    data: RestockData


class PreBookingChanged(EventBase):
    """A book was reserved, or what became of that."""

    kind: Literal["prebooking.created", "prebooking.cancelled", "prebooking.notified"]
    data: PreBookingData


class OrderChanged(EventBase):
    """A book was ordered, or what became of that."""

    kind: Literal["order.placed", "order.ready", "order.collected", "order.cancelled"]
    data: OrderData


EventOut = Annotated[StockChanged | BookRestocked | PreBookingChanged | OrderChanged, Field(discriminator="kind")]
_event: TypeAdapter[Any] = TypeAdapter(EventOut)


class FeedOut(BaseModel):
    """A page of the feed. Ask again `after` `next`: at once while there is `more`, else after a while.

    A page may hold fewer events than asked for, or none, and there be more.
    """

    items: list[EventOut]
    next: int
    more: bool


def event_out(row: Any) -> Any:
    """An event of a row of FeedRepository."""
    members = {"id": row.position, "kind": row.kind, "created_at": row.created_at, "data": row}
    return _event.validate_python(members, from_attributes=True)
