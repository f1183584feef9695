"""How long visitors wait while 200 others send their requests slowly: gunicorn's own threads against our worker."""

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

SENDERS, SECONDS, PATIENCE = 200, 10.0, 10.0
SERVERS = {"as `make run`": AS_RUN, "gunicorn's gthread": ("--worker-class", "gthread", "--threads", "8")}
FORM = (
    b"POST /login HTTP/1.1\r\nHost: shop\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 100000\r\n\r\nemail="
)


def run(url: str) -> None:
    """Print the median and the longest time of the home page, for each kind of server."""
    make_app(url)
    print(f"slow: the home page for {SECONDS:.0f} s, while {SENDERS} send a form at two bytes a second")
    for name, options in SERVERS.items():
        with started(SHOP, environment(settings_for(url)), *options) as address, slow_senders(address):
            waits = list(visits(address))
        print(
            f"  {name}: {len(waits)} visits, median {median(waits) * 1000:.0f} ms, longest {max(waits) * 1000:.0f} ms"
        )


@contextmanager
def slow_senders(address: str) -> Iterator[None]:
    host, port, over = urlsplit(address).hostname, urlsplit(address).port, threading.Event()
    with ExitStack() as stack:
        senders = [stack.enter_context(socket.create_connection((host, port))) for _sender in range(SENDERS)]
        for sender in senders:
            sender.sendall(FORM)

        def drip() -> None:
            while not over.wait(0.5):
                for sender in senders:
                    sender.sendall(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            yield
        finally:
            over.set()
            dripping.join()


def visits(address: str) -> Iterator[float]:
    """The seconds that each visit took; one that is not answered took all the patience there is."""
    end = time.monotonic() + SECONDS
    while (begun := time.monotonic()) < end:
        try:
            urlopen(address, timeout=PATIENCE).read()
        except (URLError, TimeoutError):
            yield PATIENCE
        else:
            yield time.monotonic() - begun
