"""When members of staff were last seen."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("last_seen_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE users SET last_seen_at = last_login_at WHERE role <> 'customer'")


def downgrade() -> None:
    op.drop_column("users", "last_seen_at")
