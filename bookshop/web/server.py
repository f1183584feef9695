"""A gunicorn worker that serves with waitress, so that slow clients cannot block other visitors.

gunicorn's own threads each read one request body, so 32 slow clients occupy 32 threads. waitress reads all connections
in one thread and passes a request to a worker thread once it is complete. gunicorn starts, monitors and stops the
processes.

When it stops, whatever clients have sent is answered: see `_finish`, and `ignore_before_close` in listening.py.
"""

import logging
import os
import sys
import time
from copy import copy
from typing import Any

from gunicorn.workers.base import Worker
from waitress import create_server, wasyncore
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.receiver import FixedStreamReceiver
from waitress.server import BaseWSGIServer
from waitress.task import WSGITask

from bookshop.kit import logs
from bookshop.web import metrics_files
from bookshop.web.listening import accept_again, has_waiting, ignore_before_close, ignore_new
from bookshop.web.uploads import BOOK_FILE_MAX, FORM_OVERHEAD, IMPORTS_PATH, MAX_BODY_READ

HEARTBEAT = 1.0  # the longest time, in seconds, between two heartbeats to gunicorn
CONNECTIONS = 900  # per process, which may usually open 1,024 files
HEADERS_MAX = 32 * 1024  # bytes
LINGER = 0.3  # seconds for which a server that stops reads open connections: clients do not know yet
FIRST_REQUEST = 1.0  # seconds for which it waits for the first request on a connection that it has just accepted
PATIENCE = 5.0  # seconds for which it accepts what waits, and waits for the rest of requests that have begun to arrive
FILTER_CHECK = 2.0  # seconds between two calls of accept_again
RESERVE = 1.0  # seconds before gunicorn's graceful timeout, after which it kills the process


class Task(WSGITask):  # type: ignore[misc]
    """A request; the last answer on each connection of a server that stops says that the connection ends."""

    def build_response_header(self) -> bytes:
        with self.channel.requests_lock:  # held while several requests that arrived together are added
            is_last = len(self.channel.requests) <= 1
        if self.channel.server.stopping and is_last:
            self.request.headers["CONNECTION"] = "close"  # as if the client had asked for it
        return bytes(super().build_response_header())


class Discarded(OverflowableBuffer):  # type: ignore[misc]
    """The body of a request that is too large: nothing of it is stored."""

    def append(self, part: bytes) -> None:
        """Drop a part of the body."""


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request. A file to import may be larger than any other body, and one that is too large gets an explanation.

    Browsers show it only when the whole body has been read, whose length `allow_uploads` refuses.
    """

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.path == IMPORTS_PATH and not self.chunked:
            self.adj: Any = copy(self.adj)
            self.adj.max_request_body_size = sys.maxsize
            if self.content_length > BOOK_FILE_MAX + FORM_OVERHEAD:
                self.body_rcv = FixedStreamReceiver(self.content_length, Discarded(0))


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection."""

    task_class = Task
    parser_class = Parser

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self.requests or self.total_outbufs_len)

    @property
    def is_expecting(self) -> bool:
        """Whether a request has begun to arrive, or will soon: whoever connects sends one."""
        is_new = self.last_activity == self.creation_time  # set together, and nothing has arrived since
        return self.request is not None or (is_new and time.time() - self.creation_time < FIRST_REQUEST)


class Buffering(Worker):  # type: ignore[misc]
    """Buffers whole requests, then serves them in `--threads` threads; answers what was sent before it stops."""

    def __init__(self, *arguments: Any) -> None:
        """Run in gunicorn's arbiter, before it forks this worker."""
        super().__init__(*arguments)
        self._checked = 0.0  # when the sockets were last made to accept again
        for listener in self.sockets:
            ignore_before_close(listener)

    @classmethod
    def setup(cls) -> None:
        """Prepare the arbiter: the metrics of its workers, and its own log. gunicorn calls this at start and reload."""
        metrics_files.prepare()
        if os.environ.get("BOOKSHOP_LOG_FORMAT") == "json":
            for handler in logging.getLogger("gunicorn.error").handlers:
                handler.setFormatter(logs.formatter("json"))

    @classmethod
    def check_config(cls, cfg: Any, _log: Any) -> None:
        """Prepare for workers that run as another user. gunicorn calls this at start."""
        metrics_files.give_to(cfg.uid, cfg.gid)

    def load_wsgi(self) -> None:
        metrics_files.start_process()
        super().load_wsgi()

    def run(self) -> None:
        """Serve until gunicorn stops this worker or has itself exited."""
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns about every request that has to wait
        connections: dict[int, Any] = {}
        server = create_server(
            self.wsgi,
            map=connections,
            sockets=[listener.sock for listener in self.sockets],
            threads=self.cfg.threads,
            connection_limit=CONNECTIONS,
            max_request_header_size=HEADERS_MAX,
            max_request_body_size=MAX_BODY_READ,
            clear_untrusted_proxy_headers=False,  # the shop has its own setting for trusted proxies
            ident=None,
        )
        for listening in _servers(connections):
            listening.channel_class, listening.stopping = Channel, False
        while self.alive and self.ppid == os.getppid():
            self._serve(connections)
            self._keep_accepting(connections)
        self._finish(connections)
        server.task_dispatcher.shutdown()

    def _keep_accepting(self, connections: dict[int, Any]) -> None:
        if self.alive and time.monotonic() > self._checked + FILTER_CHECK:
            self._checked = time.monotonic()
            accept_again(_servers(connections))

    def _serve(self, connections: dict[int, Any], timeout: float = HEARTBEAT) -> None:
        self.notify()
        wasyncore.loop(timeout=timeout, use_poll=True, map=connections, count=1)

    def _finish(self, connections: dict[int, Any]) -> None:
        """Answer every request that was sent before clients could know that this server stops.

        These are requests in progress, those on open connections, and those on connections that the kernel has set up
        but nobody has accepted. Each answer ends its connection.
        """
        begun = time.monotonic()
        is_alone = self.cfg.reuse_port or self.ppid != os.getppid()  # it has its own socket, or its arbiter was killed
        for server in _servers(connections):
            server.stopping = True
            if is_alone:
                ignore_new(server.socket)
        while (passed := time.monotonic() - begun) < self.cfg.graceful_timeout - RESERVE:
            waiting = passed < PATIENCE and has_waiting(_servers(connections))
            for server in _servers(connections):
                server.accepting = passed < LINGER or waiting
            if not (waiting or passed < LINGER or _has_work(connections, passed)):
                break
            self._serve(connections, 0.05)


def _servers(connections: dict[int, Any]) -> list[Any]:
    return [entry for entry in connections.values() if isinstance(entry, BaseWSGIServer)]


def _has_work(connections: dict[int, Any], passed: float) -> bool:
    channels = [entry for entry in list(connections.values()) if isinstance(entry, Channel)]
    return any(channel.is_busy or (channel.is_expecting and passed < PATIENCE) for channel in channels)
