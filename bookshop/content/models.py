"""Content pages that owners have written or changed."""

from datetime import datetime

from sqlalchemy import CheckConstraint, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime

SLUG_MAX, TITLE_MAX, BODY_MAX = 60, 80, 20_000
PAGES_MAX = 30
PUBLISHED, DRAFT = "published", "draft"


class ContentPage(Base):
    """A page in Markdown. One with the slug of a starter page takes its place; see `starters`."""

    __tablename__ = "content_pages"
    __table_args__ = (CheckConstraint("state IN ('published', 'draft')", name="state"),)

    slug: Mapped[str] = mapped_column(String(SLUG_MAX), primary_key=True)
    title: Mapped[str] = mapped_column(String(TITLE_MAX))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(9))
    version: Mapped[int]  # counts the changes
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
