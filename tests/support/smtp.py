"""A real mail server for tests, which can be told to fail in every way that mail servers fail."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from typing import Any, NamedTuple

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from flask import Flask
from sqlalchemy import insert, select

from bookshop.extensions import db
from bookshop.kit.outbox import WorkerTiming
from bookshop.mail.models import Message
from bookshop.mailer.worker import MailWorker
from bookshop.prebookings.models import PreBook
from tests.support.factories import Shop
from tests.support.races import insert_customers

HOST = "127.0.0.1"
DROP, SLOW, STUTTER, SHIFTED = "drop", "slow", "stutter", "shifted"
CONNECT, MAIL, RCPT, DATA, BODY, AFTER = "CONNECT", "MAIL", "RCPT", "DATA", "BODY", "AFTER"
FAST = WorkerTiming(batch=20, timeout=10, lease=600, poll=0.01, pause=0.01, longest_pause=0.02)


class Fault(NamedTuple):
    """What the server does wrong at one point of the conversation: a reply, or one of the words above."""

    at: str
    does: str


class Received(NamedTuple):
    """A message that the server has read completely, whatever it replied."""

    recipient: str
    message_id: str
    content: bytes


class _Session(SMTP):
    """One connection to the server."""

    transport: Any

    async def _handle_client(self) -> None:
        self.event_handler.connections += 1
        if not await self._fails(CONNECT):
            await super()._handle_client()

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._fails(MAIL):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        recipient = (arg or "").partition("<")[2].rstrip(">")
        if recipient in self.event_handler.unknown:
            await self.push("550 No such user here")
        elif not await self._fails(RCPT):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        if not await self._fails(DATA):
            await super().smtp_DATA(arg)
            await self._fails(AFTER)

    async def push(self, status: Any) -> None:
        if status and not self.transport.is_closing():
            await super().push(status)
            if str(status).startswith("421"):
                self.transport.close()

    async def _fails(self, at: str) -> bool:
        """Carry out the fault for this point; return whether the normal reply is replaced by it."""
        fault = self.event_handler.fault
        if fault is None or fault.at != at:
            return False
        if fault.does == SHIFTED:
            await self.push("250 Not requested")
            return False
        await self._misbehave(fault.does)
        return True

    async def _misbehave(self, does: str) -> None:
        if does == DROP:
            self.transport.close()
        elif does == SLOW:
            await self._keep_waiting(b"")
        elif does == STUTTER:
            await self._keep_waiting(b"2")
        else:
            await self.push(does)

    async def _keep_waiting(self, drip: bytes) -> None:
        """Send only these bytes repeatedly until the client disconnects or the fault is over."""
        self.event_handler.hangs.set()
        while self.event_handler.fault and not self.transport.is_closing():
            self.transport.write(drip)
            await asyncio.sleep(0.005)
        self.transport.close()


class SmtpServer(Controller):
    """A mail server on a free local port: what it received, and its current fault.

    `on_message` is called, in the server's thread, with every message before the server acknowledges it.
    """

    def __init__(self, on_message: Callable[[Received], Any] | None = None, **options: Any) -> None:
        self.fault: Fault | None = None
        self.unknown: set[str] = set()
        self.received: list[Received] = []
        self.connections = 0
        self.on_message = on_message
        self.hangs = threading.Event()
        self.socket = socket.create_server((HOST, 0))
        super().__init__(self, HOST, self.socket.getsockname()[1], **options)

    def factory(self) -> SMTP:
        return _Session(self, **self.SMTP_kwargs)

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self.socket, ssl=self.ssl_context)

    async def handle_DATA(self, session: _Session, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Receive a complete message; called by aiosmtpd."""
        if self.fault and self.fault.at == BODY and self.fault.does[0].isdigit():
            return self.fault.does
        message_id = str(message_from_bytes(envelope.content)["Message-ID"])
        message = Received(envelope.rcpt_tos[0], message_id, envelope.content)
        if self.on_message:
            self.on_message(message)
        self.received.append(message)
        return "" if await session._fails(BODY) else "250 OK"

    @property
    def url(self) -> str:
        return f"smtp://{HOST}:{self.port}"

    @property
    def count_by_id(self) -> Counter[str]:
        """The number of times each Message-ID was received."""
        return Counter(one.message_id for one in self.received)

    @property
    def recipients(self) -> Counter[str]:
        """The number of messages to each recipient."""
        return Counter(one.recipient for one in self.received)

    def __enter__(self) -> "SmtpServer":
        self.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self.stop()


class MailQueue:
    """The shop's e-mail outbox: queues alerts, runs workers and reads the messages."""

    def __init__(self, app: Flask, smtp_server: SmtpServer, patch: pytest.MonkeyPatch) -> None:
        self.app, self.shop, self.smtp_server, self.patch = app, Shop(app), smtp_server, patch
        self.shop.describe(mail_delay=0)
        self.use(smtp_server.url)

    def use(self, url: str) -> None:
        """Send through this mail server from now on."""
        changes = {"smtp_url": url}
        self.patch.setitem(self.app.config, "SETTINGS", self.app.config["SETTINGS"].model_copy(update=changes))

    def queue(self, number: int) -> list[str]:
        """Queue alerts: let this many customers wait for a book and restock it; return their addresses."""
        book_id = book_with_waiting_customers(self.shop, number)
        return self.shop.set_stock(book_id, 1)

    def run_worker(self, timing: WorkerTiming = FAST, worker: MailWorker | None = None) -> MailWorker:
        """Let a worker attempt everything that is due."""
        worker = worker or MailWorker(timing)
        with self.app.app_context():
            while not worker.stopping and worker.send_batch() is not None:
                pass
        return worker

    def make_all_due(self) -> None:
        """Make all queued messages due."""
        self.shop.execute("UPDATE messages SET next_attempt_at = created_at WHERE state = 'queued'")

    def messages(self) -> list[Message]:
        """Return all messages in the outbox."""
        with self.app.app_context():
            return list(db.session.scalars(select(Message).order_by(Message.id)))

    def states(self) -> Counter[str]:
        """Count the messages in each state."""
        return Counter(message.state for message in self.messages())


def book_with_waiting_customers(shop: Shop, number: int) -> int:
    """Create a book with this many waiting customers; return its id."""
    book_id, customers = shop.book(), insert_customers(shop, number)
    with shop.app.app_context():
        db.session.execute(insert(PreBook), [{"user_id": user_id, "book_id": book_id} for user_id in customers])
        db.session.commit()
    return book_id


@contextmanager
def closed_port() -> Iterator[str]:
    """Yield the address of a mail server that is down: its port is reserved but not listening."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield f"smtp://{HOST}:{taken.getsockname()[1]}"
