"""The shop's details: one row, which owners edit."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime
from bookshop.kit.text import EMAIL_MAX

ONLY_ID = 1
NAME_MAX, TAGLINE_MAX, LINE_MAX, POSTCODE_MAX, PHONE_MAX, NOTE_MAX = 80, 160, 120, 20, 40, 80
VAT_NUMBER_MAX, VAT_NOTE_MAX, REGISTRATION_MAX = 40, 120, 200
ZONE_MAX = 64
COLLECT_DAYS_MAX = 365
# What a customer does with the button of the checkout: reserve books that they buy in the shop, or order and owe them.
TO_RESERVE, TO_PAY = "reserve", "pay"
MAIL_DELAY_MAX = 86_400  # seconds
PICTURE_NAME, COLOUR, ALT_MAX = 32, 7, 200
EXCEPTIONS_MAX = 200


class ShopDetails(Base):
    """Name, address and opening hours of the shop. Without a row, the shop has those of `service.NEW_SHOP`.

    `week` has the hours of each weekday from Monday on, as `hours.format_hours` writes them. `exceptions` has those of
    single days, by ISO date, with a note: `{"2026-12-24": ["9:00-12:00", "Christmas Eve"]}`.

    `logo` and `photo` are names of stored pictures; their sizes are the width and height of the large file.
    """

    __tablename__ = "shop_details"
    __table_args__ = (CheckConstraint("id = 1", name="id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]  # counts the changes
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    name: Mapped[str] = mapped_column(String(NAME_MAX))
    tagline: Mapped[str] = mapped_column(String(TAGLINE_MAX))
    street: Mapped[str] = mapped_column(String(LINE_MAX))
    postcode: Mapped[str] = mapped_column(String(POSTCODE_MAX))
    city: Mapped[str] = mapped_column(String(LINE_MAX))
    country: Mapped[str] = mapped_column(String(2))  # ISO 3166-1
    phone: Mapped[str] = mapped_column(String(PHONE_MAX))
    email: Mapped[str] = mapped_column(String(EMAIL_MAX))
    responsible: Mapped[str] = mapped_column(String(LINE_MAX))  # the person who is responsible for the contents
    registration: Mapped[str] = mapped_column(String(REGISTRATION_MAX))  # court and number, or the like
    vat_number: Mapped[str] = mapped_column(String(VAT_NUMBER_MAX))
    vat_note: Mapped[str] = mapped_column(String(VAT_NOTE_MAX))  # beside totals: "Prices include VAT"
    time_zone: Mapped[str] = mapped_column(String(ZONE_MAX))  # of the IANA database
    currency: Mapped[str] = mapped_column(String(3))  # ISO 4217, of new books
    post_orders: Mapped[bool]  # whether customers can have orders posted
    postage_cents: Mapped[int | None]  # in `currency`; without it, customers cannot have orders posted
    postage_free_cents: Mapped[int | None]  # the total of the books from which it is free
    order_wording: Mapped[str] = mapped_column(String(10), server_default=TO_RESERVE)  # or TO_PAY
    collect_days: Mapped[int]  # for which an order is kept ready
    mail_delay: Mapped[int] = mapped_column(server_default="60")  # seconds before a back-in-stock e-mail is sent
    logo: Mapped[str] = mapped_column(String(PICTURE_NAME), server_default="")
    logo_size: Mapped[list[int]] = mapped_column(JSON, server_default="[]")
    photo: Mapped[str] = mapped_column(String(PICTURE_NAME), server_default="")
    photo_size: Mapped[list[int]] = mapped_column(JSON, server_default="[]")
    # What it shows, for people who cannot see it.
    photo_alt: Mapped[str] = mapped_column(String(ALT_MAX), server_default="")
    accent: Mapped[str] = mapped_column(String(COLOUR), server_default="")  # #rrggbb, "" for the one of shop.css
    week: Mapped[list[str]] = mapped_column(JSON)
    exceptions: Mapped[dict[str, Any]] = mapped_column(JSON)
