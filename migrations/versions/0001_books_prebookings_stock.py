"""Users, books with their search index, the stock ledger and pre-bookings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WAITING = sa.text("status = 'waiting'")

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


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("deactivated_at", TIME),
        sa.Column("notified_seen", sa.Integer, nullable=False),
        sa.CheckConstraint("role IN ('customer', 'staff')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
    )
    op.create_table(
        "login_sessions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_login_sessions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_sessions")),
    )
    op.create_index(op.f("ix_login_sessions_user_id"), "login_sessions", ["user_id"])
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_tokens_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_index(op.f("ix_api_tokens_user_id"), "api_tokens", ["user_id"])
    _create_books()
    op.create_table(
        "movements",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("book_id", sa.Integer, nullable=False),
        sa.Column("delta", sa.Integer, nullable=False),
        sa.Column("quantity_after", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(10), nullable=False),
        sa.Column("note", sa.String(500)),
        sa.Column("user_id", sa.Integer),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("delta <> 0", name=op.f("ck_movements_delta")),
        sa.CheckConstraint("quantity_after >= 0", name=op.f("ck_movements_quantity_after")),
        sa.CheckConstraint(
            "reason IN ('received', 'correction', 'sale', 'return', 'import')", name=op.f("ck_movements_reason")
        ),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_movements_book_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_movements_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movements")),
    )
    op.create_index(op.f("ix_movements_book_id_id"), "movements", ["book_id", "id"])
    _create_prebookings()


def _create_books() -> None:
    op.create_table(
        "books",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("isbn", sa.String(13)),
        sa.Column("title", sa.String(500), nullable=False),
        sa.Column("authors", sa.String(1000), nullable=False),
        sa.Column("publisher", sa.String(200)),
        sa.Column("language", sa.String(35)),
        sa.Column("published_year", sa.Integer),
        sa.Column("description", sa.Text),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("stock_quantity", sa.Integer, nullable=False),
        sa.Column("withdrawn_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("title_key", KEY, nullable=False),
        sa.Column("main_title", sa.Text, nullable=False),
        sa.Column("search_title", sa.Text, nullable=False),
        sa.Column("search_authors", sa.Text, nullable=False),
        sa.Column("search_isbn", sa.Text, nullable=False),
        sa.CheckConstraint("price_cents >= 0", name=op.f("ck_books_price_cents")),
        sa.CheckConstraint("stock_quantity >= 0 AND stock_quantity <= 1000000", name=op.f("ck_books_stock_quantity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_books")),
        sa.UniqueConstraint("isbn", name=op.f("uq_books_isbn")),
    )
    for column in ("price_cents", "published_year", "title_key"):
        op.create_index(op.f(f"ix_books_{column}"), "books", [column])
    for statement in SQLITE_SEARCH if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_SEARCH:
        op.execute(statement)


def _create_prebookings() -> None:
    op.create_table(
        "prebookings",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("book_id", sa.Integer, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("notified_at", TIME),
        sa.Column("cancelled_at", TIME),
        sa.Column("movement_id", sa.Integer),
        sa.CheckConstraint("status IN ('waiting', 'notified', 'cancelled')", name=op.f("ck_prebookings_status")),
        sa.CheckConstraint(
            "(status = 'notified') = (notified_at IS NOT NULL)", name=op.f("ck_prebookings_notified_at")
        ),
        sa.CheckConstraint(
            "(status = 'notified') = (movement_id IS NOT NULL)", name=op.f("ck_prebookings_movement_id")
        ),
        sa.CheckConstraint(
            "(status = 'cancelled') = (cancelled_at IS NOT NULL)", name=op.f("ck_prebookings_cancelled_at")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_prebookings_user_id")),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_prebookings_book_id")),
        sa.ForeignKeyConstraint(["movement_id"], ["movements.id"], name=op.f("fk_prebookings_movement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prebookings")),
    )
    op.create_index(
        "uq_prebookings_waiting",
        "prebookings",
        ["user_id", "book_id"],
        unique=True,
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_index(
        "ix_prebookings_waiting_book_id",
        "prebookings",
        ["book_id"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_index(op.f("ix_prebookings_user_id_id"), "prebookings", ["user_id", "id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE books_fts")
    for table in ("prebookings", "movements", "books", "api_tokens", "login_sessions", "users"):
        op.drop_table(table)
