"""Rename the table of stored responses to idempotency_records, the usual term."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _move("given_answers", "idempotency_records")


def downgrade() -> None:
    _move("idempotency_records", "given_answers")


def _move(old: str, new: str) -> None:
    """Copy the rows into a new table: renaming would leave the constraints under their old names."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"LOCK TABLE {old}")  # a key claimed in the meantime must not be lost
    op.create_table(
        new,
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("body", sa.Text),
        sa.Column("location", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f(f"pk_{new}")),
    )
    columns = "user_id, key, fingerprint, status, body, location, created_at"
    op.execute(f"INSERT INTO {new} ({columns}) SELECT {columns} FROM {old}")
    op.drop_table(old)
    op.create_index(op.f(f"ix_{new}_created_at"), new, ["created_at"])
