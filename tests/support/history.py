"""Five years of a shop's life, made up by a few statements: each cycle reserves, restocks, tells, sells and hands over.

Used by the proof of the purge and by bench/purge.py.
"""

from flask import Flask
from sqlalchemy import text

from bookshop.extensions import db

YEARS = 5
BOOKS, USERS, OWNER = 50, 200, 201
EVENTS = (  # of each cycle, with the row that each is about
    ("prebooking.created", "prebooking_id", "i"),
    ("stock.changed", "movement_id", "2 * i - 1"),
    ("book.restocked", "movement_id", "2 * i - 1"),
    ("prebooking.notified", "prebooking_id", "i"),
    ("order.placed", "order_id", "i"),
    ("stock.changed", "movement_id", "2 * i"),
    ("order.ready", "order_id", "i"),
    ("order.collected", "order_id", "i"),
)
MESSAGES = (("restock", "prebooking_id"), ("order_placed", "order_id"), ("order_ready", "order_id"))
CUSTOMER, BOOK = f"1 + i % {USERS}", f"1 + i % {BOOKS}"
BY_ID = ("users", "books", "prebookings", "movements", "orders", "order_lines", "messages", "events")


class History:
    """Fills an empty shop with `cycles`, evenly spread over five years up to today."""

    def __init__(self, app: Flask, cycles: int) -> None:
        self.cycles = cycles
        with app.app_context(), db.engine.begin() as connection:
            self.is_sqlite = connection.dialect.name == "sqlite"
            for statement in self._statements():
                connection.execute(text(statement))

    def _statements(self) -> list[str]:
        return [
            *self._people_and_books(),
            *self._reservations_and_orders(),
            *(self._message(number, *kind) for number, kind in enumerate(MESSAGES, start=1)),
            *(self._event(number, *event) for number, event in enumerate(EVENTS, start=1)),
            *self._webhook(),
            *self._what_expires(),
            *([] if self.is_sqlite else [self._sequences()]),
        ]

    def _each(self, table: str, /, **columns: str) -> str:
        """Insert a row for each cycle i; the columns are SQL expressions of i."""
        return self._insert(table, self.cycles, **columns)

    @staticmethod
    def _insert(table: str, rows: int, /, **columns: str) -> str:
        return (
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
            f" INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM n"
        )

    @property
    def time(self) -> str:
        """The time of cycle i: the last one is now."""
        seconds = YEARS * 365 * 24 * 3600 // self.cycles
        if self.is_sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ((i - {self.cycles}) * {seconds}) || ' seconds')"
        return f"now() + (i - {self.cycles}) * interval '{seconds} seconds'"

    def _people_and_books(self) -> list[str]:
        email = "'c' || i || '@example.com'"
        start = "'2020-01-01 10:00:00.000000'"
        texts = dict.fromkeys(("title", "authors", "title_key", "main_title", "search_title", "search_authors"), "'b'")
        role = f"CASE i WHEN {OWNER} THEN 'owner' ELSE 'customer' END"
        stored = start if self.is_sqlite else f"CAST({start} AS timestamptz)"
        user = {"id": "i", "email": email, "email_key": email, "password_hash": "'!'", "role": role}
        book = {"id": "i", **texts, "search_isbn": "''", "price_cents": "950", "currency": "'EUR'"}
        return [
            self._insert("users", OWNER, **user, created_at=stored, email_confirmed_at=stored, notified_seen="0"),
            self._insert("books", BOOKS, **book, stock_quantity="0", created_at=stored, updated_at=stored),
        ]

    def _reservations_and_orders(self) -> list[str]:
        time, number = self.time, "substr('000000000' || i, length('000000000' || i) - 8)"
        whose, movement = {"user_id": CUSTOMER}, {"book_id": BOOK, "created_at": time}
        done = dict.fromkeys(("created_at", "ready_at", "collected_at"), time)
        order = {"id": "i", "number": number, **whose, "status": "'collected'", "payment": "'on_collection'"}
        reserved = {"id": "i", **whose, "book_id": BOOK, "status": "'notified'", "created_at": time}
        sold = {"book_id": BOOK, "title": "'b'", "price_cents": "950", "currency": "'EUR'", "quantity": "1"}
        came = {"id": "2 * i - 1", "delta": "1", "quantity_after": "1", "reason": "'received'"}
        went = {"id": "2 * i", "delta": "-1", "quantity_after": "0", "reason": "'sale'", "order_id": "i"}
        return [
            self._each("orders", **order, delivery="'collect'", name="'Ada'", name_key="'ada'", **done),
            self._each("movements", **came, **movement),
            self._each("movements", **went, **movement),
            self._each("prebookings", **reserved, notified_at=time, movement_id="2 * i - 1"),
            self._each("order_lines", id="i", order_id="i", **sold, prebooking_id="i"),
        ]

    def _message(self, number: int, kind: str, subject: str) -> str:
        columns = {
            "id": f"{len(MESSAGES)} * (i - 1) + {number}",
            "kind": f"'{kind}'",
            "bulk": "1 = 0" if not self.is_sqlite else "0",
            "user_id": CUSTOMER,
            subject: "i",
            "recipient": f"'c' || ({CUSTOMER}) || '@example.com'",
            "dedupe_key": f"'{kind}:' || i",
            "message_id": f"'<{kind}.' || i || '@localhost>'",
            "state": "'sent'",
            "attempts": "1",
            **dict.fromkeys(("next_attempt_at", "created_at", "sent_at"), self.time),
        }
        return self._each("messages", **columns)

    def _event(self, number: int, kind: str, subject: str, subject_id: str) -> str:
        position = f"{len(EVENTS)} * (i - 1) + {number}"
        columns = {"id": position, "position": position, "kind": f"'{kind}'", subject: subject_id}
        return self._each("events", **columns, created_at=self.time)

    def _webhook(self) -> list[str]:
        last = self.cycles * len(EVENTS)
        webhook = {"url": "'https://1.1.1.1/'", "kinds": "'order.placed'", "secret": "'x'", "user_id": str(OWNER)}
        return [
            self._insert("webhooks", 1, **webhook, position=str(last), misses="0", created_at=self.time),
            "INSERT INTO webhook_deliveries (webhook_id, event_id, state, attempts, next_attempt_at, queued_at,"
            " delivered_at) SELECT 1, id, 'delivered', 1, created_at, created_at, created_at FROM events ORDER BY id",
        ]

    def _what_expires(self) -> list[str]:
        key, whose = {"key": "'k' || i"}, {"user_id": CUSTOMER, "created_at": self.time}
        address = {"email_key": "'a' || i || '@example.com'", "browser": "''"}
        link = {"purpose": "'login'", "email": "'a'", **address, "next": "'/'", "nonce": "''", "token_hash": "'r' || i"}
        action = {**address, "kind": "'reserve'", "book_id": BOOK, "details": "'{}'"}
        token = {"name": "'till'", "token_hash": "'t' || i", "scopes": "''", "revoked_at": self.time}
        return [
            self._each("login_sessions", id="'l' || i", **whose),
            self._each("login_links", **link, created_at=self.time),
            self._each("link_actions", **action, created_at=self.time),
            self._each("api_tokens", **whose, **token),
            self._each("idempotency_records", **whose, **key, fingerprint="'f'", status="200", body="'{}'"),
            self._each("sent_forms", **whose, **key, answer="'[\"/\"]'"),
            self._each("attempts", **key, count="1", until=self.time, forget_at=self.time),
            self._each("audit_entries", **whose, action="'book.edited'", subject_id=BOOK),
        ]

    @staticmethod
    def _sequences() -> str:
        return "SELECT " + ", ".join(
            f"setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))" for table in BY_ID
        )
