"""The shape of what people download of themselves: nothing in it opens an account."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from bookshop.orders.schemas import OrderOut, order_out
from bookshop.people.service import PersonalData
from bookshop.prebookings.schemas import PreBookOut


class Kept(BaseModel):
    """What the shop keeps, read from the attributes of a row."""

    model_config = ConfigDict(from_attributes=True)


class AccountOut(Kept):
    """Who it is."""

    email: str
    role: str
    created_at: datetime
    email_confirmed_at: datetime | None
    wants_alerts: bool


class LoginOut(Kept):
    """A login on a device, without the id that is in its cookie."""

    created_at: datetime
    user_agent: str | None


class TokenOut(Kept):
    """An API token, without its hash."""

    name: str
    scopes: Annotated[list[str], BeforeValidator(str.split)]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class MovementOut(Kept):
    """A line of the stock ledger that a member of staff wrote."""

    id: int
    book_id: int
    book_title: str
    delta: int
    quantity_after: int
    reason: str
    note: str | None
    created_at: datetime


class KeptCartItem(Kept):
    """A book in the cart, and what it cost when it was put there or last changed."""

    book_id: int
    book_title: str
    quantity: int
    price_cents: int
    currency: str
    created_at: datetime


class MessageOut(Kept):
    """An e-mail to the user: that it was decided, and what became of it."""

    kind: str
    recipient: str
    state: str
    created_at: datetime
    sent_at: datetime | None


class PersonalDataOut(Kept):
    """All that the shop keeps of a person."""

    account: AccountOut
    reservations: list[PreBookOut]
    orders: list[Annotated[OrderOut, BeforeValidator(order_out)]]
    cart: list[KeptCartItem]
    logins: list[LoginOut]
    tokens: list[TokenOut]
    movements: list[MovementOut]
    messages: list[MessageOut]


def personal_data_json(data: PersonalData) -> str:
    """The data as JSON that people can read, times as RFC 3339 in UTC."""
    return PersonalDataOut.model_validate(data).model_dump_json(indent=2)
