"""Response times while 200 clients send their requests slowly: gunicorn's own threads and our worker class."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from bench.shop import make_app
from tests.browser.server import AS_RUN, SHOP, environment, started
from tests.support.settings import settings_for

SENDERS, SECONDS, TIMEOUT = 200, 10.0, 10.0
SERVERS = {"as `make run`": AS_RUN, "gunicorn's gthread": ("--worker-class", "gthread", "--threads", "8")}
FORM = (
    b"POST /login HTTP/1.1\r\nHost: shop\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 100000\r\n\r\nemail="
)


def run(url: str) -> None:
    """Print the median and the longest response time of the home page, for each server."""
    make_app(url)
    print(f"slow: the home page for {SECONDS:.0f} s, while {SENDERS} clients send a form at two bytes a second")
    for name, options in SERVERS.items():
        with started(SHOP, environment(settings_for(url)), *options) as address, slow_senders(address):
            times = list(visits(address))
        print(
            f"  {name}: {len(times)} visits, median {median(times) * 1000:.0f} ms, longest {max(times) * 1000:.0f} ms"
        )


@contextmanager
def slow_senders(address: str) -> Iterator[None]:
    """Hold SENDERS connections open that each send two bytes of a form per second."""
    host, port, stopped = urlsplit(address).hostname, urlsplit(address).port, threading.Event()
    with ExitStack() as stack:
        senders = [stack.enter_context(socket.create_connection((host, port))) for _sender in range(SENDERS)]
        for sender in senders:
            sender.sendall(FORM)

        def drip() -> None:
            while not stopped.wait(0.5):
                for sender in senders:
                    sender.sendall(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            yield
        finally:
            stopped.set()
            dripping.join()


def visits(address: str) -> Iterator[float]:
    """Visit the page again and again for SECONDS; yields the seconds of each visit, TIMEOUT if there is no response."""
    end = time.monotonic() + SECONDS
    while (started_at := time.monotonic()) < end:
        try:
            urlopen(address, timeout=TIMEOUT).read()
        except (URLError, TimeoutError):
            yield TIMEOUT
        else:
            yield time.monotonic() - started_at
