"""Accounts without passwords: login links, what visitors have started, and accounts that were never confirmed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
USERS = (
    "id, email, email_key, password_hash, role, created_at, deactivated_at, deleted_at, email_confirmed_at, "
    "unsubscribed_at, notified_seen, last_login_at"
)
IS_CONFIRMED_OR_OLD = "(email_confirmed_at IS NULL) = never_confirmed"
LINK_KINDS = "'login_link', 'address_link'"

# An address that nobody has confirmed may be a stranger's: whatever has used its account so far ends here.
END_LOGINS = "DELETE FROM login_sessions WHERE user_id IN (SELECT id FROM users WHERE never_confirmed)"
END_TOKENS = """
    UPDATE api_tokens SET revoked_at = CURRENT_TIMESTAMP WHERE revoked_at IS NULL
        AND user_id IN (SELECT id FROM users WHERE never_confirmed)
"""
# Messages with links that no longer work. One that a worker is sending is left to it.
STOP_OLD_LINKS = """
    UPDATE messages SET state = 'suppressed', reason = 'too_old' WHERE state = 'queued'
        AND kind IN ('confirmation', 'known_address', 'password_reset')
"""


def upgrade() -> None:
    _create_login_links()
    _create_link_actions()
    _change_users()
    with op.batch_alter_table("login_sessions") as logins:
        logins.add_column(sa.Column("link_id", sa.Integer))
        logins.create_foreign_key(
            op.f("fk_login_sessions_link_id"), "login_links", ["link_id"], ["id"], ondelete="SET NULL"
        )
    op.create_index(op.f("ix_login_sessions_link_id"), "login_sessions", ["link_id"], unique=True)
    with op.batch_alter_table("messages") as messages:
        messages.alter_column("user_id", existing_type=sa.Integer, nullable=True)
        messages.add_column(sa.Column("link_id", sa.Integer))
        messages.create_foreign_key(
            op.f("fk_messages_link_id"), "login_links", ["link_id"], ["id"], ondelete="SET NULL"
        )
        messages.create_check_constraint(op.f("ck_messages_user_id"), f"user_id IS NOT NULL OR kind IN ({LINK_KINDS})")
    op.create_index(op.f("ix_messages_link_id"), "messages", ["link_id"])
    _lower_keys()
    for statement in (END_LOGINS, END_TOKENS, STOP_OLD_LINKS):
        op.execute(statement)
    op.drop_table("password_resets")


def downgrade() -> None:
    op.create_table(
        "password_resets",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_password_resets_user_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_password_resets")),
    )
    op.create_index(op.f("ix_password_resets_user_id"), "password_resets", ["user_id"])
    op.execute(f"DELETE FROM messages WHERE kind IN ({LINK_KINDS})")
    op.drop_index(op.f("ix_messages_link_id"), "messages")
    with op.batch_alter_table("messages") as messages:
        messages.drop_constraint(op.f("ck_messages_user_id"), type_="check")
        messages.drop_constraint(op.f("fk_messages_link_id"), type_="foreignkey")
        messages.drop_column("link_id")
        messages.alter_column("user_id", existing_type=sa.Integer, nullable=False)
    op.drop_index(op.f("ix_login_sessions_link_id"), "login_sessions")
    with op.batch_alter_table("login_sessions") as logins:
        logins.drop_constraint(op.f("fk_login_sessions_link_id"), type_="foreignkey")
        logins.drop_column("link_id")
    _restore_users()
    op.drop_table("link_actions")
    op.drop_table("login_links")


def _create_login_links() -> None:
    op.create_table(
        "login_links",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("user_id", sa.Integer),
        sa.Column("browser", sa.String(64), nullable=False),
        sa.Column("next", sa.String(2000), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("used_at", TIME),
        sa.Column("ended_at", TIME),
        sa.CheckConstraint("purpose IN ('login', 'address', 'undo')", name=op.f("ck_login_links_purpose")),
        sa.CheckConstraint("(purpose = 'login') = (user_id IS NULL)", name=op.f("ck_login_links_user_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_login_links_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_login_links_token_hash")),
    )
    op.create_index(op.f("ix_login_links_email_key_browser"), "login_links", ["email_key", "browser"])
    op.create_index(op.f("ix_login_links_user_id"), "login_links", ["user_id"])


def _create_link_actions() -> None:
    op.create_table(
        "link_actions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("browser", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("book_id", sa.Integer, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("kind IN ('reserve', 'order')", name=op.f("ck_link_actions_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_actions")),
        sa.UniqueConstraint(
            "email_key", "browser", "kind", "book_id", name=op.f("uq_link_actions_email_key_browser_kind_book_id")
        ),
    )
    op.create_index(op.f("ix_link_actions_created_at"), "link_actions", ["created_at"])


def _lower_keys() -> None:
    """Compare addresses in lower case from now on: folding their case made ß and ss equal, which are not."""
    users = sa.table(
        "users", sa.column("id", sa.Integer), sa.column("email", sa.String), sa.column("email_key", sa.String)
    )
    for user_id, email, key in op.get_bind().execute(sa.select(users)).all():
        if key != email.lower():
            op.execute(users.update().where(users.c.id == user_id).values(email_key=email.lower()))


def _change_users() -> None:
    """Make the password optional, and mark the accounts whose address was never confirmed."""
    if op.get_bind().dialect.name == "sqlite":
        marked = sa.Column("never_confirmed", sa.Boolean, nullable=False, server_default=sa.false())
        _rebuild_users([sa.CheckConstraint(IS_CONFIRMED_OR_OLD, name=op.f("ck_users_never_confirmed")), marked], True)
        return
    op.alter_column("users", "password_hash", nullable=True)
    op.add_column("users", sa.Column("never_confirmed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute("UPDATE users SET never_confirmed = true WHERE email_confirmed_at IS NULL")
    op.create_check_constraint(op.f("ck_users_never_confirmed"), "users", IS_CONFIRMED_OR_OLD)


def _restore_users() -> None:
    """Make the password required again: accounts without one get a hash that no password matches."""
    op.execute("UPDATE users SET password_hash = '!' WHERE password_hash IS NULL")
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_users([], False)
        return
    op.drop_constraint(op.f("ck_users_never_confirmed"), "users", type_="check")
    op.drop_column("users", "never_confirmed")
    op.alter_column("users", "password_hash", nullable=False)


def _rebuild_users(more: list[sa.Column[bool] | sa.CheckConstraint], optional_password: bool) -> None:
    """Change the table by copying its rows to a new one, as SQLite cannot change a constraint; see migration 0011."""
    op.execute("PRAGMA defer_foreign_keys=ON")
    op.execute(f"CREATE TEMPORARY TABLE saved_users AS SELECT {USERS} FROM users")
    op.drop_table("users")
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=optional_password),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("deactivated_at", TIME),
        sa.Column("deleted_at", TIME),
        sa.Column("email_confirmed_at", TIME),
        sa.Column("unsubscribed_at", TIME),
        sa.Column("notified_seen", sa.Integer, nullable=False),
        sa.Column("last_login_at", TIME),
        sa.CheckConstraint("role IN ('customer', 'bookseller', 'owner')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
        *more,
    )
    marks = (", never_confirmed", ", email_confirmed_at IS NULL") if optional_password else ("", "")
    op.execute(f"INSERT INTO users ({USERS}{marks[0]}) SELECT {USERS}{marks[1]} FROM saved_users")
    op.execute("DROP TABLE saved_users")
