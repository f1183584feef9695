"""The orders and filters of the stock list of staff."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

IS_WITHDRAWN = sa.text("withdrawn_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(op.f("ix_books_stock_quantity_title_key_id"), "books", ["stock_quantity", "title_key", "id"])
    columns = ["title_key", "id"]
    op.create_index("ix_books_withdrawn", "books", columns, sqlite_where=IS_WITHDRAWN, postgresql_where=IS_WITHDRAWN)


def downgrade() -> None:
    op.drop_index("ix_books_withdrawn", "books")
    op.drop_index(op.f("ix_books_stock_quantity_title_key_id"), "books")
