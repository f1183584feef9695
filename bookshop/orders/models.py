"""Orders and their lines."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bookshop.accounts.models import User
from bookshop.catalog.models import TITLE_MAX, Book
from bookshop.kit.database import Base, UtcDateTime, now
from bookshop.kit.money import Amount, totals
from bookshop.shop.models import TO_RESERVE

PLACED, READY, COLLECTED, CANCELLED = "placed", "ready", "collected", "cancelled"
STATUSES = (PLACED, READY, COLLECTED, CANCELLED)
COLLECT, POST = "collect", "post"
ON_COLLECTION = "on_collection"
NAME_MAX, PHONE_MAX, ADDRESS_MAX, ORDER_NOTE_MAX = 200, 50, 1000, 1000


class Order(Base):
    """A customer's order: `placed`, then `ready`, then `collected`; or `cancelled`, which is final.

    Every change of status is a conditional UPDATE.
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("status IN ('placed', 'ready', 'collected', 'cancelled')", name="status"),
        CheckConstraint("payment IN ('on_collection')", name="payment"),
        CheckConstraint("delivery IN ('collect', 'post')", name="delivery"),
        CheckConstraint("postage_cents = 0 OR postage_cents > 0 AND delivery = 'post'", name="postage_cents"),
        CheckConstraint("(postage_cents = 0) = (postage_currency IS NULL)", name="postage_currency"),
        CheckConstraint("wording IN ('reserve', 'pay')", name="wording"),
        CheckConstraint("status <> 'placed' OR ready_at IS NULL", name="placed"),
        CheckConstraint("status NOT IN ('ready', 'collected') OR ready_at IS NOT NULL", name="ready_at"),
        CheckConstraint("(status = 'collected') = (collected_at IS NOT NULL)", name="collected_at"),
        CheckConstraint("(status = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled_at"),
        Index(None, "user_id", "id"),
        Index(None, "status", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(9), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    status: Mapped[str] = mapped_column(String(10), default=PLACED)
    payment: Mapped[str] = mapped_column(String(20), default=ON_COLLECTION)
    delivery: Mapped[str] = mapped_column(String(10), default=COLLECT)
    name: Mapped[str] = mapped_column(String(NAME_MAX))
    name_key: Mapped[str] = mapped_column(Text)  # the folded name, for searching
    phone: Mapped[str | None] = mapped_column(String(PHONE_MAX))
    address: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    ready_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    collected_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    postage_cents: Mapped[int] = mapped_column(server_default="0")
    postage_currency: Mapped[str | None] = mapped_column(String(3))  # unless the postage is 0
    wording: Mapped[str] = mapped_column(String(10), server_default=TO_RESERVE)  # of the button that placed it

    @property
    def postage(self) -> Amount | None:
        """The postage, None if there is none to pay."""
        return Amount(self.postage_cents, self.postage_currency) if self.postage_currency else None

    @property
    def is_reservation(self) -> bool:
        """Whether the customer buys the books when they collect them, and owes nothing before."""
        return self.wording == TO_RESERVE and self.delivery == COLLECT

    @property
    def totals(self) -> Sequence[Amount]:
        """What the customer pays, books and postage, one amount per currency."""
        return order_totals(self, self.lines)

    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.id", lazy="selectin", viewonly=True)
    user: Mapped[User] = relationship(lazy="raise", viewonly=True)


class OrderLine(Base):
    """One book of an order as it was sold, and the customer's notified pre-booking that this sale ends, if any."""

    __tablename__ = "order_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        UniqueConstraint("order_id", "book_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id"), index=True)
    title: Mapped[str] = mapped_column(String(TITLE_MAX))
    price_cents: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    quantity: Mapped[int]
    prebooking_id: Mapped[int | None] = mapped_column(ForeignKey("prebookings.id"), index=True)

    @property
    def amount(self) -> Amount:
        """The price of all copies of the line."""
        return Amount(self.quantity * self.price_cents, self.currency)

    book: Mapped[Book] = relationship(lazy="raise", viewonly=True)


def order_totals(order: Any, lines: Iterable[Any]) -> Sequence[Amount]:
    """Return what the customer pays for an order and its lines, models or rows: one amount per currency."""
    amounts = [Amount(line.quantity * line.price_cents, line.currency) for line in lines]
    postage = [Amount(order.postage_cents, order.postage_currency)] if order.postage_cents else []
    return totals([*amounts, *postage])
