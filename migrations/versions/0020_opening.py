"""When members of staff were last seen, and the checks that a new shop has passed."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("last_seen_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE users SET last_seen_at = last_login_at WHERE role <> 'customer'")
    op.create_table(
        "passed_checks",
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("passed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_passed_checks")),
    )


def downgrade() -> None:
    op.drop_table("passed_checks")
    op.drop_column("users", "last_seen_at")
