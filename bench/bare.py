"""The baseline for the shop: bare Flask views that read, reserve and order with the same SQL, written by hand."""

import hashlib
import os
import secrets
import threading
from datetime import UTC, datetime
from typing import Any

import psycopg
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
local = threading.local()

FIND_USER = (
    "SELECT users.id, email, role, api_tokens.id, last_used_at FROM users"
    " JOIN api_tokens ON api_tokens.user_id = users.id"
    " WHERE token_hash = %s AND revoked_at IS NULL AND deactivated_at IS NULL"
)
LOCK_USER = "SELECT id, email, role FROM users WHERE id = %s AND deactivated_at IS NULL FOR NO KEY UPDATE"
COUNT = "SELECT count(*) FROM prebookings WHERE user_id = %s AND status = 'waiting'"
RESERVE = (
    "INSERT INTO prebookings (user_id, book_id, status, created_at) SELECT %s, id, 'waiting', now() FROM books"
    " WHERE id = %s AND stock_quantity = 0 AND withdrawn_at IS NULL FOR SHARE ON CONFLICT DO NOTHING RETURNING id,"
    " book_id, (SELECT title FROM books WHERE id = %s), (SELECT authors FROM books WHERE id = %s), status, created_at"
)
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '4s'"
TAKE_CART = (
    "DELETE FROM cart_items WHERE user_id = %s RETURNING book_id, quantity, price_cents, currency, stock_quantity,"
    " created_at"
)
LOCK_BOOKS = (
    "SELECT id, isbn, title, authors, price_cents, currency, stock_quantity, withdrawn_at, cover FROM books"
    " WHERE id IN (%s) ORDER BY id FOR NO KEY UPDATE"
)
INSERT_ORDER = (
    "INSERT INTO orders (number, user_id, status, payment, delivery, name, name_key, phone, address, note, created_at)"
    " VALUES (%s, %s, 'placed', 'on_collection', 'collect', %s, %s, %s, %s, %s, %s) ON CONFLICT (number) DO NOTHING"
    " RETURNING id, number, user_id, status, payment, delivery, name, name_key, phone, address, note, created_at,"
    " ready_at, collected_at, cancelled_at"
)
SET_STOCK = (
    "UPDATE books SET stock_quantity = %s, back_in_stock_at = CASE WHEN stock_quantity = 0 AND EXISTS (SELECT * FROM"
    " movements WHERE movements.book_id = books.id) THEN %s ELSE back_in_stock_at END, updated_at = %s WHERE id = %s"
    " AND stock_quantity = %s"
)
INSERT_MOVEMENT = (
    "INSERT INTO movements (book_id, delta, quantity_after, reason, note, user_id, order_id, created_at)"
    " VALUES (%s, %s, %s, 'sale', NULL, %s, %s, %s) RETURNING id"
)
INSERT_LINE = (
    "INSERT INTO order_lines (order_id, book_id, title, price_cents, currency, quantity, prebooking_id)"
    " VALUES (%s, %s, %s, %s, %s, %s, (SELECT max(prebookings.id) FROM prebookings WHERE user_id = %s AND book_id = %s"
    " AND status = 'notified' AND NOT EXISTS (SELECT * FROM order_lines JOIN orders ON orders.id = order_lines.order_id"
    " WHERE order_lines.prebooking_id = prebookings.id AND orders.status <> 'cancelled')))"
    " RETURNING id, order_id, book_id, title, price_cents, currency, quantity, prebooking_id"
)
QUEUE_MESSAGE = (
    "INSERT INTO messages (kind, bulk, user_id, order_id, recipient, dedupe_key, message_id, state, attempts,"
    " next_attempt_at, created_at) VALUES ('order_placed', false, %s, %s, %s, %s, %s, 'queued', 0, clock_timestamp(),"
    " clock_timestamp()) ON CONFLICT (dedupe_key) DO NOTHING"
)
BOOK_MEMBERS = (
    *("id", "isbn", "title", "authors", "publisher", "language", "published_year", "description", "price_cents"),
    *("currency", "in_stock", "created_at", "updated_at"),
)
BOOK = (
    "SELECT id, isbn, title, authors, publisher, language, published_year, description, price_cents, currency,"
    " stock_quantity > 0, created_at, updated_at FROM books WHERE id = %s AND withdrawn_at IS NULL"
)
RESERVED_EVENT = "INSERT INTO events (kind, prebooking_id, created_at) VALUES ('prebooking.created', %s, now())"
PLACED_EVENT = "INSERT INTO events (kind, order_id, created_at) VALUES ('order.placed', %s, now())"
STOCK_EVENT = "INSERT INTO events (kind, movement_id, created_at) VALUES ('stock.changed', %s, now())"
ORDER_MEMBERS = (
    *("id", "number", "user_id", "status", "payment", "delivery", "name", "name_key", "phone", "address", "note"),
    *("created_at", "ready_at", "collected_at", "cancelled_at"),
)
LINE_MEMBERS = ("id", "order_id", "book_id", "title", "price_cents", "currency", "quantity", "prebooking_id")


