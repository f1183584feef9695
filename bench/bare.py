"""What the shop is measured against: one bare Flask view that reserves with the same SQL, sent by hand."""

import hashlib
import os
import threading

import psycopg
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
local = threading.local()

WHO = (
    "SELECT users.id FROM users JOIN api_tokens ON api_tokens.user_id = users.id"
    " WHERE token_hash = %s AND revoked_at IS NULL AND deactivated_at IS NULL"
)
LOCK_USER = "SELECT id FROM users WHERE id = %s AND deactivated_at IS NULL FOR NO KEY UPDATE"
COUNT = "SELECT count(*) FROM prebookings WHERE user_id = %s AND status = 'waiting'"
RESERVE = (
    "INSERT INTO prebookings (user_id, book_id, status, created_at) SELECT %s, id, 'waiting', now() FROM books"
    " WHERE id = %s AND stock_quantity = 0 AND withdrawn_at IS NULL FOR SHARE ON CONFLICT DO NOTHING RETURNING id,"
    " book_id, (SELECT title FROM books WHERE id = %s), (SELECT authors FROM books WHERE id = %s), status, created_at"
)


def connection() -> psycopg.Connection[tuple[object, ...]]:
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["BARE_DATABASE"])
    found: psycopg.Connection[tuple[object, ...]] = local.connection
    return found


@app.post("/api/v1/prebookings")
def reserve() -> Response | tuple[Response, int]:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    book_id = request.get_json()["book_id"]
    database = connection()
    with database.transaction():
        user = database.execute(WHO, [hashlib.sha256(token.encode()).hexdigest()]).fetchone()
        if user is None:
            return jsonify(error="who are you"), 401
        database.execute("SET LOCAL lock_timeout = '4s'")
        database.execute(LOCK_USER, [user[0]])
        count = database.execute(COUNT, [user[0]]).fetchone()
        row = database.execute(RESERVE, [user[0], book_id, book_id, book_id]).fetchone()
    if count is None or row is None:
        return jsonify(error="no"), 409
    names = ("id", "book_id", "book_title", "book_authors", "status", "created_at")
    return jsonify(dict(zip(names, row, strict=True))), 201
