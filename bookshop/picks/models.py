"""Staff picks: the shelves, and the books on them. They have nothing to do with the stock."""

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base

NAME_MAX, INTRODUCTION_MAX, SENTENCE_MAX = 60, 500, 500
SHELVES_MAX, BOOKS_MAX = 20, 50
PUBLISHED, DRAFT = "published", "draft"


class PickShelf(Base):
    """A shelf, such as "Winter reading". `version` counts the changes of its name, introduction and state."""

    __tablename__ = "pick_shelves"
    __table_args__ = (CheckConstraint("state IN ('published', 'draft')", name="state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_MAX))
    name_key: Mapped[str] = mapped_column(String(3 * NAME_MAX), unique=True)  # case-folded, which can be longer
    introduction: Mapped[str] = mapped_column(String(INTRODUCTION_MAX))
    state: Mapped[str] = mapped_column(String(9))
    position: Mapped[int]
    version: Mapped[int]


class Pick(Base):
    """A book on a shelf, and why the booksellers recommend it. `version` counts the changes of the sentence."""

    __tablename__ = "picks"

    shelf_id: Mapped[int] = mapped_column(ForeignKey("pick_shelves.id"), primary_key=True, autoincrement=False)
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id"), primary_key=True, autoincrement=False, index=True)
    sentence: Mapped[str] = mapped_column(String(SENTENCE_MAX))
    position: Mapped[int]
    version: Mapped[int]
