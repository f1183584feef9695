"""Messages per second that one worker and four workers send to a mail server that accepts everything."""

import asyncio
import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import text

from bench.shop import SECRET_KEY, make_app
from bookshop.config import Settings
from bookshop.extensions import db
from tests.browser.server import environment

MESSAGES, ROUNDS, TARGET = 2000, 3, 300
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
FILL = (
    "INSERT INTO books (id, title, authors, price_cents, currency, stock_quantity, created_at, updated_at, title_key,"
    " main_title, search_title, search_authors, search_isbn)"
    " VALUES (1, 'Emma', 'Jane Austen', 990, 'EUR', 5, :day, :day, 'emma', 'emma', 'emma', 'jane austen', '')",
    "INSERT INTO movements (id, book_id, delta, quantity_after, reason, created_at)"
    " VALUES (1, 1, 5, 5, 'received', :day)",
    f"{NUMBERS} INSERT INTO users (id, email, email_key, password_hash, role, notified_seen, created_at,"
    " email_confirmed_at) SELECT i, 'c' || i || '@example.com', 'c' || i || '@example.com', '-', 'customer', 0, :day,"
    " :day FROM n",
    "INSERT INTO prebookings (user_id, book_id, status, created_at, notified_at, movement_id)"
    " SELECT id, 1, 'notified', :day, :day, 1 FROM users",
)
QUEUE = (
    "DELETE FROM messages",
    "INSERT INTO messages (kind, bulk, user_id, prebooking_id, recipient, dedupe_key, message_id, state, attempts,"
    " next_attempt_at, created_at) SELECT 'restock', true, u.id, p.id, u.email, 'restock:' || p.id,"
    " '<restock.' || p.id || '@localhost>', 'queued', 0, :day, :day FROM prebookings p JOIN users u"
    " ON u.id = p.user_id",
)
UNSENT = text("SELECT count(*) FROM messages WHERE state IN ('queued', 'sending')")
WORKER = """
from bookshop import create_app
from bookshop.mailer.worker import MailWorker
from bookshop.kit.outbox import WorkerTiming
with create_app().app_context():
    worker = MailWorker(WorkerTiming(poll=0.02))
    worker.stop_on_signals()
    worker.run()
"""
GREETING, SEND_DATA, BYE, OK = b"220 sink\r\n", b"354 go ahead\r\n", b"221 bye\r\n", b"250 OK\r\n"
REPLIES = {b"DATA": SEND_DATA, b"QUIT": BYE}
END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """A mail server that accepts every message and stores none."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the greeting."""
        self.transport, self.data, self.body = transport, b"", False  # type: ignore[assignment]
        self.transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Reply to each command, and to the end of each message."""
        self.data += data
        while (end := END if self.body else b"\r\n") in self.data:
            line, _end, self.data = self.data.partition(end)
            reply = OK if self.body else REPLIES.get(line[:4].upper(), OK)
            self.body = reply is SEND_DATA
            self.transport.write(reply)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


def _sink(port: int) -> None:
    asyncio.run(_serve(port))


@contextmanager
def sink() -> Iterator[int]:
    """Run the mail server in its own process and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=_sink, args=(port,), daemon=True)
    process.start()
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.05)
    try:
        yield port
    finally:
        process.terminate()


def run(url: str) -> None:
    """Print the rates on both databases."""
    print(f"mail: {MESSAGES} restock alerts to a local mail server (medians of {ROUNDS} rounds)")
    with TemporaryDirectory() as folder, sink() as port:
        for name, database in (("PostgreSQL", url), ("SQLite", f"sqlite:///{folder}/shop")):
            one, four = (_rates(_settings(database, port, workers), workers) for workers in (1, 4))
            print(f"  {name}: one worker {one:.0f}/s (target {TARGET}), four {four:.0f}/s, {four / one:.2f} times")


def _settings(url: str, port: int, workers: int) -> Settings:
    """Return the shop's settings; on SQLite each measurement has its own file."""
    database_url = f"{url}{workers}.db" if url.startswith("sqlite") else url
    return Settings(secret_key=SECRET_KEY, database_url=database_url, smtp_url=f"smtp://127.0.0.1:{port}")


def _rates(settings: Settings, workers: int) -> float:
    """Return the median number of messages per second with this number of workers."""
    with make_app(settings.database_url).app_context():
        _execute(*FILL, "ANALYZE")
        processes = [
            subprocess.Popen([sys.executable, "-c", WORKER], env=environment(settings)) for _worker in range(workers)
        ]
        try:
            time.sleep(3)  # until all workers poll for messages
            return median([_rate() for _round in range(ROUNDS)])
        finally:
            for process in processes:
                process.terminate()
                process.wait()
            db.engine.dispose()


def _rate() -> float:
    """Queue all messages at once and wait until they are sent; returns the messages per second."""
    _execute(*QUEUE)
    started, left = time.perf_counter(), MESSAGES
    while left:
        time.sleep(0.02)
        with db.engine.connect() as connection:
            left = connection.scalar(UNSENT) or 0
    return MESSAGES / (time.perf_counter() - started)


def _execute(*statements: str) -> None:
    with db.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), {"day": "2026-01-01"} if ":day" in statement else {})
