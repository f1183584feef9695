"""The outbox, password resets, confirmed addresses and unsubscribed users."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
UNSENT = sa.text("state IN ('queued', 'sending')")

# Existing addresses count as confirmed, so that customers who are waiting for a book are still notified.
CONFIRMED = "UPDATE users SET email_confirmed_at = created_at WHERE deleted_at IS NULL"

# Customers who were notified before the shop sent e-mail get none now, but every notified pre-booking has its message.
NOTIFIED_BEFORE = """
    INSERT INTO messages (kind, bulk, user_id, prebooking_id, recipient, dedupe_key, message_id, state, attempts,
        next_attempt_at, last_error, created_at)
    SELECT 'restock', true, p.user_id, p.id, u.email, 'restock:' || p.id, '<restock.' || p.id || '.before@localhost>',
        'suppressed', 0, p.notified_at, 'Notified before the shop sent e-mail.', p.notified_at
    FROM prebookings p JOIN users u ON u.id = p.user_id WHERE p.status = 'notified'
"""


def upgrade() -> None:
    op.add_column("users", sa.Column("email_confirmed_at", TIME))
    op.add_column("users", sa.Column("unsubscribed_at", TIME))
    op.execute(CONFIRMED)
    op.create_table(
        "password_resets",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_password_resets_user_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_password_resets")),
    )
    op.create_index(op.f("ix_password_resets_user_id"), "password_resets", ["user_id"])
    _create_messages()
    op.execute(NOTIFIED_BEFORE)


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("bulk", sa.Boolean, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("prebooking_id", sa.Integer),
        sa.Column("order_id", sa.Integer),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("dedupe_key", sa.String(100), nullable=False),
        sa.Column("message_id", sa.String(320), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", TIME, nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("last_error", sa.String(500)),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'failed', 'suppressed')", name=op.f("ck_messages_state")
        ),
        sa.CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name=op.f("ck_messages_lease")),
        sa.CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name=op.f("ck_messages_sent_at")),
        sa.CheckConstraint("(kind = 'restock') = (prebooking_id IS NOT NULL)", name=op.f("ck_messages_prebooking_id")),
        sa.CheckConstraint("(kind LIKE 'order%') = (order_id IS NOT NULL)", name=op.f("ck_messages_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_messages_user_id")),
        sa.ForeignKeyConstraint(["prebooking_id"], ["prebookings.id"], name=op.f("fk_messages_prebooking_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_messages_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_messages_dedupe_key")),
    )
    op.create_index(op.f("ix_messages_user_id"), "messages", ["user_id"])
    op.create_index(op.f("ix_messages_state_id"), "messages", ["state", "id"])
    op.create_index(
        "ix_messages_due", "messages", ["bulk", "next_attempt_at"], sqlite_where=UNSENT, postgresql_where=UNSENT
    )


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("password_resets")
    op.drop_column("users", "unsubscribed_at")
    op.drop_column("users", "email_confirmed_at")