def connection() -> psycopg.Connection[tuple[object, ...]]:
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["BARE_DATABASE"], autocommit=True)
    current: psycopg.Connection[tuple[object, ...]] = local.connection
    return current


def token_hash() -> str:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    return hashlib.sha256(token.encode()).hexdigest()


@app.get("/api/v1/books/<int:book_id>")
def book(book_id: int) -> Response | tuple[Response, int]:
    row = connection().execute(BOOK, [book_id]).fetchone()
    return jsonify(dict(zip(BOOK_MEMBERS, row, strict=True))) if row else (jsonify(error="no such book"), 404)


@app.post("/api/v1/prebookings")
def reserve() -> Response | tuple[Response, int]:
    book_id = request.get_json()["book_id"]
    database = connection()
    with database.transaction():
        user = database.execute(FIND_USER, [token_hash()]).fetchone()
        if user is None:
            return jsonify(error="unknown token"), 401
        database.execute(LOCK_TIMEOUT)
        database.execute(LOCK_USER, [user[0]])
        count = database.execute(COUNT, [user[0]]).fetchone()
        row = database.execute(RESERVE, [user[0], book_id, book_id, book_id]).fetchone()
        if row:
            database.execute(RESERVED_EVENT, [row[0]])
    if count is None or row is None:
        return jsonify(error="not reserved"), 409
    names = ("id", "book_id", "book_title", "book_authors", "status", "created_at")
    return jsonify(dict(zip(names, row, strict=True))), 201


@app.post("/api/v1/orders")
def order() -> Response | tuple[Response, int]:
    """Order a cart of one line."""
    body = request.get_json()
    database = connection()
    with database.transaction():
        user = database.execute(FIND_USER, [token_hash()]).fetchone()
        if user is None:
            return jsonify(error="unknown token"), 401
        database.execute(LOCK_TIMEOUT)
        database.execute(LOCK_USER, [user[0]])
        item = database.execute(TAKE_CART, [user[0]]).fetchone()
        if item is None:
            return jsonify(error="your cart is empty"), 409
        book: Any = database.execute(LOCK_BOOKS, [item[0]]).fetchone()
        placed = sell(database, user[0], body, book, item[1])
        if placed:
            queue_message(database, user, placed["id"])
    return (jsonify(placed), 201) if placed else (jsonify(error="too few copies"), 409)


def queue_message(database: psycopg.Connection[tuple[Any, ...]], user: Any, order_id: Any) -> None:
    keys = [f"order_placed:{order_id}", f"<order_placed.{secrets.token_hex(16)}@localhost>"]
    database.execute(QUEUE_MESSAGE, [user[0], order_id, user[1], *keys])


def sell(
    database: psycopg.Connection[tuple[Any, ...]], user_id: Any, body: dict[str, str], book: Any, quantity: Any
) -> dict[str, Any] | None:
    """Write the order, the movement and the order line; returns None if there are too few copies."""
    book_id, _isbn, title, _authors, price, currency, stock, withdrawn, _cover = book
    if withdrawn or stock < quantity:
        return None
    time = datetime.now(UTC)
    number = str(secrets.randbelow(90_000_000) + 10_000_000)
    details = [body["name"], body["name"].casefold(), body.get("phone"), body.get("address"), body.get("note")]
    placed: Any = database.execute(INSERT_ORDER, [f"{number[:4]}-{number[4:]}", user_id, *details, time]).fetchone()
    database.execute(PLACED_EVENT, [placed[0]])
    database.execute(SET_STOCK, [stock - quantity, time, time, book_id, stock])
    movement = database.execute(INSERT_MOVEMENT, [book_id, -quantity, stock - quantity, user_id, placed[0], time])
    database.execute(STOCK_EVENT, movement.fetchone())
    sold = [placed[0], book_id, title, price, currency, quantity, user_id, book_id]
    line: Any = database.execute(INSERT_LINE, sold).fetchone()
    totals = [{"amount_cents": quantity * price, "currency": currency}]
    lines = [dict(zip(LINE_MEMBERS, line, strict=True))]
    return {**dict(zip(ORDER_MEMBERS, placed, strict=True)), "lines": lines, "totals": totals}
