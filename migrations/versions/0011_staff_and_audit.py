"""Owners and booksellers, second factors, when a login was confirmed, and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
STAFF, STAFF_ROLES = "'staff'", "'bookseller', 'owner'"
USERS = (
    "id, email, email_key, password_hash, role, created_at, deactivated_at, deleted_at, email_confirmed_at, "
    "unsubscribed_at, notified_seen"
)
POSTGRESQL_APPEND_ONLY = (
    """CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
    """CREATE TRIGGER audit_entries_append_only BEFORE UPDATE ON audit_entries
        FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()""",
)
SQLITE_APPEND_ONLY = (
    """CREATE TRIGGER audit_entries_append_only BEFORE UPDATE ON audit_entries BEGIN
        SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
)


def upgrade() -> None:
    # All staff become owners: so far, every one of them could do everything.
    _change_roles(STAFF_ROLES, "CASE role WHEN 'staff' THEN 'owner' ELSE role END")
    op.add_column("users", sa.Column("last_login_at", TIME))
    op.add_column("login_sessions", sa.Column("confirmed_at", TIME))
    op.add_column("login_sessions", sa.Column("second_factor", sa.Boolean, nullable=False, server_default=sa.false()))
    _create_second_factors()
    _create_audit_entries()


def downgrade() -> None:
    op.drop_table("audit_entries")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_audit_change")
    op.drop_table("recovery_codes")
    op.drop_table("second_factors")
    op.drop_column("login_sessions", "second_factor")
    op.drop_column("login_sessions", "confirmed_at")
    op.drop_column("users", "last_login_at")
    _change_roles(STAFF, "CASE WHEN role IN ('bookseller', 'owner') THEN 'staff' ELSE role END")


def _change_roles(staff: str, role: str) -> None:
    """Change the roles that a user may have, and each user's role to the result of this expression."""
    check = f"role IN ('customer', {staff})"
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_users(check, role)
        return
    op.drop_constraint(op.f("ck_users_role"), "users", type_="check")
    op.execute(f"UPDATE users SET role = {role} WHERE role <> 'customer'")
    op.create_check_constraint(op.f("ck_users_role"), "users", check)


def _rebuild_users(check: str, role: str) -> None:
    """Change a CHECK constraint by copying the rows to a new table, as SQLite cannot change one.

    The rows are saved in a temporary table in the meantime. Deferred foreign keys allow other rows to refer to users
    that are missing until the new table, which must have the same name, is filled.
    """
    op.execute("PRAGMA defer_foreign_keys=ON")
    op.execute(f"CREATE TEMPORARY TABLE saved_users AS SELECT {USERS} FROM users")
    op.drop_table("users")
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("deactivated_at", TIME),
        sa.Column("deleted_at", TIME),
        sa.Column("email_confirmed_at", TIME),
        sa.Column("unsubscribed_at", TIME),
        sa.Column("notified_seen", sa.Integer, nullable=False),
        sa.CheckConstraint(check, name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
    )
    op.execute(f"INSERT INTO users ({USERS}) SELECT {USERS.replace('role', role, 1)} FROM saved_users")
    op.execute("DROP TABLE saved_users")


def _create_second_factors() -> None:
    op.create_table(
        "second_factors",
        sa.Column("user_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("last_step", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_second_factors_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_user_id"), "recovery_codes", ["user_id"])


def _create_audit_entries() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("user_id", sa.Integer),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("subject_id", sa.Integer),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
        sa.Column("request_id", sa.String(32)),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_audit_entries_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(op.f("ix_audit_entries_created_at"), "audit_entries", ["created_at"])
    op.create_index(op.f("ix_audit_entries_subject_id_id"), "audit_entries", ["subject_id", "id"])
    op.create_index(op.f("ix_audit_entries_user_id_id"), "audit_entries", ["user_id", "id"])
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRESQL_APPEND_ONLY if postgresql else SQLITE_APPEND_ONLY:
        op.execute(statement)
