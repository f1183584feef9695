"""How long `POST /api/v1/stock/batch` of 1,000 lines takes, all or none, against the same SQL by hand."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from itertools import count
from statistics import median
from typing import Any

import psycopg
from flask.testing import FlaskClient
from psycopg.types.json import Json
from sqlalchemy import text

from bench.shop import analyze, fill, make_app
from bookshop.extensions import db
from tests.support.factories import isbn

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
    "INSERT INTO idempotency_records (user_id, key, fingerprint, created_at) VALUES (1, %s, %s, now())"
    " ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, created_at = now()"
    " WHERE idempotency_records.created_at < now() - interval '24 h' RETURNING key"
)
FIND = "SELECT isbn, id FROM books WHERE isbn = ANY(%s)"
LOCK = (
    "SELECT id, isbn, title, authors, price_cents, currency, stock_quantity, withdrawn_at, cover, version FROM books"
    " WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
)
SET_STOCK = (
    "UPDATE books SET stock_quantity = after, back_in_stock_at = CASE WHEN stock_quantity = 0 AND EXISTS (SELECT * FROM"
    " movements WHERE movements.book_id = books.id) THEN now() ELSE back_in_stock_at END, updated_at = now(),"
    " version = version + 1 FROM json_to_recordset(%s) AS given(book_id integer, before integer, after integer)"
    " WHERE id = given.book_id AND stock_quantity = before"
)
MOVE = (
    "INSERT INTO movements (book_id, delta, quantity_after, reason, user_id, created_at) SELECT book_id, delta,"
    " quantity_after, 'received', 1, now() FROM json_to_recordset(%s) AS given(book_id integer, delta integer,"
    " quantity_after integer) RETURNING book_id, id"
)
EVENTS = (
    "INSERT INTO events (kind, movement_id, created_at) SELECT kind, movement_id, now() FROM json_to_recordset(%s) AS"
    " given(number integer, kind varchar, movement_id integer) ORDER BY number"
)
SOLD_OUT = "SELECT id FROM movements WHERE book_id = ANY(%s) AND quantity_after = delta AND delta > 0"
KEEP = "UPDATE idempotency_records SET status = 200, body = %s WHERE user_id = 1 AND key = %s"
FORGET = (
    "DELETE FROM idempotency_records WHERE (user_id, key) IN (SELECT user_id, key FROM idempotency_records"
    " WHERE created_at < now() - interval '24 h' ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)"
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


def measure(*ways: Callable[[int], float]) -> None:
    """Let both ways in turn set all stocks to another number; each says how long it took."""
    times: tuple[list[float], list[float]] = [], []
    for number in range(1, 2 * ROUNDS + 1):
        times[number % 2].append(ways[number % 2](number))
    ours, theirs = median(times[0]), median(times[1])
    print(f"  {ours:.3f} s, by hand {theirs:.3f} s, ratio {ours / theirs:.2f} (target 1.5)")


def _by_json(client: FlaskClient, isbns: Sequence[str], stock: int) -> float:
    body = json.dumps({"lines": [{"isbn": code, "quantity": stock} for code in isbns]})
    headers = {"Authorization": "Bearer token1", "Idempotency-Key": f"bench {next(keys)}"}
    started = time.perf_counter()
    answer = client.post("/api/v1/stock/batch", data=body, headers=headers, content_type="application/json")
    seconds = time.perf_counter() - started
    if answer.status_code != 200 or answer.get_json()["changed"] != LINES:
        raise RuntimeError(answer.text[:500])
    return seconds


def _by_hand(database: psycopg.Connection[tuple[Any, ...]], isbns: Sequence[str], stock: int) -> float:
    key, started = f"bench {next(keys)}", time.perf_counter()
    with database.transaction():
        database.execute(WHO, [hashlib.sha256(b"token1").hexdigest()]).fetchone()
        database.execute("SET LOCAL lock_timeout = '4s'")
        database.execute(CLAIM, [key, "f" * 64]).fetchone()
        ids: dict[str, int] = dict(database.execute(FIND, [list(isbns)]).fetchall())
        books = database.execute(LOCK, [list(ids.values())]).fetchall()
        changes = [{"book_id": book[0], "before": book[6], "after": stock} for book in books]
        database.execute(SET_STOCK, [Json(changes)])
        moves = [{"book_id": book[0], "delta": stock - book[6], "quantity_after": stock} for book in books]
        written = database.execute(MOVE, [Json(moves)]).fetchall()
        happened = [
            {"number": place, "kind": "stock.changed", "movement_id": row[1]} for place, row in enumerate(written)
        ]
        database.execute(EVENTS, [Json(happened)])
        database.execute(SOLD_OUT, [[]]).fetchall()
        database.execute(KEEP, ["x" * 131_858, key])
        database.execute(FORGET)
    return time.perf_counter() - started
