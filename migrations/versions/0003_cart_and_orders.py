"""Carts, orders with their lines, responses stored under an idempotency key, and the order of a movement."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
OF_AN_ORDER = sa.text("order_id IS NOT NULL")
RESTOCK = sa.text("quantity_after = delta AND delta > 0")


def upgrade() -> None:
    _create_carts()
    _create_orders()
    # Plain SQL, because Alembic can add a foreign key on SQLite only by rebuilding the whole table.
    op.execute(
        "ALTER TABLE movements ADD COLUMN order_id INTEGER CONSTRAINT fk_movements_order_id REFERENCES orders (id)"
    )
    op.create_index(
        "uq_movements_order",
        "movements",
        ["order_id", "book_id", "reason"],
        unique=True,
        sqlite_where=OF_AN_ORDER,
        postgresql_where=OF_AN_ORDER,
    )


def _create_carts() -> None:
    op.create_table(
        "cart_items",
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("book_id", sa.Integer, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("stock_quantity", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_cart_items_quantity")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_cart_items_user_id")),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_cart_items_book_id")),
        sa.PrimaryKeyConstraint("user_id", "book_id", name=op.f("pk_cart_items")),
    )
    op.create_table(
        "given_answers",
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("body", sa.Text),
        sa.Column("location", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_given_answers")),
    )
    op.create_index(op.f("ix_given_answers_created_at"), "given_answers", ["created_at"])


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("number", sa.String(9), nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("payment", sa.String(20), nullable=False),
        sa.Column("delivery", sa.String(10), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("phone", sa.String(50)),
        sa.Column("address", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("ready_at", TIME),
        sa.Column("collected_at", TIME),
        sa.Column("cancelled_at", TIME),
        sa.CheckConstraint("status IN ('placed', 'ready', 'collected', 'cancelled')", name=op.f("ck_orders_status")),
        sa.CheckConstraint("payment IN ('on_collection')", name=op.f("ck_orders_payment")),
        sa.CheckConstraint("delivery IN ('collect', 'post')", name=op.f("ck_orders_delivery")),
        sa.CheckConstraint("status <> 'placed' OR ready_at IS NULL", name=op.f("ck_orders_placed")),
        sa.CheckConstraint(
            "status NOT IN ('ready', 'collected') OR ready_at IS NOT NULL", name=op.f("ck_orders_ready_at")
        ),
        sa.CheckConstraint("(status = 'collected') = (collected_at IS NOT NULL)", name=op.f("ck_orders_collected_at")),
        sa.CheckConstraint("(status = 'cancelled') = (cancelled_at IS NOT NULL)", name=op.f("ck_orders_cancelled_at")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_orders_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("number", name=op.f("uq_orders_number")),
    )
    op.create_index(op.f("ix_orders_user_id_id"), "orders", ["user_id", "id"])
    op.create_index(op.f("ix_orders_status_id"), "orders", ["status", "id"])
    op.create_table(
        "order_lines",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("order_id", sa.Integer, nullable=False),
        sa.Column("book_id", sa.Integer, nullable=False),
        sa.Column("title", sa.String(500), nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("prebooking_id", sa.Integer),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_lines_quantity")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_lines_order_id")),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_order_lines_book_id")),
        sa.ForeignKeyConstraint(["prebooking_id"], ["prebookings.id"], name=op.f("fk_order_lines_prebooking_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_lines")),
        sa.UniqueConstraint("order_id", "book_id", name=op.f("uq_order_lines_order_id_book_id")),
    )
    for column in ("book_id", "prebooking_id"):
        op.create_index(op.f(f"ix_order_lines_{column}"), "order_lines", [column])


def downgrade() -> None:
    op.drop_index("uq_movements_order", "movements")
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_movements()
    else:
        op.drop_column("movements", "order_id")
    for table in ("order_lines", "orders", "given_answers", "cart_items"):
        op.drop_table(table)


def _rebuild_movements() -> None:
    """Drop the column by copying the rows to a new table, as SQLite cannot drop a column with a foreign key.

    The rows are saved in a temporary table in the meantime. Deferred foreign keys allow pre-bookings to refer to
    movements that are missing until the new table, which must have the same name, is filled.
    """
    columns = "id, book_id, delta, quantity_after, reason, note, user_id, created_at"
    op.execute("PRAGMA defer_foreign_keys=ON")
    op.execute(f"CREATE TEMPORARY TABLE saved_movements AS SELECT {columns} FROM movements")
    op.drop_table("movements")
    op.create_table(
        "movements",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("book_id", sa.Integer, nullable=False),
        sa.Column("delta", sa.Integer, nullable=False),
        sa.Column("quantity_after", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(10), nullable=False),
        sa.Column("note", sa.String(500)),
        sa.Column("user_id", sa.Integer),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("delta <> 0", name=op.f("ck_movements_delta")),
        sa.CheckConstraint("quantity_after >= 0", name=op.f("ck_movements_quantity_after")),
        sa.CheckConstraint(
            "reason IN ('received', 'correction', 'sale', 'return', 'import')", name=op.f("ck_movements_reason")
        ),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_movements_book_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_movements_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movements")),
    )
    op.execute(f"INSERT INTO movements ({columns}) SELECT {columns} FROM saved_movements")
    op.execute("DROP TABLE saved_movements")
    op.create_index(op.f("ix_movements_book_id_id"), "movements", ["book_id", "id"])
    op.create_index("ix_movements_restocks", "movements", ["id"], sqlite_where=RESTOCK, postgresql_where=RESTOCK)
