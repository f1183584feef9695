"""The JSON that users download about themselves; it contains no secrets that give access to the account."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Json

from bookshop.orders.schemas import OrderOut, order_out
from bookshop.people.service import PersonalData
from bookshop.prebookings.schemas import PreBookOut


class FromRow(BaseModel):
    """A model that reads its values from the attributes of a row."""

    model_config = ConfigDict(from_attributes=True)


class AccountOut(FromRow):
    """The account itself."""

    email: str
    role: str
    created_at: datetime
    email_confirmed_at: datetime | None
    last_login_at: datetime | None
    last_seen_at: datetime | None
    wants_alerts: bool


class LoginOut(FromRow):
    """A login on a device, without the id in its cookie."""

    created_at: datetime
    user_agent: str | None
    confirmed_at: datetime | None
    second_factor: bool


class SecondFactorOut(FromRow):
    """A second factor, without what its codes are made from."""

    created_at: datetime


class TokenOut(FromRow):
    """An API token, without its hash."""

    name: str
    scopes: Annotated[list[str], BeforeValidator(str.split)]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class LinkOut(FromRow):
    """A link in an e-mail to the user, or to an address that the account was to get, without its token."""

    purpose: str
    email: str
    next: str
    created_at: datetime
    sent_at: datetime | None
    used_at: datetime | None
    ended_at: datetime | None


class StartedOut(FromRow):
    """What was started for the address and waits for a link: a reservation of a book, or an order (`book_id` 0)."""

    kind: str
    book_id: int
    details: Json[dict[str, Any]]
    created_at: datetime


class MovementOut(FromRow):
    """A stock movement that a member of staff recorded."""

    id: int
    book_id: int
    book_title: str
    delta: int
    quantity_after: int
    reason: str
    note: str | None
    created_at: datetime


class StoredCartItem(FromRow):
    """A book in the cart, with its price when it was added or last changed."""

    book_id: int
    book_title: str
    quantity: int
    price_cents: int
    currency: str
    created_at: datetime


class MessageOut(FromRow):
    """An e-mail to the user and its state."""

    kind: str
    recipient: str
    state: str
    created_at: datetime
    sent_at: datetime | None


class ReturnOut(FromRow):
    """A return of an order; without `books`, of all its books."""

    order: str
    name: str
    books: str | None
    created_at: datetime
    handled_at: datetime | None


class PersonalDataOut(FromRow):
    """Everything that the shop stores about a person."""

    account: AccountOut
    reservations: list[PreBookOut]
    orders: list[Annotated[OrderOut, BeforeValidator(order_out)]]
    cart: list[StoredCartItem]
    logins: list[LoginOut]
    second_factors: list[SecondFactorOut]
    tokens: list[TokenOut]
    links: list[LinkOut]
    started: list[StartedOut]
    movements: list[MovementOut]
    messages: list[MessageOut]
    returns: list[ReturnOut]


def personal_data_json(data: PersonalData) -> str:
    """Return the data as indented JSON, with RFC 3339 times in UTC."""
    return PersonalDataOut.model_validate(data).model_dump_json(indent=2)
