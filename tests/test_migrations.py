"""The migrations: up and down on filled databases, and equal to the schema of the models."""

import re
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import Connection, Inspector, create_engine, inspect, text

from bookshop import create_app
from bookshop.accounts.authentication import token_hash
from bookshop.accounts.models import CUSTOMER, OWNER
from bookshop.accounts.scopes import scopes_of
from bookshop.config import Settings
from bookshop.extensions import db
from bookshop.kit.database import Base
from bookshop.web import services
from tests.support.databases import WORKER
from tests.support.factories import PASSWORD, Shop
from tests.support.full_tables import fill
from tests.support.mailbox import Mailbox
from tests.support.settings import SECRET_KEY, settings_for

Schema = dict[str, list[tuple[Any, ...]]]

TABLES = {"users", "login_sessions", "api_tokens", "books", "movements", "prebookings"} | {
    *("cart_items", "orders", "order_lines", "idempotency_records", "messages", "login_links", "link_actions"),
    *("events", "webhooks", "webhook_deliveries", "attempts", "sent_forms"),
    *("second_factors", "recovery_codes", "audit_entries", "worker_beats", "purge_state"),
    *("shop_details", "content_pages", "passed_checks", "backups", "returns", "pick_shelves", "picks"),
    "skipped_positions",
    *("import_jobs", "import_notes", "column_mappings", "onix_records", "reference_titles"),
}
# A column added later has an inline foreign key or CHECK, equivalent to a separate one.
LATER_CHECK = re.compile(r"(?<!,) (CONSTRAINT \w+ CHECK)")
LATER_KEY = re.compile(r"(\w+) (\w+) (CONSTRAINT \w+) (REFERENCES .*)")
_numbers = count(1)

