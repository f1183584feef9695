"""Structured data about the shop for search engines (https://schema.org/BookStore)."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from bookshop.shop.hours import WEEKDAYS, Span
from bookshop.shop.schemas import picture_url
from bookshop.shop.service import Details

SCHEMA = "https://schema.org"


def shop_as_linked_data(details: Details, address: str, today: date) -> dict[str, Any]:
    """Describe the shop as JSON-LD; `address` is the absolute URL of its home page. Past exceptions are left out."""
    optional = {
        "slogan": details.tagline,
        "logo": picture_url(details.logo),
        "image": picture_url(details.photo),
        "telephone": details.phone,
        "email": details.email,
        "address": _postal_address(details) if details.address else None,
        "openingHoursSpecification": _week(details) if any(details.week) else None,
        "specialOpeningHoursSpecification": _exceptions(details, today),
    }
    return {
        "@context": SCHEMA,
        "@type": "BookStore",
        "name": details.name,
        "url": address,
        **{name: value for name, value in optional.items() if value},
    }


def _postal_address(details: Details) -> dict[str, str]:
    parts = {
        "streetAddress": details.street,
        "postalCode": details.postcode,
        "addressLocality": details.city,
        "addressCountry": details.country,
    }
    return {"@type": "PostalAddress", **{name: part for name, part in parts.items() if part}}


def _week(details: Details) -> list[dict[str, Any]]:
    days = zip(WEEKDAYS, details.hours.week, strict=True)
    return [_specification(span) | {"dayOfWeek": f"{SCHEMA}/{day}"} for day, spans in days for span in spans]


def _exceptions(details: Details, today: date) -> list[dict[str, Any]]:
    closed: Sequence[Span | None] = [None]
    return [
        _specification(span) | {"validFrom": day.isoformat(), "validThrough": day.isoformat()}
        for day, exception in details.hours.exceptions.items()
        if day >= today
        for span in exception.spans or closed
    ]


def _specification(span: Span | None) -> dict[str, Any]:
    """Describe one time of a day; a day that is closed has equal times, as search engines expect."""
    opens, closes = (f"{span.opens:%H:%M}", f"{span.closes:%H:%M}") if span else ("00:00", "00:00")
    if span and span.is_all_day:
        closes = "23:59"
    return {"@type": "OpeningHoursSpecification", "opens": opens, "closes": closes}
