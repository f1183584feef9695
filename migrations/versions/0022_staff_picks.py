"""Staff picks: shelves, and the books on them."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pick_shelves",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("name_key", sa.String(180), nullable=False),
        sa.Column("introduction", sa.String(500), nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pick_shelves")),
        sa.UniqueConstraint("name_key", name=op.f("uq_pick_shelves_name_key")),
        sa.CheckConstraint("state IN ('published', 'draft')", name=op.f("ck_pick_shelves_state")),
    )
    op.create_table(
        "picks",
        sa.Column("shelf_id", sa.Integer, nullable=False),
        sa.Column("book_id", sa.Integer, nullable=False),
        sa.Column("sentence", sa.String(500), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("shelf_id", "book_id", name=op.f("pk_picks")),
        sa.ForeignKeyConstraint(["shelf_id"], ["pick_shelves.id"], name=op.f("fk_picks_shelf_id")),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_picks_book_id")),
    )
    op.create_index("ix_picks_book_id", "picks", ["book_id"])


def downgrade() -> None:
    op.drop_table("picks")
    op.drop_table("pick_shelves")
