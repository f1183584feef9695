"""The reference catalogue."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.catalog.models import AUTHORS_MAX, LANGUAGE_MAX, PUBLISHER_MAX, TITLE_MAX
from bookshop.kit.database import Base, UtcDateTime, now


class ReferenceTitle(Base):
    """A title that the shop can have in a delivery; it is not on sale, and customers never see it."""

    __tablename__ = "reference_titles"

    isbn: Mapped[str] = mapped_column(String(13), primary_key=True)
    title: Mapped[str] = mapped_column(String(TITLE_MAX))
    authors: Mapped[str] = mapped_column(String(AUTHORS_MAX))
    publisher: Mapped[str | None] = mapped_column(String(PUBLISHER_MAX))
    language: Mapped[str | None] = mapped_column(String(LANGUAGE_MAX))
    published_year: Mapped[int | None]
    description: Mapped[str | None] = mapped_column(Text)
    price_cents: Mapped[int | None]
    currency: Mapped[str | None] = mapped_column(String(3))
    imported_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
