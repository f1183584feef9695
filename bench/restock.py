"""The time of a restock with many waiting customers, until their e-mails are queued, compared with SQL by hand."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psycopg
from flask import Flask
from sqlalchemy import text

from bench.shop import WAITING, analyze, fill, make_app
from bookshop.extensions import db
from bookshop.inventory.service import StockChange
from bookshop.web import services

SIZES = {100: 30, 10_000: 12, 100_000: 5}  # customers waiting -> rounds
BOOK = 1
UPDATE_BOOK = "UPDATE books SET stock_quantity = 5, updated_at = now() WHERE id = %s"
NOTIFY = (
    "UPDATE prebookings SET status = 'notified', notified_at = now(), movement_id = %s FROM users"
    " WHERE users.id = prebookings.user_id AND book_id = %s AND status = 'waiting' RETURNING users.email"
)
QUEUE = (
    "INSERT INTO messages (kind, bulk, user_id, prebooking_id, recipient, dedupe_key, message_id, state, attempts,"
    " next_attempt_at, created_at) SELECT 'restock', true, users.id, prebookings.id, users.email,"
    " 'restock:' || prebookings.id, '<restock.' || prebookings.id || '.0123456789abcdef@localhost>', 'queued', 0,"
    " now() + interval '60 s', now() FROM prebookings JOIN users ON users.id = prebookings.user_id"
    " WHERE movement_id = %s AND status = 'notified'"
)
RESTOCK_EVENTS = (
    "INSERT INTO events (kind, movement_id, created_at)"
    " SELECT kind, %s, now() FROM unnest(ARRAY['stock.changed', 'book.restocked']) AS kind"
)
NOTIFIED_EVENTS = (
    "INSERT INTO events (kind, prebooking_id, created_at) SELECT 'prebooking.notified', id, now() FROM prebookings"
    " WHERE movement_id = %s AND status = 'notified' ORDER BY id"
)


def run(url: str) -> None:
    """Print both times for each number of customers, and the memory that the largest takes."""
    app = make_app(url)
    print(
        "restock: stock change, notification and queued e-mails, until the commit (medians), and the same SQL by hand"
    )
    with app.app_context():
        fill(users=max(SIZES), books=1)
        for waiting, rounds in SIZES.items():
            measure(waiting, rounds)
        _reset(max(SIZES))
        url = db.engine.url.render_as_string(hide_password=False)
    sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "bench.restock", url], check=True)


def measure(waiting: int, rounds: int) -> None:
    """Time the service and the SQL by hand in turn, each round with new rows, and print the medians."""
    ours, by_hand = [], []
    for _round in range(rounds):
        ours.append(_timed(waiting, _by_service))
        by_hand.append(_timed(waiting, _by_hand))
    ratio = median(ours) / median(by_hand)
    print(f"  {waiting:>7} waiting: {median(ours):7.3f} s, by hand {median(by_hand):7.3f} s, ratio {ratio:.2f}")


def _timed(waiting: int, restock: Callable[[], int]) -> float:
    _reset(waiting)
    started = time.perf_counter()
    notified = restock()
    seconds = time.perf_counter() - started
    if notified != waiting:
        raise RuntimeError(f"{notified} of {waiting} were notified")
    return seconds


def _reset(waiting: int) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("TRUNCATE prebookings, movements, messages CASCADE"))
        connection.execute(text("UPDATE books SET stock_quantity = 0"))
        connection.execute(WAITING, {"book": BOOK, "count": waiting})
    analyze()


def _by_service() -> int:
    change = StockChange(book_id=BOOK, quantity=5)
    return len(services.commit(lambda: services.shelf().update_stock(change)).notified)


def _by_hand() -> int:
    with db.engine.begin() as connection:
        movement_id = connection.scalar(
            text(
                "INSERT INTO movements (book_id, delta, quantity_after, reason, created_at)"
                " VALUES (:book, 5, 5, 'received', now()) RETURNING id"
            ),
            {"book": BOOK},
        )
        driver: psycopg.Connection[tuple[str]] = connection.connection.driver_connection  # type: ignore[assignment]
        driver.execute(UPDATE_BOOK, [BOOK])
        driver.execute(RESTOCK_EVENTS, [movement_id])
        notified = driver.execute(NOTIFY, [movement_id, BOOK]).fetchall()
        driver.execute(NOTIFIED_EVENTS, [movement_id])
        driver.execute(QUEUE, [movement_id])
        return len(notified)


def memory(app: Flask) -> None:
    """Print the peak memory of a restock; run it in a new process."""
    with app.app_context():
        before = _peak_mb()
        notified = _by_service()
    print(f"  memory with {notified} waiting: peak {_peak_mb():.0f} MB, {before:.0f} MB of it before the restock")


def _peak_mb() -> float:
    """Return the peak resident memory of this process (Linux; getrusage would include its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    from bench.shop import SECRET_KEY
    from bookshop import create_app
    from bookshop.config import Settings

    memory(create_app(Settings(secret_key=SECRET_KEY, database_url=sys.argv[1])))
