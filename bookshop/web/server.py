"""A gunicorn worker that serves with waitress, so that slow clients cannot block other visitors.

gunicorn's own threads each read one request body, so 32 slow clients occupy 32 threads. waitress reads all connections
in one thread and passes a request to a worker thread once it is complete. gunicorn starts, monitors and stops the
processes.
"""

import logging
import os
import time
from typing import Any

from gunicorn.workers.base import Worker
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer

from bookshop.web.errors import MAX_BODY_READ

HEARTBEAT = 1.0  # the longest time, in seconds, between two heartbeats to gunicorn
CONNECTIONS = 900  # per process, which may usually open 1,024 files
HEADERS_MAX = 32 * 1024  # bytes


class Buffering(Worker):  # type: ignore[misc]
    """Buffers whole requests, then serves them in `--threads` threads; finishes open requests before it stops."""

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
            max_request_body_size=MAX_BODY_READ,  # the shop has its own limits below this
            clear_untrusted_proxy_headers=False,  # the shop has its own setting for trusted proxies
            ident=None,
        )
        while self.alive and self.ppid == os.getppid():
            self._serve(connections)
        self._finish(connections)
        server.task_dispatcher.shutdown()

    def _serve(self, connections: dict[int, Any]) -> None:
        self.notify()
        wasyncore.loop(timeout=HEARTBEAT, use_poll=True, map=connections, count=1)

    def _finish(self, connections: dict[int, Any]) -> None:
        """Accept no new connections and finish open requests, within gunicorn's graceful timeout."""
        end = time.monotonic() + self.cfg.graceful_timeout
        for server in [entry for entry in connections.values() if isinstance(entry, BaseWSGIServer)]:
            server.accepting = False
        while time.monotonic() < end and any(map(_is_busy, list(connections.values()))):
            self._serve(connections)


def _is_busy(connection: Any) -> bool:
    return isinstance(connection, HTTPChannel) and bool(connection.requests or connection.total_outbufs_len)
