"""The books table and its search index."""

from datetime import datetime

from sqlalchemy import DDL, CheckConstraint, Index, String, Text, event, text
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, now

TITLE_MAX = 500
AUTHORS_MAX = 1000
PUBLISHER_MAX = 200
LANGUAGE_MAX = 35
DESCRIPTION_MAX = 10_000
YEAR_MIN, YEAR_MAX = -3000, 2100
PRICE_MAX = 100_000_000
NO_PRICE = 0  # the price has not been set yet
STOCK_MAX = 1_000_000
COVER_MAX = 64

IS_IMPORTED, IS_WITHDRAWN = text("import_id IS NOT NULL"), text("withdrawn_at IS NOT NULL")  # for partial indexes
KEY = Text().with_variant(Text(collation="C"), "postgresql")  # sorted by code point, as SQLite does


class Book(Base):
    """One edition of a book that the shop sells. Only BookService changes `stock_quantity`."""

    __tablename__ = "books"
    __table_args__ = (
        CheckConstraint(f"stock_quantity >= 0 AND stock_quantity <= {STOCK_MAX}", name="stock_quantity"),
        CheckConstraint("price_cents >= 0", name="price_cents"),
        Index(None, "title_key", "id"),
        Index(None, "price_cents", "id"),
        Index(None, "stock_quantity", "title_key", "id"),
        Index("ix_books_withdrawn", "title_key", "id", sqlite_where=IS_WITHDRAWN, postgresql_where=IS_WITHDRAWN),
        Index("ix_books_import_id", "import_id", "id", sqlite_where=IS_IMPORTED, postgresql_where=IS_IMPORTED),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str | None] = mapped_column(String(13), unique=True)
    title: Mapped[str] = mapped_column(String(TITLE_MAX))
    authors: Mapped[str] = mapped_column(String(AUTHORS_MAX))
    publisher: Mapped[str | None] = mapped_column(String(PUBLISHER_MAX))
    language: Mapped[str | None] = mapped_column(String(LANGUAGE_MAX))
    published_year: Mapped[int | None] = mapped_column(index=True)
    description: Mapped[str | None] = mapped_column(Text)
    price_cents: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    stock_quantity: Mapped[int] = mapped_column(default=0)
    back_in_stock_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)  # the last time it was restocked
    cover: Mapped[str | None] = mapped_column(String(COVER_MAX))  # an uploaded cover's name; None: one is drawn
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(server_default="1")  # incremented by every change of the row
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)

    # Case-folded copies of title, authors and ISBN, so that both databases sort and search alike.
    title_key: Mapped[str] = mapped_column(KEY)
    main_title: Mapped[str] = mapped_column(Text)  # without a leading "The" and a trailing "(a series, #1)"
    search_title: Mapped[str] = mapped_column(Text)
    search_authors: Mapped[str] = mapped_column(Text)
    search_isbn: Mapped[str] = mapped_column(Text)
    work_key: Mapped[str] = mapped_column(String(32), server_default="", index=True)  # see works.work_key
    import_id: Mapped[int | None]  # the import that added it
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when that was undone; it is also withdrawn then

    @property
    def in_stock(self) -> bool:
        return self.stock_quantity > 0


# Each database has its own search index: a generated tsvector with GIN, or an FTS5 table updated by triggers.
POSTGRESQL_SEARCH = (
    """ALTER TABLE books ADD COLUMN search_vector tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', search_title), 'A') ||
        setweight(to_tsvector('simple', search_isbn), 'A') ||
        setweight(to_tsvector('simple', search_authors), 'B')) STORED""",
    "CREATE INDEX ix_books_search_vector ON books USING gin (search_vector)",
)
SQLITE_SEARCH = (
    """CREATE VIRTUAL TABLE books_fts USING fts5(
        search_title, search_authors, search_isbn,
        content='books', content_rowid='id', tokenize='ascii', prefix='2 3')""",
    """CREATE TRIGGER books_fts_insert AFTER INSERT ON books BEGIN
        INSERT INTO books_fts(rowid, search_title, search_authors, search_isbn)
        VALUES (new.id, new.search_title, new.search_authors, new.search_isbn); END""",
    """CREATE TRIGGER books_fts_delete AFTER DELETE ON books BEGIN
        INSERT INTO books_fts(books_fts, rowid, search_title, search_authors, search_isbn)
        VALUES ('delete', old.id, old.search_title, old.search_authors, old.search_isbn); END""",
    """CREATE TRIGGER books_fts_update AFTER UPDATE OF search_title, search_authors, search_isbn ON books BEGIN
        INSERT INTO books_fts(books_fts, rowid, search_title, search_authors, search_isbn)
        VALUES ('delete', old.id, old.search_title, old.search_authors, old.search_isbn);
        INSERT INTO books_fts(rowid, search_title, search_authors, search_isbn)
        VALUES (new.id, new.search_title, new.search_authors, new.search_isbn); END""",
)
for dialect, statements in (("postgresql", POSTGRESQL_SEARCH), ("sqlite", SQLITE_SEARCH)):
    for statement in statements:
        event.listen(Book.__table__, "after_create", DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]
