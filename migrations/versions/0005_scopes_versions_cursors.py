"""Scopes and an expiry date for tokens, a version for books, and indexes for cursors."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Existing tokens keep all the permissions of their users.
ALL_SCOPES = """
    UPDATE api_tokens SET scopes = CASE (SELECT role FROM users WHERE users.id = api_tokens.user_id)
        WHEN 'staff' THEN 'catalog:read orders stock:write catalog:write reports:read webhooks'
        ELSE 'catalog:read prebookings orders' END
"""
# The old schema has no scopes and no expiry: tokens that are limited by either are revoked.
REVOKE_NARROWED = """
    UPDATE api_tokens SET revoked_at = created_at WHERE revoked_at IS NULL AND (expires_at IS NOT NULL
        OR scopes NOT IN ('catalog:read orders stock:write catalog:write reports:read webhooks',
            'catalog:read prebookings orders'))
"""
INDEXES = {"ix_books_title_key": "title_key", "ix_books_price_cents": "price_cents"}


def upgrade() -> None:
    op.add_column("api_tokens", sa.Column("scopes", sa.String(200), nullable=False, server_default=""))
    op.add_column("api_tokens", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.execute(ALL_SCOPES)
    op.add_column("books", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    for name, column in INDEXES.items():
        op.drop_index(name, "books")
        op.create_index(f"{name}_id", "books", [column, "id"])
    op.create_index("ix_prebookings_book_id_id", "prebookings", ["book_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_prebookings_book_id_id", "prebookings")
    op.execute(REVOKE_NARROWED)
    for name, column in INDEXES.items():
        op.drop_index(f"{name}_id", "books")
        op.create_index(name, "books", [column])
    op.drop_column("books", "version")
    op.drop_column("api_tokens", "expires_at")
    op.drop_column("api_tokens", "scopes")
