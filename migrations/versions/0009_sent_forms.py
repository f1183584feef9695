"""Forms that were submitted, so that a double click has one effect."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sent_forms",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.Integer),
        sa.Column("answer", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_sent_forms_user_id", "sent_forms", ["user_id"])
    op.create_index("ix_sent_forms_created_at", "sent_forms", ["created_at"])


def downgrade() -> None:
    op.drop_table("sent_forms")
