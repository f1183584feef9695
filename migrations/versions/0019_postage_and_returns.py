"""The postage and the wording of orders, and returns. An order from before has no postage."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
IS_OPEN = sa.text("handled_at IS NULL")
# With their constraints in the column, which SQLite can add without copying the table.
ORDER_COLUMNS = (
    """postage_cents INTEGER DEFAULT '0' NOT NULL CONSTRAINT ck_orders_postage_cents
        CHECK (postage_cents = 0 OR postage_cents > 0 AND delivery = 'post')""",
    """postage_currency VARCHAR(3) CONSTRAINT ck_orders_postage_currency
        CHECK ((postage_cents = 0) = (postage_currency IS NULL))""",
    """wording VARCHAR(10) DEFAULT 'reserve' NOT NULL CONSTRAINT ck_orders_wording
        CHECK (wording IN ('reserve', 'pay'))""",
)


def upgrade() -> None:
    op.add_column("shop_details", sa.Column("postage_cents", sa.Integer))
    op.add_column("shop_details", sa.Column("postage_free_cents", sa.Integer))
    op.add_column("shop_details", sa.Column("order_wording", sa.String(10), nullable=False, server_default="reserve"))
    for column in ORDER_COLUMNS:
        op.execute(f"ALTER TABLE orders ADD COLUMN {column}")
    op.create_table(
        "returns",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("order_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("books", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("handled_at", TIME),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_returns_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_returns")),
    )
    op.create_index(op.f("ix_returns_order_id"), "returns", ["order_id"])
    op.create_index("ix_returns_open", "returns", ["id"], sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)


def downgrade() -> None:
    op.execute("DELETE FROM messages WHERE kind = 'order_return'")
    op.drop_table("returns")
    for column in ("wording", "postage_currency", "postage_cents"):
        op.drop_column("orders", column)
    for column in ("order_wording", "postage_free_cents", "postage_cents"):
        op.drop_column("shop_details", column)
