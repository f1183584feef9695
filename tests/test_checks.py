"""What `flask check` finds in rows corrupted by hand: every invariant, on both databases."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from bookshop.accounts.login_links import LinkRequest
from bookshop.checks import INVARIANTS, broken_invariants
from bookshop.extensions import db
from bookshop.kit.database import is_sqlite
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker
from tests.support.databases import empty
from tests.support.factories import Shop


@pytest.fixture(scope="module")
def filled_shop(shared_app):
    """A shop in which everything happened once: book 1 was restocked, book 2 has waiting and cancelled reservations.

    Ada's first order is cancelled, her second and last are placed, one is ready; Ben has collected his, the third.
    One shop for all cases, as none of them changes it.
    """
    empty(shared_app)
    shop = Shop(shared_app)
    ada, ben = shop.customers(2)
    for _ in range(3):
        shop.book()
    shop.reserve(ada, 1)
    shop.set_stock(1, 5)
    shop.set_stock(1, 2)
    shop.cancel(ada, shop.reserve(ada, 2))
    shop.reserve(ada, 2)
    shop.reserve(ben, 2)
    order_books_4_and_5(shop, ada, ben)
    return shop


def order_books_4_and_5(shop, ada, ben):
    staff, wanted, other = shop.staff(), shop.book(), shop.book(stock=3)
    shop.reserve(ada, wanted)
    shop.set_stock(wanted, 9)
    shop.cancel_order(ada, shop.order(ada, {wanted: 1}))
    shop.order(ada, {wanted: 2, other: 1})
    collected, ready = shop.order(ben, {wanted: 1}), shop.order(ada, {other: 1})
    for order_id, status in ((collected, "ready"), (collected, "collected"), (ready, "ready")):
        shop.change_order(order_id, status, staff)
    shop.order(ada, {wanted: 1})
    shop.fill_cart(ada, {wanted: 1})
    queue_deliveries(shop, staff)
    shop.commit(lambda: services.login_links().request(LinkRequest("cleo@example.com")))


def queue_deliveries(shop, staff):
    """Queue two deliveries, of a stock change and of a restock."""
    with shop.app.app_context():
        services.register_webhook(staff, "https://1.1.1.1/hooks", ["*"])
    shop.set_stock(3, 4)
    with shop.app.app_context():
        WebhookWorker().queue_new()


# The same line of the ledger again.
AGAIN = (
    "INSERT INTO movements (book_id, delta, quantity_after, reason, order_id, created_at) "
    "SELECT book_id, delta, quantity_after + delta, reason, order_id, created_at FROM movements WHERE id = {}"
)
ALERT = "WHERE kind = 'restock' AND prebooking_id = 1"
PLACED = "WHERE kind = 'order_placed' AND order_id = 1"
COLUMNS = "kind, bulk, user_id, prebooking_id, recipient, message_id, state, attempts, next_attempt_at, created_at"
# A row corrupted by hand, the topic of the broken invariant, and the message.
UNUSED_LINK = "INSERT INTO login_sessions (id, user_id, created_at, link_id) VALUES ('x', 1, '2026-01-01', 1)"
BROKEN = [
    ("waiting", "UPDATE books SET stock_quantity = 1 WHERE id = 2", "is waiting, but book 2 has 1 in stock"),
    ("waiting", "UPDATE books SET withdrawn_at = created_at WHERE id = 2", "is waiting, but book 2 is withdrawn"),
    ("waiting", "UPDATE users SET deactivated_at = created_at WHERE id = 2", "is waiting, but user 2 is deactivated"),
    ("waiting", "UPDATE prebookings SET book_id = 99 WHERE id = 1", "names a book or user that does not exist"),
    ("waiting", "UPDATE prebookings SET user_id = 99 WHERE id = 2", "names a book or user that does not exist"),
    ("waiting", "UPDATE prebookings SET user_id = 1 WHERE id = 4", "user 1 has 2 waiting pre-bookings for book 2"),
    ("status", "UPDATE prebookings SET status = 'lost' WHERE id = 3", "pre-booking 3 is lost"),
    ("status", "UPDATE prebookings SET status = 'cancelled' WHERE id = 3", "pre-booking 3 is cancelled"),
    ("status", "UPDATE prebookings SET status = 'waiting' WHERE id = 2", "pre-booking 2 is waiting"),
    ("status", "UPDATE prebookings SET notified_at = created_at WHERE id = 3", "pre-booking 3 is waiting"),
    ("status", "UPDATE prebookings SET notified_at = NULL WHERE id = 1", "pre-booking 1 is notified"),
    ("status", "UPDATE prebookings SET cancelled_at = NULL WHERE id = 2", "pre-booking 2 is cancelled"),
    ("status", "UPDATE prebookings SET cancelled_at = created_at WHERE id = 1", "pre-booking 1 is notified"),
    ("stock", "DELETE FROM books WHERE id = 1", "names a book or user that does not exist"),
    ("stock", "UPDATE movements SET user_id = 99 WHERE id = 1", "names a book or user that does not exist"),
    ("stock", "UPDATE movements SET reason = 'theft' WHERE id = 1", "an unknown reason"),
    ("stock", "UPDATE books SET stock_quantity = -1 WHERE id = 3", "book 3 has a stock of -1"),
    ("stock", "UPDATE books SET stock_quantity = 3 WHERE id = 1", "stock of 3, but its movements add up to 2"),
    ("stock", "DELETE FROM movements WHERE id = 2", "stock of 2, but its movements add up to 5"),
    ("stock", "UPDATE movements SET delta = delta - 1", "movement 1 leaves a stock of 5, but the movements up to it"),
    ("stock", "UPDATE movements SET quantity_after = 4 WHERE id = 1", "movement 1 leaves a stock of 4"),
    ("notified", "UPDATE prebookings SET movement_id = NULL WHERE id = 1", "is notified and names no movement"),
    ("notified", "UPDATE prebookings SET movement_id = 2 WHERE id = 1", "is notified and names movement 2"),
    ("notified", "UPDATE prebookings SET movement_id = 99 WHERE id = 1", "is notified and names movement 99"),
    ("notified", "UPDATE prebookings SET movement_id = 1 WHERE id = 3", "is waiting and names movement 1"),
    ("notified", "UPDATE prebookings SET book_id = 3 WHERE id = 1", "is notified and names movement 1"),
    ("orders", "DELETE FROM movements WHERE id = 8", "sells 1 of book 5, but the ledger has no sale for it"),
    ("orders", "UPDATE movements SET order_id = NULL WHERE id = 8", "sells 1 of book 5, but the ledger has no sale"),
    ("orders", "UPDATE movements SET delta = -3 WHERE id = 7", "sells 2 of book 4, but the ledger has a sale of 3"),
    ("orders", "UPDATE order_lines SET quantity = 5 WHERE id = 2", "sells 5 of book 4, but the ledger has a sale of 2"),
    ("orders", AGAIN.format(9), "sells 1 of book 4, but the ledger has a sale of 2"),
    (
        "orders",
        "DELETE FROM order_lines WHERE id = 3",
        "movement 8 is a sale of book 5 for order 2, which has no such line",
    ),
    (
        "orders",
        "UPDATE movements SET order_id = 3 WHERE id = 8",
        "movement 8 is a sale of book 5 for order 3, which has no",
    ),
    (
        "orders",
        "UPDATE movements SET order_id = 99 WHERE id = 8",
        "movement 8 is a sale of book 5 for order 99, which has no",
    ),
    (
        "orders",
        "UPDATE movements SET order_id = 2 WHERE id = 3",
        "movement 3 is a received of book 5 for order 2, which has",
    ),
    ("orders", "DELETE FROM movements WHERE id = 6", "is cancelled and sold 1 of book 4, but returned 0"),
    ("orders", "UPDATE movements SET delta = 2 WHERE id = 6", "is cancelled and sold 1 of book 4, but returned 2"),
    ("orders", AGAIN.format(6), "is cancelled and sold 1 of book 4, but returned 2"),
    (
        "orders",
        "UPDATE orders SET status = 'cancelled' WHERE id = 2",
        "is cancelled and sold 2 of book 4, but returned 0",
    ),
    ("orders", "UPDATE orders SET status = 'ready' WHERE id = 1", "is ready and sold 1 of book 4, but returned 1"),
    ("orders", "DELETE FROM order_lines WHERE order_id = 3", "has no line"),
    ("orders", "DELETE FROM orders WHERE id = 3", "line 4 names an order or book that does not exist"),
    ("orders", "DELETE FROM books WHERE id = 5", "line 3 names an order or book that does not exist"),
    ("orders", "UPDATE orders SET user_id = 99 WHERE id = 3", "has a customer who does not exist"),
    ("orders", "UPDATE cart_items SET book_id = 99", "holds book 99, one of which does not exist"),
    ("status", "UPDATE orders SET delivery = 'drone' WHERE id = 2", "delivery or postage is not valid"),
    (
        "returns",
        "INSERT INTO returns (id, order_id, name, created_at) VALUES (1, 2, 'Ada', '2026-01-01')",
        "return 1 is of order 2, which is missing or not by post",
    ),
    ("status", "UPDATE orders SET postage_cents = 350 WHERE id = 2", "delivery or postage is not valid"),
    ("status", "UPDATE orders SET status = 'lost' WHERE id = 2", "is lost, which does not match its timestamps"),
    ("status", "UPDATE orders SET ready_at = created_at WHERE id = 2", "is placed, which does not match"),
    ("status", "UPDATE orders SET ready_at = NULL WHERE id = 4", "is ready, which does not match"),
    ("status", "UPDATE orders SET collected_at = created_at WHERE id = 4", "is ready, which does not match"),
    ("status", "UPDATE orders SET ready_at = NULL WHERE id = 3", "is collected, which does not match"),
    ("status", "UPDATE orders SET collected_at = NULL WHERE id = 3", "is collected, which does not match"),
    ("status", "UPDATE orders SET cancelled_at = created_at WHERE id = 3", "is collected, which does not match"),
    ("status", "UPDATE orders SET cancelled_at = NULL WHERE id = 1", "is cancelled, which does not match"),
    (
        "bought",
        "UPDATE order_lines SET prebooking_id = 99 WHERE id = 3",
        "names pre-booking 99, which is not a notified",
    ),
    (
        "bought",
        "UPDATE order_lines SET prebooking_id = 5 WHERE id = 3",
        "names pre-booking 5, which is not a notified one",
    ),
    (
        "bought",
        "UPDATE order_lines SET prebooking_id = 5 WHERE id = 4",
        "names pre-booking 5, which is not a notified one",
    ),
    (
        "bought",
        "UPDATE prebookings SET status = 'waiting' WHERE id = 5",
        "names pre-booking 5, which is not a notified one",
    ),
    ("bought", "UPDATE order_lines SET prebooking_id = 5 WHERE id = 6", "pre-booking 5 is bought by 2 orders"),
    ("accounts", "UPDATE users SET email_confirmed_at = NULL", "user 1 has an address that is not confirmed"),
    ("accounts", UNUSED_LINK, "link 1 made 1 logins, or was not used"),
    ("messages", f"DELETE FROM messages {ALERT}", "pre-booking 1 is notified, but has no restock message"),
    (
        "messages",
        f"UPDATE messages SET prebooking_id = NULL {ALERT}",
        "pre-booking 1 is notified, but has no restock message",
    ),
    ("messages", f"UPDATE messages SET kind = 'confirmation' {ALERT}", "pre-booking 1 is notified, but has no restock"),
    ("messages", f"UPDATE messages SET prebooking_id = 2 {ALERT}", "names pre-booking 2, which is cancelled"),
    ("messages", f"UPDATE messages SET prebooking_id = 3 {ALERT}", "names pre-booking 3, which is waiting"),
    ("messages", f"UPDATE messages SET prebooking_id = 99 {ALERT}", "names pre-booking 99, which is missing"),
    ("messages", "UPDATE prebookings SET status = 'waiting' WHERE id = 1", "names pre-booking 1, which is waiting"),
    (
        "messages",
        f"UPDATE messages SET user_id = 2 {ALERT}",
        "names pre-booking 1, which is notified and of another user",
    ),
    (
        "messages",
        f"INSERT INTO messages ({COLUMNS}, dedupe_key) SELECT {COLUMNS}, 'again' FROM messages {ALERT}",
        "pre-booking 1 has 2 restock messages",
    ),
    (
        "messages",
        f"UPDATE messages SET state = 'suppressed', reason = 'gone' {ALERT}",
        "is stopped as gone, but book 1 is on sale with 2 in stock",
    ),
    (
        "messages",
        f"UPDATE messages SET state = 'suppressed' {ALERT}",
        "which does not match its lease, its timestamps, its",
    ),
    (
        "messages",
        f"UPDATE messages SET dedupe_key = 'x' {ALERT}",
        "of kind restock has the key x",
    ),
    (
        "messages",
        f"UPDATE messages SET kind = 'advertisement', prebooking_id = NULL {ALERT}",
        "of kind advertisement has the key",
    ),
    ("messages", f"UPDATE messages SET attempts = -1 {ALERT}", "and -1 attempts, which is not valid"),
    ("messages", "UPDATE users SET deleted_at = created_at", "has the address of user 1, whose account is deleted"),
    ("messages", f"UPDATE messages SET state = 'lost' {ALERT}", "is lost, which does not match its lease"),
    ("messages", f"UPDATE messages SET state = 'sending' {ALERT}", "is sending, which does not match its lease"),
    ("messages", f"UPDATE messages SET lease = 'a worker' {ALERT}", "is queued, which does not match its lease"),
    (
        "messages",
        f"UPDATE messages SET state = 'sent' {ALERT}",
        "is sent, which does not match its lease, its timestamps",
    ),
    ("messages", f"UPDATE messages SET sent_at = created_at {ALERT}", "is queued, which does not match its lease"),
    (
        "messages",
        f"UPDATE messages SET order_id = 1 {ALERT}",
        "is queued, which does not match its lease, its timestamps",
    ),
    ("messages", f"UPDATE messages SET prebooking_id = 1 {PLACED}", "is queued, which does not match its lease"),
    ("messages", f"UPDATE messages SET order_id = NULL {PLACED}", "is queued, which does not match its lease"),
    (
        "messages",
        f"UPDATE messages SET order_id = 99 {PLACED}",
        "names a user who does not exist, or an order that is not",
    ),
    (
        "messages",
        f"UPDATE messages SET order_id = 3 {PLACED}",
        "names a user who does not exist, or an order that is not",
    ),
    (
        "messages",
        f"UPDATE messages SET user_id = 99 {PLACED}",
        "names a user who does not exist, or an order that is not",
    ),
    ("events", "UPDATE events SET kind = 'rumour' WHERE id = 1", "is of kind rumour, which does not match"),
    ("events", "UPDATE events SET kind = 'order.ready' WHERE kind = 'stock.changed'", "is of kind order.ready, which"),
    ("events", "UPDATE events SET order_id = 99 WHERE kind = 'order.ready'", "is of kind order.ready, which"),
    ("events", "UPDATE events SET order_id = 1 WHERE kind = 'stock.changed'", "is of kind stock.changed, which"),
    ("events", "DELETE FROM events WHERE position = 3", "the event at position 4 follows position 2"),
    ("events", "UPDATE events SET position = 0 WHERE position = 1", "the event at position 0 follows position 0"),
    (
        "events",
        "INSERT INTO events (kind, order_id, created_at) SELECT kind, order_id, created_at FROM events WHERE "
        "kind = 'order.placed' AND order_id = 1",
        "2 events record order.placed of order 1",
    ),
    ("events", "DELETE FROM events WHERE movement_id = 2", "movement 2 has no event"),
    (
        "events",
        "DELETE FROM events WHERE kind = 'book.restocked'",
        "movement 1 and its event book.restocked do not match",
    ),
    (
        "events",
        "DELETE FROM events WHERE kind = 'prebooking.notified'",
        "pre-booking 1 is notified, but its events do not",
    ),
    (
        "events",
        "DELETE FROM events WHERE kind = 'prebooking.cancelled'",
        "pre-booking 2 is cancelled, but its events do",
    ),
    (
        "events",
        "UPDATE events SET prebooking_id = 3 WHERE kind = 'prebooking.notified'",
        "3 is waiting, but its events do",
    ),
    *[
        ("events", f"DELETE FROM events WHERE kind = 'order.{status}'", f"is {status}, but its events do not say so")
        for status in ("ready", "collected", "cancelled")
    ],
    ("webhooks", "UPDATE webhook_deliveries SET state = 'lost'", "is lost, which does not match its lease"),
    ("webhooks", "UPDATE webhook_deliveries SET lease = 'x'", "is queued, which does not match its lease"),
    ("webhooks", "UPDATE webhook_deliveries SET state = 'delivered'", "is delivered, which does not match its lease"),
    ("webhooks", "UPDATE webhook_deliveries SET webhook_id = 9", "of webhook 9 is queued, which does not match"),
    ("webhooks", "UPDATE webhooks SET position = 0", "delivery 1 of webhook 1 is queued, which does not match"),
]


@contextmanager
def without_constraints(app: Flask) -> Iterator[Session]:
    """Open a transaction without the schema's constraints; it is rolled back at the end."""
    with app.app_context():
        session = db.session()
        try:
            _drop_constraints(session)
            yield session
        finally:
            if is_sqlite(session):
                session.execute(text("PRAGMA ignore_check_constraints = OFF"))
            session.rollback()


def _drop_constraints(session: Session) -> None:
    if is_sqlite(session):
        session.execute(text("PRAGMA ignore_check_constraints = ON"))
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
    else:
        named = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype IN ('c', 'f')"
        for table, name in session.execute(text(f"{named} AND connamespace = 'public'::regnamespace")).all():
            session.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    for index in ("uq_prebookings_waiting", "uq_movements_order"):
        session.execute(text(f"DROP INDEX {index}"))


def lines_after(session, sql):
    """Return the check's output after this statement, which is rolled back."""
    undo = session.begin_nested()
    session.execute(text(sql))
    lines = list(broken_invariants(session))
    undo.rollback()
    return lines


def test_check_finds_every_row_that_breaks_an_invariant(filled_shop):
    with without_constraints(filled_shop.app) as session:
        results = [(*case, lines_after(session, case[1])) for case in BROKEN]
        assert list(broken_invariants(session)) == []
    missed = [
        sql
        for topic, sql, words, lines in results
        if not [line for line in lines if words in line and f"({topic}: " in line]
    ]
    assert missed == []
    found = " ".join(line for *_case, lines in results for line in lines)
    assert [invariant for invariant in INVARIANTS if f"({invariant})" not in found] == []
    assert filled_shop.broken() == []
