"""How long `POST /api/v1/stock/batch` of 1,000 lines takes, all or none, against the same SQL by hand."""

import hashlib
import time
from collections.abc import Callable, Sequence
from itertools import count
from statistics import median
from typing import Any

import psycopg
from flask.testing import FlaskClient
from sqlalchemy import text

from bench.shop import analyze, fill, make_app
from bookshop.extensions import db
from tests.factories import isbn

LINES, ROUNDS = 1_000, 15
STAFF = text("UPDATE users SET role = 'staff' WHERE id = 1")
SCOPES = text("UPDATE api_tokens SET scopes = 'stock:write'")
NAME = text("UPDATE books SET isbn = :isbn WHERE id = :id")
WHO = (
    "SELECT users.id, email, role, api_tokens.id, last_used_at, scopes FROM users"
    " JOIN api_tokens ON api_tokens.user_id = users.id WHERE token_hash = %s AND revoked_at IS NULL"
    " AND deactivated_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
)
CLAIM = (
    "INSERT INTO given_answers (user_id, key, fingerprint, created_at) VALUES (1, %s, %s, now())"
    " ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, created_at = now()"
    " WHERE given_answers.created_at < now() - interval '24 h' RETURNING key"
)
FIND = "SELECT isbn, id FROM books WHERE isbn = ANY(%s)"
LOCK = (
    "SELECT id, isbn, title, authors, price_cents, currency, stock_quantity, withdrawn_at, cover, version FROM books"
    " WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
)
SET_STOCK = (
    "UPDATE books SET stock_quantity = %s, back_in_stock_at = CASE WHEN stock_quantity = 0 AND EXISTS (SELECT * FROM"
    " movements WHERE movements.book_id = books.id) THEN now() ELSE back_in_stock_at END, updated_at = now(),"
    " version = version + 1 WHERE id = %s AND stock_quantity = %s"
)
MOVE = (
    "INSERT INTO movements (book_id, delta, quantity_after, reason, user_id, created_at)"
    " VALUES (%s, %s, %s, 'received', 1, now()) RETURNING id"
)
SOLD_OUT = "SELECT id FROM movements WHERE book_id = ANY(%s) AND quantity_after = delta AND delta > 0"
KEEP = "UPDATE given_answers SET status = 200, body = %s WHERE user_id = 1 AND key = %s"
FORGET = (
    "DELETE FROM given_answers WHERE (user_id, key) IN (SELECT user_id, key FROM given_answers WHERE created_at <"
    " now() - interval '24 h' ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)"
)
keys = count(1)


def run(url: str) -> None:
    """Print both times and their ratio; nobody waits for these books."""
    app = make_app(url)
    with app.app_context():
        fill(users=1, books=LINES)
        isbns = [isbn(number) for number in range(1, LINES + 1)]
        with db.engine.begin() as connection:
            connection.execute(STAFF)
            connection.execute(SCOPES)
            connection.execute(NAME, [{"isbn": code, "id": place} for place, code in enumerate(isbns, start=1)])
        analyze()
        plain = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        client = app.test_client(use_cookies=False)
        print(
            f"batch: {LINES} lines, atomic, under a key; the whole request in the process (medians of {ROUNDS} rounds)"
        )
        with psycopg.connect(plain, autocommit=True) as by_hand:
            measure(lambda stock: _by_json(client, isbns, stock), lambda stock: _by_hand(by_hand, isbns, stock))


def measure(by_json: Callable[[int], None], by_hand: Callable[[int], None]) -> None:
    """Time both in turn, each of which sets all stocks to another number."""
    times: tuple[list[float], list[float]] = [], []
    for number in range(1, 2 * ROUNDS + 1):
        started = time.perf_counter()
        (by_json, by_hand)[number % 2](number)
        times[number % 2].append(time.perf_counter() - started)
    ours, theirs = median(times[0]), median(times[1])
    print(f"  {ours:.3f} s, by hand {theirs:.3f} s, ratio {ours / theirs:.2f} (target 1.5)")


def _by_json(client: FlaskClient, isbns: Sequence[str], stock: int) -> None:
    lines = [{"isbn": code, "quantity": stock} for code in isbns]
    headers = {"Authorization": "Bearer token1", "Idempotency-Key": f"bench {next(keys)}"}
    answer = client.post("/api/v1/stock/batch", json={"lines": lines}, headers=headers)
    if answer.status_code != 200 or answer.get_json()["changed"] != LINES:
        raise RuntimeError(answer.text[:500])


def _by_hand(database: psycopg.Connection[tuple[Any, ...]], isbns: Sequence[str], stock: int) -> None:
    key = f"bench {next(keys)}"
    with database.transaction(), database.cursor() as cursor:
        database.execute(WHO, [hashlib.sha256(b"token1").hexdigest()]).fetchone()
        database.execute("SET LOCAL lock_timeout = '4s'")
        database.execute(CLAIM, [key, "f" * 64]).fetchone()
        ids: dict[str, int] = dict(database.execute(FIND, [list(isbns)]).fetchall())
        books = database.execute(LOCK, [list(ids.values())]).fetchall()
        cursor.executemany(SET_STOCK, [(stock, book[0], book[6]) for book in books])
        cursor.executemany(MOVE, [(book[0], stock - book[6], stock) for book in books], returning=True)
        database.execute(SOLD_OUT, [[]]).fetchall()
        database.execute(KEEP, ["x" * 131_858, key])
        database.execute(FORGET)
