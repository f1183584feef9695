"""Imports that run in the worker, the reference catalogue, and a key that the editions of a work share."""

import re
import unicodedata
from hashlib import blake2b

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
STATES = "'checking', 'checked', 'importing', 'paused', 'done', 'cancelled', 'failed', 'undoing', 'undone'"
IS_ACTIVE = sa.text("state IN ('checking', 'importing', 'undoing')")
IS_IMPORTED = sa.text("import_id IS NOT NULL")
COUNTS = ("lines", "added", "updated", "unchanged", "refused", "unpriced", "notified", "removed")
BATCH = 1000

# As bookshop.catalog.works was when this migration was written.
ACCENTS = re.compile(r"[\u0300-\u036f]")
QUOTES = re.compile(
    r"[\"'`\u00b4\u02b9-\u02bc\u2018-\u201f\u2032-\u2037\u00ab\u00bb\u2039\u203a\u300c-\u300f\uff02\uff07]"
)
INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
FINAL_ARTICLE = re.compile(  # "hobbit, the", "hobbit, the: or there and back again"
    "^([^:]+), ?(the|a|an|der|die|das|ein|eine|le|la|les|l|un|une|el|los|las)(?= ?:|$)"
)
CONJUNCTIONS = re.compile(r"(?<= )(?:and|und|et|(?<=\w\w )y(?= \w\w))(?= )")  # but not the letter in "x y z"
NAME_PARTS = re.compile(r"[^\W\d_]+")
IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")  # roles, such as (ed.)
NO_NAMES = {"and", "und", "et", "al", "others"}  # words between names


def upgrade() -> None:
    _create_imports()
    _create_reference_titles()
    op.add_column("books", sa.Column("work_key", sa.String(32), nullable=False, server_default=""))
    op.add_column("books", sa.Column("import_id", sa.Integer))
    op.add_column("books", sa.Column("removed_at", TIME))
    _set_work_keys()
    op.create_index(op.f("ix_books_work_key"), "books", ["work_key"])
    op.create_index(
        "ix_books_import_id", "books", ["import_id", "id"], sqlite_where=IS_IMPORTED, postgresql_where=IS_IMPORTED
    )


def downgrade() -> None:
    op.drop_index("ix_books_import_id", "books")
    op.drop_index(op.f("ix_books_work_key"), "books")
    op.drop_table("onix_records")
    op.drop_column("books", "removed_at")
    op.drop_column("books", "import_id")
    op.drop_column("books", "work_key")
    for table in ("reference_titles", "column_mappings", "import_notes", "import_jobs"):
        op.drop_table(table)


def _create_imports() -> None:
    op.create_table(
        "import_jobs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer),
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("price_cents", sa.Integer),
        sa.Column("stock_quantity", sa.Integer),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.Column("error", sa.Text),
        sa.Column("format", sa.String(500)),
        sa.Column("encoding", sa.String(30)),
        sa.Column("header", sa.JSON, nullable=False),
        sa.Column("mapping", sa.JSON, nullable=False),
        sa.Column("decimal", sa.String(1)),
        sa.Column("names", sa.String(11)),
        sa.Column("preview", sa.JSON, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in COUNTS),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("worker", sa.String(16)),
        sa.Column("claimed_until", TIME),
        sa.CheckConstraint(f"state IN ({STATES})", name=op.f("ck_import_jobs_state")),
        sa.CheckConstraint("lines = added + updated + unchanged + refused", name=op.f("ck_import_jobs_lines")),
        sa.CheckConstraint("(worker IS NULL) = (claimed_until IS NULL)", name=op.f("ck_import_jobs_worker")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_import_jobs_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_jobs")),
    )
    op.create_index("ix_import_jobs_active", "import_jobs", ["id"], sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE)
    op.create_table(
        "import_notes",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("job_id", sa.Integer, nullable=False),
        sa.Column("line", sa.Integer),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["import_jobs.id"], name=op.f("fk_import_notes_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_notes")),
    )
    op.create_index(op.f("ix_import_notes_job_id_id"), "import_notes", ["job_id", "id"])
    op.create_table(
        "column_mappings",
        sa.Column("header_hash", sa.String(64), nullable=False),
        sa.Column("mapping", sa.JSON, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("header_hash", name=op.f("pk_column_mappings")),
    )
    op.create_table(
        "onix_records",
        sa.Column("book_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["book_id"], ["books.id"], name=op.f("fk_onix_records_book_id")),
        sa.PrimaryKeyConstraint("book_id", name=op.f("pk_onix_records")),
    )


def _create_reference_titles() -> None:
    op.create_table(
        "reference_titles",
        sa.Column("isbn", sa.String(13), nullable=False),
        sa.Column("title", sa.String(500), nullable=False),
        sa.Column("authors", sa.String(1000), nullable=False),
        sa.Column("publisher", sa.String(200)),
        sa.Column("language", sa.String(35)),
        sa.Column("published_year", sa.Integer),
        sa.Column("description", sa.Text),
        sa.Column("price_cents", sa.Integer),
        sa.Column("currency", sa.String(3)),
        sa.Column("imported_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("isbn", name=op.f("pk_reference_titles")),
    )


def _set_work_keys() -> None:
    books = sa.table("books", sa.column("id"), sa.column("title"), sa.column("authors"), sa.column("work_key"))
    changed = sa.update(books).where(books.c.id == sa.bindparam("book")).values(work_key=sa.bindparam("key"))
    bind, last = op.get_bind(), 0
    while rows := bind.execute(
        sa.select(books.c.id, books.c.title, books.c.authors).where(books.c.id > last).order_by(books.c.id).limit(BATCH)
    ).all():
        bind.execute(changed, [{"book": row.id, "key": _work_key(row.title, row.authors)} for row in rows])
        last = rows[-1].id


def _work_key(title: str, authors: str) -> str:
    parts = NAME_PARTS.findall(IN_BRACKETS.sub(" ", _plain(authors)))
    names = " ".join(sorted(part for part in parts if part not in NO_NAMES))
    return blake2b(f"{_plain_title(title)}\n{names}".encode(errors="replace"), digest_size=16).hexdigest()


def _plain_title(title: str) -> str:
    in_order = FINAL_ARTICLE.sub(r"\2 \1", " ".join(_plain(title).split()))
    return CONJUNCTIONS.sub("&", in_order).replace(" ", "")


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", QUOTES.sub("", INVISIBLE.sub("", text)))
    return unicodedata.normalize("NFC", ACCENTS.sub("", decomposed)).casefold()
