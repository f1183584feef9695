"""JSON schemas of events: a union discriminated by `kind`."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from bookshop.events.kinds import ALL, KINDS_PATTERN, parse_kinds
from bookshop.inventory.models import Reason
from bookshop.kit.database import ID_MAX
from bookshop.web.schemas import JsonLiteral, Query, schema_pattern

SIZE_MAX = 1000


def _known(text: str) -> str:
    parse_kinds(text)
    return text


class EventQuery(Query):
    """The events after an `id`, of these comma-separated `kinds` (`stock.changed,order.*`; `*` means all)."""

    after: Annotated[int, JsonLiteral] = Field(
        0,
        ge=0,
        le=ID_MAX,
        description="The `next` of the previous response. Leave it out to start with the oldest event that is kept.",
    )
    kinds: Annotated[str, AfterValidator(_known), schema_pattern(KINDS_PATTERN)] = ALL
    size: Annotated[int, JsonLiteral] = Field(100, ge=1, le=SIZE_MAX)

    @property
    def start(self) -> int | None:
        """The position after which to read; None if the request has none, which differs from 0."""
        return self.after if "after" in self.model_fields_set else None

    @property
    def expanded_kinds(self) -> Collection[str]:
        """The kinds that these names select."""
        return parse_kinds(self.kinds)


class Data(BaseModel):
    """The data of an event, read from a row of FeedRepository."""

    model_config = ConfigDict(from_attributes=True)


class MovementData(Data):
    """A stock movement and the stock after it. `order_id` is the order that took or returned the copies."""

    movement_id: int
    book_id: int
    isbn: str | None
    delta: int
    stock_quantity: int
    reason: Reason
    order_id: int | None


class RestockData(Data):
    """A restock of a book that was out of stock, and how many customers it notified."""

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
    """The members of every event: `id` is its position in the feed."""

    id: int
    created_at: datetime


class StockChanged(EventBase):
    """The stock of a book changed."""

    kind: Literal["stock.changed"]
    data: MovementData


class BookRestocked(EventBase):
    """A book is back in stock."""

    kind: Literal["book.restocked"]
    data: RestockData


class PreBookingChanged(EventBase):
    """A pre-booking was created, cancelled or notified."""

    kind: Literal["prebooking.created", "prebooking.cancelled", "prebooking.notified"]
    data: PreBookingData


class OrderChanged(EventBase):
    """An order was placed, became ready, or was collected or cancelled."""

    kind: Literal["order.placed", "order.ready", "order.collected", "order.cancelled"]
    data: OrderData


EventOut = Annotated[StockChanged | BookRestocked | PreBookingChanged | OrderChanged, Field(discriminator="kind")]
_event: TypeAdapter[Any] = TypeAdapter(EventOut)


class FeedOut(BaseModel):
    """A page of the feed. Request the next page with `after` set to `next`: at once if `more` is true, else later.

    A page may have fewer events than `size`, or none, even if there are more.
    """

    items: list[EventOut]
    next: int
    more: bool


def event_out(row: Any) -> Any:
    """Convert a row of FeedRepository to JSON."""
    members = {"id": row.position, "kind": row.kind, "created_at": row.created_at, "data": row}
    return _event.validate_python(members, from_attributes=True)
