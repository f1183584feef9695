"""The positions of events that are skipped after a restore, so that none is given twice."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "skipped_positions",
        sa.Column("until_position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("after_position", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("until_position", name=op.f("pk_skipped_positions")),
    )


def downgrade() -> None:
    op.drop_table("skipped_positions")
