"""The shop's details, which owners edit on a page; the name that was set in the environment becomes the first."""

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
    **{"email": 254, "time_zone": 64},
}


def upgrade() -> None:
    table = op.create_table(
        "shop_details",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.String(longest), nullable=False) for name, longest in TEXTS.items()),
        sa.Column("week", sa.JSON, nullable=False),
        sa.Column("exceptions", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_details")),
        sa.CheckConstraint("id = 1", name=op.f("ck_shop_details_id")),
    )
    if name := os.environ.get("BOOKSHOP_SHOP_NAME"):
        first = {"name": name[:80], "time_zone": "UTC"}
        row = {**dict.fromkeys(TEXTS, ""), **first, "week": [""] * 7, "exceptions": {}}
        op.bulk_insert(table, [{"id": 1, "version": 1, "updated_at": datetime.now(UTC), **row}])


def downgrade() -> None:
    op.drop_table("shop_details")
