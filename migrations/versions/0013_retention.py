"""What the nightly purge remembers, and the indexes that keep its transactions short."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

HAS_PERSONAL_DATA = sa.text("(recipient <> '' OR last_error IS NOT NULL)")


def upgrade() -> None:
    op.create_table(
        "purge_state",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("events_until", sa.Integer, nullable=False),
        sa.Column("movements_until", sa.Integer, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_purge_state_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purge_state")),
    )
    # Without it, the foreign key of each deleted event would scan all deliveries.
    op.create_index(op.f("ix_webhook_deliveries_event_id"), "webhook_deliveries", ["event_id"])
    op.create_index(
        "ix_messages_personal",
        "messages",
        ["id"],
        sqlite_where=HAS_PERSONAL_DATA,
        postgresql_where=HAS_PERSONAL_DATA,
    )


def downgrade() -> None:
    op.drop_index("ix_messages_personal", "messages")
    op.drop_index(op.f("ix_webhook_deliveries_event_id"), "webhook_deliveries")
    op.drop_table("purge_state")
