"""Uploaded covers, the time a book was last back in stock, account details, and indexes to list restocks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
RESTOCK = sa.text("quantity_after = delta AND delta > 0")
NOTIFIED = sa.text("status = 'notified'")

# When each book was last restocked, according to its ledger. Its first stock does not count.
BACK_IN_STOCK = """
    UPDATE books SET back_in_stock_at = (
        SELECT max(m.created_at) FROM movements m
        WHERE m.book_id = books.id AND m.quantity_after = m.delta AND m.delta > 0
          AND EXISTS (SELECT 1 FROM movements before WHERE before.book_id = m.book_id AND before.id < m.id))
"""


def upgrade() -> None:
    # Plain ADD COLUMN: batch_alter_table would rebuild books and drop its search triggers on SQLite.
    op.add_column("users", sa.Column("deleted_at", TIME))
    op.add_column("login_sessions", sa.Column("user_agent", sa.String(300)))
    op.add_column("api_tokens", sa.Column("last_used_at", TIME))
    op.add_column("books", sa.Column("back_in_stock_at", TIME))
    op.add_column("books", sa.Column("cover", sa.String(64)))
    op.execute(BACK_IN_STOCK)
    for column in ("back_in_stock_at", "updated_at"):
        op.create_index(op.f(f"ix_books_{column}"), "books", [column])
    op.create_index("ix_movements_restocks", "movements", ["id"], sqlite_where=RESTOCK, postgresql_where=RESTOCK)
    op.create_index(
        "ix_prebookings_movement_id", "prebookings", ["movement_id"], sqlite_where=NOTIFIED, postgresql_where=NOTIFIED
    )


def downgrade() -> None:
    op.drop_index("ix_prebookings_movement_id", "prebookings")
    op.drop_index("ix_movements_restocks", "movements")
    for column in ("back_in_stock_at", "updated_at"):
        op.drop_index(op.f(f"ix_books_{column}"), "books")
    for table, columns in (
        ("books", ("cover", "back_in_stock_at")),
        ("api_tokens", ("last_used_at",)),
        ("login_sessions", ("user_agent",)),
        ("users", ("deleted_at",)),
    ):
        for column in columns:
            op.drop_column(table, column)
