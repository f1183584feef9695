"""The shop's details in JSON."""

from collections.abc import Sequence
from datetime import date

from pydantic import BaseModel, Field

from bookshop.kit.database import now
from bookshop.shop.hours import WEEKDAYS, Span
from bookshop.shop.postage import Postage
from bookshop.shop.service import Details
from bookshop.web.navigation import absolute_url


class AddressOut(BaseModel):
    """A postal address; an empty part is null."""

    street: str | None
    postcode: str | None
    city: str | None
    country: str | None = Field(description="ISO 3166-1 code")


class TimeOut(BaseModel):
    """A time in which the shop is open. One that closes at or before it opens ends on the next day."""

    opens: str = Field(examples=["09:00"])
    closes: str = Field(examples=["18:30"])


class DayOut(BaseModel):
    """The opening hours of a weekday; none if the shop is closed."""

    weekday: str = Field(examples=["Monday"])
    hours: Sequence[TimeOut]


class ExceptionOut(BaseModel):
    """Other opening hours on one date; none if the shop is closed."""

    date: date
    hours: Sequence[TimeOut]
    note: str | None


class PostageOut(BaseModel):
    """What posting an order costs; it is free from `free_from_cents` for the books, unless that is null."""

    amount_cents: int
    free_from_cents: int | None
    currency: str


class ShopOut(BaseModel):
    """The shop's details; what owners have not entered is null or empty."""

    name: str
    tagline: str | None
    address: AddressOut
    phone: str | None
    email: str | None
    time_zone: str = Field(description="of the IANA database", examples=["Europe/London"])
    currency: str = Field(description="ISO 4217 code, of new books", examples=["EUR"])
    postage: PostageOut | None = Field(description="null if customers cannot have orders posted")
    opening_hours: Sequence[DayOut]
    exceptions: Sequence[ExceptionOut]
    open_now: str | None = Field(description="a sentence for people", examples=["Open today until 18:30"])
    logo: str | None = Field(description="address of the picture", examples=[None])
    photo: str | None = Field(description="address of the picture", examples=[None])
    photo_alt: str | None = Field(description="what the photo shows, in words", examples=[None])


def shop_out(details: Details) -> ShopOut:
    """Describe the shop as it is now."""
    hours = details.hours
    return ShopOut(
        name=details.name,
        tagline=details.tagline or None,
        address=AddressOut(
            street=details.street or None,
            postcode=details.postcode or None,
            city=details.city or None,
            country=details.country or None,
        ),
        phone=details.phone or None,
        email=details.email or None,
        time_zone=details.time_zone,
        currency=details.currency,
        postage=_postage(details.postage) if details.postage else None,
        opening_hours=[
            DayOut(weekday=day, hours=_times(spans)) for day, spans in zip(WEEKDAYS, hours.week, strict=True)
        ],
        exceptions=[
            ExceptionOut(date=day, hours=_times(one.spans), note=one.note or None)
            for day, one in sorted(hours.exceptions.items())
        ],
        open_now=hours.sentence(now()) or None,
        logo=picture_url(details.logo),
        photo=picture_url(details.photo),
        photo_alt=details.photo_alt or None if details.photo else None,
    )


def _postage(postage: Postage) -> PostageOut:
    return PostageOut(amount_cents=postage.cents, free_from_cents=postage.free_from, currency=postage.currency)


def picture_url(name: str) -> str | None:
    """Return the absolute URL of a picture of the shop; None if there is none."""
    return absolute_url("catalog.picture", name=name, size="large") if name else None


def _times(spans: Sequence[Span]) -> list[TimeOut]:
    return [TimeOut(opens=f"{span.opens:%H:%M}", closes=f"{span.closes:%H:%M}") for span in spans]
