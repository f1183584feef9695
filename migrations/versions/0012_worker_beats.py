"""Add worker_beats: when each loop of each worker was last alive."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "worker_beats",
        sa.Column("worker", sa.String(32), nullable=False),
        sa.Column("loop", sa.String(10), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("loop IN ('mail', 'webhooks')", name=op.f("ck_worker_beats_loop")),
        sa.PrimaryKeyConstraint("worker", "loop", name=op.f("pk_worker_beats")),
    )


def downgrade() -> None:
    op.drop_table("worker_beats")
