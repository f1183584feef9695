"""The time of an atomic `POST /api/v1/stock/batch` with 1,000 lines, compared with the same SQL by hand."""

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
STAFF = text("UPDATE users SET role = 'bookseller' WHERE id = 1")
SCOPES = text("UPDATE api_tokens SET scopes = 'stock:write'")
SET_ISBN = text("UPDATE books SET isbn = :isbn WHERE id = :id")
FIND_USER = (
    "SELECT users.id, email, role, api_tokens.id, last_used_at, scopes FROM users"
    " JOIN api_tokens ON api_tokens.user_id = users.id WHERE token_hash = %s AND revoked_at IS NULL"
    " AND deactivated_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
)
CLAIM = (
    "INSERT INTO idempotency_records (user_id, key, fingerprint, created_at) VALUES (1, %s, %s, now())"
    " ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, created_at = now()"
    " WHERE idempotency_records.created_at < now() - interval '24 h' RETURNING key"
)
FIND_BOOKS = "SELECT isbn, id FROM books WHERE isbn = ANY(%s)"
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
STORE_RESPONSE = "UPDATE idempotency_records SET status = 200, body = %s WHERE user_id = 1 AND key = %s"
DELETE_EXPIRED = (
    "DELETE FROM idempotency_records WHERE (user_id, key) IN (SELECT user_id, key FROM idempotency_records"
    " WHERE created_at < now() - interval '24 h' ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)"
)
keys = count(1)


def run(url: str) -> None:
    """Print both times and their ratio. No customers are waiting for these books."""
    app = make_app(url)
    with app.app_context():
        fill(users=1, books=LINES)
        isbns = [isbn(number) for number in range(1, LINES + 1)]
        with db.engine.begin() as connection:
            connection.execute(STAFF)
            connection.execute(SCOPES)
            connection.execute(SET_ISBN, [{"isbn": code, "id": number} for number, code in enumerate(isbns, start=1)])
        analyze()
        plain = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        client = app.test_client(use_cookies=False)
        print(f"batch: {LINES} lines, atomic, with an Idempotency-Key; without HTTP (medians of {ROUNDS} rounds)")
        with psycopg.connect(plain, autocommit=True) as by_hand:
            measure(lambda stock: _by_json(client, isbns, stock), lambda stock: _by_hand(by_hand, isbns, stock))


def measure(*set_all_stocks: Callable[[int], float]) -> None:
    """Call the two functions alternately, each time with a new stock; they return the seconds that they took."""
    times: tuple[list[float], list[float]] = [], []
    for number in range(1, 2 * ROUNDS + 1):
        times[number % 2].append(set_all_stocks[number % 2](number))
    ours, by_hand = median(times[0]), median(times[1])
    print(f"  {ours:.3f} s, by hand {by_hand:.3f} s, ratio {ours / by_hand:.2f} (target 1.5)")


def _by_json(client: FlaskClient, isbns: Sequence[str], stock: int) -> float:
    body = json.dumps({"lines": [{"isbn": code, "quantity": stock} for code in isbns]})
    headers = {"Authorization": "Bearer token1", "Idempotency-Key": f"bench {next(keys)}"}
    started = time.perf_counter()
    response = client.post("/api/v1/stock/batch", data=body, headers=headers, content_type="application/json")
    seconds = time.perf_counter() - started
    if response.status_code != 200 or response.get_json()["changed"] != LINES:
        raise RuntimeError(response.text[:500])
    return seconds


def _by_hand(database: psycopg.Connection[tuple[Any, ...]], isbns: Sequence[str], stock: int) -> float:
    key, started = f"bench {next(keys)}", time.perf_counter()
    with database.transaction():
        database.execute(FIND_USER, [hashlib.sha256(b"token1").hexdigest()]).fetchone()
        database.execute("SET LOCAL lock_timeout = '4s'")
        database.execute(CLAIM, [key, "f" * 64]).fetchone()
        ids: dict[str, int] = dict(database.execute(FIND_BOOKS, [list(isbns)]).fetchall())
        books = database.execute(LOCK, [list(ids.values())]).fetchall()
        changes = [{"book_id": book[0], "before": book[6], "after": stock} for book in books]
        database.execute(SET_STOCK, [Json(changes)])
        moves = [{"book_id": book[0], "delta": stock - book[6], "quantity_after": stock} for book in books]
        written = database.execute(MOVE, [Json(moves)]).fetchall()
        events = [
            {"number": number, "kind": "stock.changed", "movement_id": row[1]} for number, row in enumerate(written)
        ]
        database.execute(EVENTS, [Json(events)])
        database.execute(SOLD_OUT, [[]]).fetchall()
        database.execute(STORE_RESPONSE, ["x" * 131_858, key])
        database.execute(DELETE_EXPIRED)
    return time.perf_counter() - started
