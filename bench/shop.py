"""The shop for benchmarks: its own database on a durable PostgreSQL server, filled with plain SQL."""

import contextlib
import os
from collections.abc import Iterator

import flask_migrate
from flask import Flask
from sqlalchemy import text

from bookshop import create_app
from bookshop.config import Settings
from bookshop.extensions import db
from tests.support.postgresql import server

SECRET_KEY = "a key for measuring, long enough indeed"

USERS = text(
    "INSERT INTO users (id, email, email_key, password_hash, role, notified_seen, created_at,"
    " email_confirmed_at) SELECT i, 'c' || i || '@example.com', 'c' || i || '@example.com', '-', 'customer', 0, now(),"
    " now()"
    " FROM generate_series(1, :count) i"
)
TOKENS = text(
    "INSERT INTO api_tokens (user_id, name, token_hash, scopes, created_at) SELECT id, 'bench',"
    " encode(sha256(convert_to('token' || id, 'UTF8')), 'hex'), 'catalog:read prebookings orders', now() FROM users"
)
BOOKS = text(
    "INSERT INTO books (id, title, authors, price_cents, currency, stock_quantity, created_at, updated_at,"
    " title_key, main_title, search_title, search_authors, search_isbn)"
    " SELECT i, 'Book ' || i, 'Author', 990, 'EUR', 0, now(), now(), 'book', 'book', 'book', 'author', ''"
    " FROM generate_series(1, :count) i"
)
WAITING = text(
    "INSERT INTO prebookings (user_id, book_id, status, created_at)"
    " SELECT id, :book, 'waiting', now() FROM users WHERE id <= :count"
)


@contextlib.contextmanager
def shop_url() -> Iterator[str]:
    """Yield BOOKSHOP_TEST_DATABASE_URL, whose database will be emptied, or the URL of a temporary PostgreSQL server."""
    configured = os.environ.get("BOOKSHOP_TEST_DATABASE_URL")
    if configured:
        yield configured
        return
    with server(durable=True) as url:
        yield url


def settings_for(url: str) -> Settings:
    """Return settings without effective limits of requests and orders."""
    limit = "100000000 per minute"
    return Settings(secret_key=SECRET_KEY, database_url=url, login_limit=limit, api_limit=limit, max_open_orders=10_000)


def make_app(url: str) -> Flask:
    """Create the shop on this database with empty tables; on SQLite, the file must not exist yet."""
    app = create_app(settings_for(url))
    with app.app_context():
        if db.engine.dialect.name != "sqlite":
            with db.engine.begin() as connection:
                connection.execute(text("DROP SCHEMA public CASCADE"))
                connection.execute(text("CREATE SCHEMA public"))
        flask_migrate.upgrade()
    return app


def fill(*, users: int, books: int) -> None:
    """Add users, each with the token `token<id>`, and books that are out of stock."""
    with db.engine.begin() as connection:
        connection.execute(USERS, {"count": users})
        connection.execute(TOKENS)
        connection.execute(BOOKS, {"count": books})


def analyze() -> None:
    """Vacuum and analyze all tables, as PostgreSQL's autovacuum would."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
