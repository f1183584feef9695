"""A worker of gunicorn's that serves with waitress, so that slow senders keep nobody out.

gunicorn's own threads read the body of a request themselves: 32 senders that take their time keep 32 threads. waitress
reads all connections in one thread, and gives a request to one of the others when all of it is there. gunicorn starts,
watches and ends the processes.
"""

import os
import time
from typing import Any

from gunicorn.workers.base import Worker
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer

from bookshop.web.errors import MOST_HEARD

BEAT = 1.0  # seconds after which a worker says that it lives
CONNECTIONS = 900  # of each process, which may usually open 1,024 files
LONGEST_HEADERS = 32 * 1024


class Buffering(Worker):  # type: ignore[misc]
    """Serves with as many threads as `--threads` says; at the end it finishes what it has begun."""

    def run(self) -> None:
        """Serve until gunicorn says that it is enough, or is gone."""
        connections: dict[int, Any] = {}
        server = create_server(
            self.wsgi,
            map=connections,
            sockets=[listener.sock for listener in self.sockets],
            threads=self.cfg.threads,
            connection_limit=CONNECTIONS,
            max_request_header_size=LONGEST_HEADERS,
            max_request_body_size=MOST_HEARD,  # the shop says itself what is too large
            clear_untrusted_proxy_headers=False,  # it is the shop's setting which proxies are trusted
            ident=None,
        )
        while self.alive and self.ppid == os.getppid():
            self._serve(connections)
        self._finish(connections)
        server.task_dispatcher.shutdown()

    def _serve(self, connections: dict[int, Any]) -> None:
        self.notify()
        wasyncore.loop(timeout=BEAT, use_poll=True, map=connections, count=1)

    def _finish(self, connections: dict[int, Any]) -> None:
        """Take no new connections, and answer what has arrived, for as long as gunicorn waits."""
        end = time.monotonic() + self.cfg.graceful_timeout
        for server in [one for one in connections.values() if isinstance(one, BaseWSGIServer)]:
            server.accepting = False
        while time.monotonic() < end and any(map(_is_busy, list(connections.values()))):
            self._serve(connections)


def _is_busy(connection: Any) -> bool:
    return isinstance(connection, HTTPChannel) and bool(connection.requests or connection.total_outbufs_len)
