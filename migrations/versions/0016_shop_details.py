"""The shop's details, which owners edit on a page. What was set in the environment until now is taken over."""

import os
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TEXTS = {
    **{"name": 80, "tagline": 160, "street": 120, "postcode": 20, "city": 120, "country": 2, "phone": 40},
    **{"email": 254, "responsible": 120, "registration": 200, "vat_number": 40, "vat_note": 120, "time_zone": 64},
}


NEW = {
    **dict.fromkeys(TEXTS, ""),
    **{"name": "The Bookshop", "time_zone": "UTC", "currency": "EUR", "post_orders": False, "collect_days": 14},
    **{"week": [""] * 7, "exceptions": {}},
}
VARIABLES = {
    "BOOKSHOP_SHOP_NAME": "name",
    "BOOKSHOP_CURRENCY": "currency",
    "BOOKSHOP_POST_ORDERS": "post_orders",
    "BOOKSHOP_COLLECT_DAYS": "collect_days",
}
TRUE = ("1", "true", "t", "yes", "y", "on")  # as pydantic reads them


def upgrade() -> None:
    table = op.create_table(
        "shop_details",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.String(longest), nullable=False) for name, longest in TEXTS.items()),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("post_orders", sa.Boolean, nullable=False),
        sa.Column("collect_days", sa.Integer, nullable=False),
        sa.Column("week", sa.JSON, nullable=False),
        sa.Column("exceptions", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_details")),
        sa.CheckConstraint("id = 1", name=op.f("ck_shop_details_id")),
    )
    if given := {name: os.environ[variable] for variable, name in VARIABLES.items() if os.environ.get(variable)}:
        row = {"id": 1, "version": 1, "updated_at": datetime.now(UTC), **NEW, **given}
        row |= {"post_orders": str(row["post_orders"]).lower() in TRUE, "collect_days": int(row["collect_days"])}
        op.bulk_insert(table, [row])


def downgrade() -> None:
    op.drop_table("shop_details")
