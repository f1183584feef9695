"""The event feed, which starts with this update, and webhooks with an outbox for their deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
HAS_NO_POSITION = sa.text("position IS NULL")
IS_UNSENT = sa.text("state IN ('queued', 'sending')")
IS_SENDING = sa.text("state = 'sending'")
IS_UNDELIVERED = sa.text("state <> 'delivered'")
KINDS = (
    "kind IN ('stock.changed', 'book.restocked', 'prebooking.created', 'prebooking.cancelled', "
    "'prebooking.notified', 'order.placed', 'order.ready', 'order.collected', 'order.cancelled')"
)


def upgrade() -> None:
    _create_events()
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("kinds", sa.String(500), nullable=False),
        sa.Column("secret", sa.String(50), nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("misses", sa.Integer, nullable=False),
        sa.Column("rests_until", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_webhooks_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    _create_deliveries()


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("movement_id", sa.Integer),
        sa.Column("prebooking_id", sa.Integer),
        sa.Column("order_id", sa.Integer),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(KINDS, name=op.f("ck_events_kind")),
        sa.CheckConstraint(
            "(kind IN ('stock.changed', 'book.restocked')) = (movement_id IS NOT NULL)",
            name=op.f("ck_events_movement_id"),
        ),
        sa.CheckConstraint(
            "(kind LIKE 'prebooking.%') = (prebooking_id IS NOT NULL)", name=op.f("ck_events_prebooking_id")
        ),
        sa.CheckConstraint("(kind LIKE 'order.%') = (order_id IS NOT NULL)", name=op.f("ck_events_order_id")),
        sa.ForeignKeyConstraint(["movement_id"], ["movements.id"], name=op.f("fk_events_movement_id")),
        sa.ForeignKeyConstraint(["prebooking_id"], ["prebookings.id"], name=op.f("fk_events_prebooking_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_events_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("position", name=op.f("uq_events_position")),
    )
    op.create_index(
        "ix_events_without_place", "events", ["id"], sqlite_where=HAS_NO_POSITION, postgresql_where=HAS_NO_POSITION
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("webhook_id", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Integer, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", TIME, nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.String(500)),
        sa.Column("queued_at", TIME, nullable=False),
        sa.Column("delivered_at", TIME),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name=op.f("ck_webhook_deliveries_lease")),
        sa.CheckConstraint(
            "(state = 'delivered') = (delivered_at IS NOT NULL)", name=op.f("ck_webhook_deliveries_delivered_at")
        ),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_webhook_deliveries_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("webhook_id", "event_id", name=op.f("uq_webhook_deliveries_webhook_id_event_id")),
    )
    op.create_index(op.f("ix_webhook_deliveries_webhook_id_id"), "webhook_deliveries", ["webhook_id", "id"])
    for name, columns, which in (
        ("due", ["webhook_id", "next_attempt_at"], IS_UNSENT),
        ("sending", ["webhook_id"], IS_SENDING),
        ("undelivered", ["webhook_id", "id"], IS_UNDELIVERED),
    ):
        index = op.f(f"ix_webhook_deliveries_{name}")
        op.create_index(index, "webhook_deliveries", columns, sqlite_where=which, postgresql_where=which)


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
    op.drop_table("events")
