"""A real HTTPS webhook receiver for tests, which can be told to fail in every way that receivers fail."""

import json
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
import trustme
from flask import Flask
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier

from bookshop.extensions import db
from bookshop.feed.repository import FeedRepository
from bookshop.kit.outbox import WorkerTiming
from bookshop.web import services
from bookshop.webhooks.models import Delivery, Webhook
from bookshop.webhooks.worker import WebhookWorker
from tests.support.factories import Shop

HOST, NAME = "127.0.0.1", "hooks.example.com"
HANG, HANG_IN_TLS, DRIP, DROP = "hang", "hang in TLS", "drip", "drop"
FAST = WorkerTiming(batch=10, timeout=10, lease=600, poll=0.01, pause=0.01, longest_pause=0.02)
IMPATIENT = WorkerTiming(batch=10, timeout=0.7, lease=600, poll=0.01, pause=0.01, longest_pause=0.02)
MAKE_ALL_DUE = (
    "UPDATE webhook_deliveries SET next_attempt_at = queued_at WHERE state = 'queued'",
    "UPDATE webhooks SET rests_until = created_at WHERE rests_until IS NOT NULL",
)


class Call(NamedTuple):
    """A request that the receiver has read completely, whatever it responded."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> int:
        """The event's id in the feed."""
        return int(json.loads(self.body)["data"]["id"])


class _Handler(BaseHTTPRequestHandler):
    """One connection to the receiver."""

    server: "Receiver"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.calls.append(call)
        self._respond(self.server.faults.get(call.event_id, self.server.fault))

    def do_GET(self) -> None:
        self.server.calls.append(Call(self.path, {}, b""))
        self._respond(200)

    def _respond(self, fault: Any) -> None:
        if fault == HANG:
            self.server.keep_waiting(lambda: None)
        elif fault == DRIP:
            self.server.keep_waiting(lambda: self.wfile.write(b"H"))
        elif fault == DROP:
            self.wfile.write(b"HTTP/1.1 2")
        else:
            self.send_response(fault)
            self.send_header("Location", self.server.location)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"secret")
            return
        self.close_connection = True

    def log_message(self, *_words: Any) -> None:
        """Log nothing."""


class Receiver(ThreadingHTTPServer):
    """A receiver on a free local port: the calls it got, and its current fault.

    `fault` is the status that it responds with, or one of the words above; `faults` are those for single events.
    """

    daemon_threads = True

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__((HOST, 0), _Handler)
        self.fault: Any = 200
        self.faults: dict[int, Any] = {}
        self.location = "https://127.0.0.1/elsewhere"
        self.calls: list[Call] = []
        self.connections = 0
        self.hangs = threading.Event()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", HOST, NAME).configure_cert(self.context)
        self._thread = threading.Thread(target=self.serve_forever, args=[0.05], daemon=True)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Start TLS in the connection's own thread, so that a hanging client blocks no other."""
        self.connections += 1
        if self.fault == HANG_IN_TLS:
            self.keep_waiting(lambda: None)
            return
        with suppress(OSError):
            encrypted = self.context.wrap_socket(request, server_side=True)
            super().finish_request(encrypted, client_address)
            encrypted.close()

    def keep_waiting(self, drip: Any) -> None:
        """Call `drip` repeatedly until the fault is over or the client disconnects."""
        self.hangs.set()
        fault = self.fault, dict(self.faults)
        with suppress(OSError):
            while (self.fault, self.faults) == fault:
                drip()
                time.sleep(0.01)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/hooks"

    @property
    def event_ids(self) -> list[int]:
        """The event ids of all calls, in the order of arrival."""
        return [call.event_id for call in self.calls]

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self.fault = 200
        self.faults = {}
        self.shutdown()
        self.server_close()


class Webhooks:
    """The shop's webhooks: registers them, creates events, runs workers and reads the outbox."""

    def __init__(self, app: Flask, patch: pytest.MonkeyPatch) -> None:
        self.app, self.shop, self.patch = app, Shop(app), patch
        self.staff = self.shop.staff()
        self.set(webhook_private=True)
        self.book: int | None = None

    def set(self, **changes: Any) -> None:
        """Change settings."""
        self.patch.setitem(self.app.config, "SETTINGS", self.app.config["SETTINGS"].model_copy(update=changes))

    def register(self, url: str, *kinds: str) -> int:
        """Register a webhook for these kinds or all; return its id."""
        with self.app.app_context():
            return services.register_webhook(self.staff, url, kinds or ["*"])

    def make_events(self, number: int) -> list[int]:
        """Change a book's stock this many times; return the event ids."""
        self.book = self.book or self.shop.book(stock=1)
        with self.app.app_context():
            services.assign_positions()
            before = services.repository(FeedRepository).last_position()
        for _time in range(number):
            self.shop.set_stock(self.book, self.shop.stock(self.book) + 1)
        return [*range(before + 1, before + 1 + number)]

    def run_worker(self, timing: WorkerTiming = FAST, worker: WebhookWorker | None = None) -> WebhookWorker:
        """Let a worker attempt everything that is due."""
        worker = worker or WebhookWorker(timing)
        with self.app.app_context():
            worker.run_once()
        return worker

    def make_all_due(self) -> None:
        """Make all waiting deliveries due."""
        for sql in MAKE_ALL_DUE:
            self.shop.execute(sql)

    def deliveries(self, webhook_id: int | None = None) -> list[Delivery]:
        """Return all deliveries in the outbox, or those of one webhook."""
        query = select(Delivery).order_by(Delivery.id)
        with self.app.app_context():
            if webhook_id is not None:
                query = query.where(Delivery.webhook_id == webhook_id)
            return list(db.session.scalars(query))

    def webhook(self, webhook_id: int) -> Webhook:
        """Return a webhook's current row."""
        with self.app.app_context():
            return services.webhooks().get(webhook_id)

    def states(self, webhook_id: int | None = None) -> Counter[str]:
        """Count the deliveries in each state."""
        return Counter(delivery.state for delivery in self.deliveries(webhook_id))

    def verify(self, webhook_id: int, call: Call) -> Any:
        """Verify a call with the library that receivers use; return its content."""
        return Verifier(self.webhook(webhook_id).secret).verify(call.body, call.headers)


@contextmanager
def closed_port() -> Any:
    """Yield the address of a receiver that is down: its port is reserved but not listening."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield f"https://localhost:{taken.getsockname()[1]}/hooks"