POSTGRESQL_SCHEMA = {
    "columns": """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default,
            collation_name, is_generated, generation_expression
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "indexes": """
        SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "sequences": "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1",
    "triggers": """
        SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1""",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request, tmp_path):
    """Create empty databases: each call returns the URL of a new one."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path}/{next(_numbers)}.db"
    server_url = Settings(secret_key=SECRET_KEY, database_url=request.getfixturevalue("postgresql_url")).database_url

    def create():
        name = f"bookshop_migrations_{WORKER}_{next(_numbers)}"
        _on_server(server_url, f"CREATE DATABASE {name}")
        request.addfinalizer(lambda: _on_server(server_url, f"DROP DATABASE {name} WITH (FORCE)"))
        return create_engine(server_url).url.set(database=name).render_as_string(hide_password=False)

    return create


def _on_server(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def migrated(new_database):
    """The application on a new database created by the migrations."""
    app = create_app(settings_for(new_database(), database_pool=2))
    upgrade(app)
    yield app
    with app.app_context():
        db.engine.dispose()


def upgrade(app: Flask) -> None:
    with app.app_context():
        flask_migrate.upgrade()


def downgrade(app: Flask) -> None:
    with app.app_context():
        flask_migrate.downgrade(revision="base")


def ask(app: Flask, question: Callable[[Inspector], Any]) -> Any:
    """Ask SQLAlchemy's inspector about the application's database."""
    with app.app_context():
        return question(inspect(db.engine))


def schema(app: Flask) -> Schema:
    """Return everything the database says about its schema, in comparable form."""
    with app.app_context(), db.engine.connect() as connection:
        found = _postgresql(connection) if connection.dialect.name == "postgresql" else _sqlite(connection)
    return {kind: [row for row in rows if "alembic_version" not in row] for kind, rows in found.items()}


def _postgresql(connection: Connection) -> Schema:
    return {kind: [tuple(row) for row in connection.execute(text(query))] for kind, query in POSTGRESQL_SCHEMA.items()}


def _sqlite(connection: Connection) -> Schema:
    objects = connection.execute(text("SELECT tbl_name, type, name, sql FROM sqlite_master ORDER BY 1, 2, 3"))
    settings = connection.execute(text("SELECT k, v FROM books_fts_config ORDER BY k"))
    return {"objects": [(*row[:3], _parts(row[3])) for row in objects], "fts": [tuple(row) for row in settings]}


def _parts(sql: str | None) -> list[str] | None:
    """Return the parts of a CREATE statement, regardless of layout and the order of columns."""
    if sql is None:
        return None
    body = re.sub(r"^CREATE TABLE \"?\w+\"? \( | ?\)$", "", re.sub(r"\s+", " ", sql))
    body = LATER_CHECK.sub(r",\1", body)
    parts = (LATER_KEY.sub(r"\1 \2,\3 FOREIGN KEY(\1) \4", part.strip()) for part in re.split(r",(?![^()]*\))", body))
    return sorted(part for written in parts for part in re.split(r",(?![^()]*\))", written))


def _left(connection: Connection) -> list[str]:
    """Return the names of all tables, indexes, triggers and sequences except Alembic's own."""
    query = (
        "SELECT name FROM sqlite_master"
        if connection.dialect.name == "sqlite"
        else "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    return [name for name in connection.scalars(text(query)) if "alembic_version" not in name]


def rows_of(shop: Shop) -> dict[str, int]:
    return {table: len(shop.rows(f"SELECT 1 FROM {table}")) for table in TABLES}


def test_the_migrations_build_the_schema_that_the_models_describe(migrated, new_database):
    other = create_app(settings_for(new_database(), database_pool=2))
    with other.app_context():
        db.create_all()
    by_models = schema(other)
    with other.app_context():
        db.engine.dispose()
    assert schema(migrated) == by_models


def test_the_schema_has_the_constraints_the_invariants_rely_on(migrated):
    """The comparison above would not detect what both sides lack."""
    found = schema(migrated)
    assert re.search(r"WHERE \W*status\W.*= 'waiting'", str(found))
    assert set(ask(migrated, lambda database: database.get_table_names())) >= TABLES == set(Base.metadata.tables)
    indexes = ask(migrated, lambda database: database.get_indexes("prebookings"))
    assert "uq_prebookings_waiting" in {index["name"] for index in indexes if index["unique"]}
    checks = ask(migrated, lambda database: [c["name"] for t in TABLES for c in database.get_check_constraints(t)])
    assert len(checks) == 48


def test_autogenerate_finds_nothing_to_do(migrated):
    with migrated.app_context():
        flask_migrate.check()


def test_the_migrations_go_down_and_up_again_on_a_filled_database(migrated):
    shop, before = Shop(migrated), schema(migrated)
    fill(shop)
    assert min(rows_of(shop).values()) > 0
    downgrade(migrated)
    assert ask(migrated, lambda database: database.get_table_names()) == ["alembic_version"]
    upgrade(migrated)
    assert (schema(migrated), rows_of(shop)) == (before, dict.fromkeys(TABLES, 0))


def test_downgrading_removes_the_whole_schema(migrated):
    downgrade(migrated)
    with migrated.app_context(), db.engine.connect() as connection:
        left = _left(connection)
    assert left == []


def test_a_second_upgrade_of_a_filled_database_changes_nothing(migrated):
    shop = Shop(migrated)
    fill(shop)
    before = shop.everything()
    upgrade(migrated)
    assert (shop.everything(), shop.broken()) == (before, [])


def test_the_shop_recovers_after_a_database_restart(migrated):
    shop = Shop(migrated)
    for _again in range(2):
        fill(shop)
        assert migrated.test_client().get("/api/v1/books?q=emm").json["total"] == 1
        assert shop.broken() == []
        downgrade(migrated)
        upgrade(migrated)


USER_OF_0004 = """INSERT INTO users (id, email, email_key, password_hash, role, created_at, email_confirmed_at,
    notified_seen) VALUES (:id, :email, :email, '!', :role, '2026-01-01 12:00:00', '2026-01-01 12:00:00', 0)"""
TOKEN_OF_0004 = """INSERT INTO api_tokens (id, user_id, name, token_hash, created_at)
    VALUES (:id, :id, 'old', :hash, '2026-01-01 12:00:00')"""


def test_the_second_migration_derives_from_the_ledger_which_books_came_back(new_database):
    app = create_app(settings_for(new_database(), database_pool=2))
    shop = Shop(app)
    with app.app_context():
        flask_migrate.upgrade(revision="0001")
    for book_id in (1, 2):
        shop.execute(BOOK_OF_0001, id=book_id)
    for book_id, delta, after, when in ((1, 1, 1, "2026-01-01"), (2, 1, 1, "2026-01-02"), (2, -1, 0, "2026-01-03")):
        shop.execute(MOVEMENT, book=book_id, delta=delta, after=after, time=f"{when} 12:00:00+00:00")
    shop.execute(MOVEMENT, book=2, delta=5, after=5, time="2026-01-04 12:00:00+00:00")
    upgrade(app)
    came_back = shop.rows("SELECT id, substr(CAST(back_in_stock_at AS VARCHAR(30)), 1, 10) FROM books ORDER BY id")
    with app.app_context():
        db.engine.dispose()
    assert came_back == [(1, None), (2, "2026-01-04")]


def test_the_fourth_migration_sends_nothing_to_notified_customers_and_confirms_all_addresses(migrated):
    shop = Shop(migrated)
    fill(shop)
    shop.set_stock(2, 1)
    shop.commit(lambda: services.people().delete(3, PASSWORD))
    with migrated.app_context():
        flask_migrate.downgrade(revision="0003")
    upgrade(migrated)
    told = "SELECT user_id, prebooking_id, recipient, kind, state, attempts, reason FROM messages ORDER BY 2"
    stopped = ("restock", "suppressed", 0)
    assert shop.rows(told) == [
        (2, 1, "ada@example.com", *stopped, "before_mail"),
        (3, 3, "deleted-3", *stopped, "closed"),
    ]
    assert shop.rows("SELECT id FROM users WHERE email_confirmed_at = created_at ORDER BY id") == [1, 2]
    assert (shop.rows("SELECT id FROM users WHERE unsubscribed_at IS NOT NULL"), shop.broken()) == ([], [])


def test_messages_written_by_the_fourth_migration_are_never_sent_but_later_ones_are(migrated, tmp_path):
    shop = Shop(migrated)
    fill(shop)
    with migrated.app_context():
        flask_migrate.downgrade(revision="0003")
    upgrade(migrated)
    mailbox = Mailbox(migrated, tmp_path / "mail")
    assert mailbox.deliver() == []
    shop.set_stock(2, 1)
    assert [message["To"] for message in mailbox.deliver()] == ["ben@example.com"]
    assert shop.broken() == []


def test_the_seventh_migration_fills_in_reasons_and_queues_owed_alerts(migrated, tmp_path):
    shop = Shop(migrated)
    emma, persuasion = shop.book("Emma"), shop.book("Persuasion")
    customers = [shop.customer(f"{name}@example.com") for name in ("ada", "ben", "cleo", "dora")]
    for user_id, book in [*((user_id, emma) for user_id in customers), (customers[0], persuasion)]:
        shop.reserve(user_id, book)
    for book in (emma, persuasion):
        shop.set_stock(book, 1)
        shop.set_stock(book, 0)
    with migrated.app_context():
        flask_migrate.downgrade(revision="0006")
    reason = "The customer wants no restock alerts."
    shop.execute("UPDATE messages SET last_error = :reason WHERE user_id = :ben", reason=reason, ben=customers[1])
    shop.execute("UPDATE users SET unsubscribed_at = created_at WHERE id = :cleo", cleo=customers[2])
    shop.execute("UPDATE messages SET last_error = 'Dropped by staff.' WHERE user_id = :dora", dora=customers[3])
    shop.execute(MOVEMENT, book=emma, delta=3, after=3, time="2026-01-01")
    shop.execute("UPDATE books SET stock_quantity = 3 WHERE id = :emma", emma=emma)
    upgrade(migrated)
    assert shop.rows("SELECT state, reason, last_error FROM messages ORDER BY id") == [
        ("queued", None, None),
        *(("suppressed", reason, None) for reason in ("unsubscribed", "unsubscribed", "dropped", "gone")),
    ]
    assert [message["To"] for message in Mailbox(migrated, tmp_path / "mail").deliver()] == ["ada@example.com"]
    assert [line for line in shop.broken() if "alert" in line or "message" in line] == []


BOOK_OF_0001 = """
    INSERT INTO books (id, title, authors, price_cents, currency, stock_quantity, created_at, updated_at, title_key,
        main_title, search_title, search_authors, search_isbn)
    VALUES (:id, 'Emma', 'Jane Austen', 950, 'EUR', 0, '2026-01-01', '2026-01-01', 'emma', 'emma', 'emma', '', '')"""
MOVEMENT = """
    INSERT INTO movements (book_id, delta, quantity_after, reason, created_at)
    VALUES (:book, :delta, :after, 'correction', :time)"""


def test_the_fifth_migration_keeps_all_the_access_of_every_token(new_database):
    app = create_app(settings_for(new_database(), database_pool=2))
    shop = Shop(app)
    with app.app_context():
        flask_migrate.upgrade(revision="0004")
    for user_id, role in ((1, "customer"), (2, "staff")):
        values = {"id": user_id, "role": role, "email": f"{role}@example.com", "hash": token_hash(role)}
        shop.execute(USER_OF_0004, **values)
        shop.execute(TOKEN_OF_0004, **values)
    upgrade(app)
    kept = dict(zip(("customer", "staff"), shop.rows("SELECT scopes FROM api_tokens ORDER BY id"), strict=True))
    found: list[Any] = [
        shop.commit(partial(lambda role: services.authentication().by_token(role), role)) for role in kept
    ]
    with app.app_context():
        db.engine.dispose()
    assert [scopes.split() for scopes in kept.values()] == [scopes_of(CUSTOMER), scopes_of(OWNER)]
    assert [(identity.role, identity.scopes) for identity in found] == [
        (role, frozenset(scopes_of(role))) for role in (CUSTOMER, OWNER)
    ]


def test_the_fourteenth_migration_ends_the_access_of_accounts_that_were_never_confirmed(migrated):
    shop = Shop(migrated)
    fill(shop)
    shop.token("ben@example.com")
    with migrated.app_context():
        flask_migrate.downgrade(revision="0013")
    shop.execute("UPDATE users SET email_confirmed_at = NULL WHERE email = 'ada@example.com'")
    shop.execute(MESSAGE_OF_0013)
    upgrade(migrated)
    assert shop.rows("SELECT email FROM users WHERE never_confirmed") == ["ada@example.com"]
    assert shop.rows("SELECT user_id FROM login_sessions") == []
    assert shop.rows("SELECT user_id FROM api_tokens WHERE revoked_at IS NULL") == [3]
    assert shop.rows("SELECT state, reason FROM messages WHERE kind = 'password_reset'") == [("suppressed", "too_old")]
    assert (shop.rows("SELECT count(*) FROM orders"), shop.broken()) == ([1], [])


def test_the_eighteenth_migration_takes_over_the_delay_with_or_without_other_details(migrated, monkeypatch):
    shop = Shop(migrated)
    monkeypatch.setenv("BOOKSHOP_MAIL_DELAY", "5")
    for city in ("Oxford", ""):
        shop.describe(city=city, mail_delay=90, accent="#00aa55")
        with migrated.app_context():
            flask_migrate.downgrade(revision="0017")
        shop.execute("DELETE FROM shop_details WHERE city = ''")
        upgrade(migrated)
        assert shop.rows("SELECT city, name, mail_delay, accent FROM shop_details") == [(city, "The Bookshop", 5, "")]


MESSAGE_OF_0013 = """
    INSERT INTO messages (kind, bulk, user_id, recipient, dedupe_key, message_id, state, attempts, next_attempt_at,
        created_at)
    VALUES ('password_reset', false, 3, 'ben@example.com', 'k', '<k@localhost>', 'queued', 0, '2026-01-01',
        '2026-01-01')"""
