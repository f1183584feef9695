"""The shop's logo, photo and accent colour, and the delay of its alerts, which was set in the environment until now."""

import os
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

VARIABLE = "BOOKSHOP_MAIL_DELAY"
NEW = {
    "mail_delay": (sa.Integer, "60"),
    "logo": (sa.String(32), ""),
    "logo_size": (sa.JSON, "[]"),
    "photo": (sa.String(32), ""),
    "photo_size": (sa.JSON, "[]"),
    "photo_alt": (sa.String(200), ""),
    "accent": (sa.String(7), ""),
}
# Of a shop whose owners have not entered anything.
TEXTS = (
    *("tagline", "street", "postcode", "city", "country", "phone", "email"),
    *("responsible", "registration", "vat_number", "vat_note"),
)
UNCHANGED = {
    **dict.fromkeys(TEXTS, ""),
    **{"name": "The Bookshop", "time_zone": "UTC", "currency": "EUR", "post_orders": False, "collect_days": 14},
    **{"week": [""] * 7, "exceptions": {}},
}


def upgrade() -> None:
    for name, (kind, default) in NEW.items():  # which the previous release, still serving, leaves to the database
        op.add_column("shop_details", sa.Column(name, kind, nullable=False, server_default=default))
    table = sa.Table("shop_details", sa.MetaData(), autoload_with=op.get_bind())
    given = os.environ.get(VARIABLE)
    if given and op.get_bind().scalar(sa.select(sa.func.count()).select_from(table)) == 0:
        op.execute(sa.insert(table).values(id=1, version=1, updated_at=datetime.now(UTC), **UNCHANGED))
    if given:
        op.execute(sa.update(table).values(mail_delay=int(given)))


def downgrade() -> None:
    with op.batch_alter_table("shop_details") as details:
        for name in NEW:
            details.drop_column(name)
