"""How long requests wait while five years of history are purged beside them, by batch size, on both databases."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from bench.shop import analyze, make_app, settings_for
from bookshop import create_app
from bookshop.extensions import db
from bookshop.retention import service
from bookshop.retention.worker import Purge
from bookshop.web import services
from tests.support.clients import ApiClient
from tests.support.history import OWNER, History
from tests.support.races import waiting_for_lock

CYCLES = 3000  # 24,000 events and deliveries, 9,000 messages
BATCHES = (50, 200, 1000)
ALONE = 5.0  # seconds
EMAIL = f"c{OWNER}@example.com"


def run(url: str) -> None:
    """Print the times of a stock change over JSON, first alone, then beside a purge in another process."""
    print(f"purge: a stock change over JSON beside a purge of {CYCLES:,} orders with all that belongs to them")
    for batch in BATCHES:
        with TemporaryDirectory(prefix="bookshop-purge-") as folder:
            _measure(f"sqlite:///{folder}/shop.db", batch)
        _measure(url, batch)


def _measure(url: str, batch: int) -> None:
    app = make_app(url)
    History(app, CYCLES)
    with app.app_context():
        name = db.engine.dialect.name
        if name == "postgresql":
            analyze()
    script = ApiClient(app, EMAIL)
    change = iter(range(1, 1_000_000))

    def request() -> None:
        if script.set_stock(1, next(change)).status_code != 200:
            raise RuntimeError("the stock was not changed")

    request()
    with app.app_context():
        engine = db.engine
    alone = list(_times(request, _for_seconds(ALONE)))
    with _purging(url, batch) as purging, _lock_waits(engine) as samples:
        beside = list(_times(request, lambda: purging.poll() is None))
        printed = purging.communicate()[0].strip()
    print(f"  {name}, {batch} rows: alone {_words(alone)}; beside {_words(beside)}; {printed};")
    print(f"    {samples[True]} of {samples.total():,} looks found a request that waited for a lock")
    engine.dispose()


@contextmanager
def _lock_waits(engine: Engine) -> "Iterator[Counter[bool]]":
    """Look every few milliseconds whether a request is waiting for a lock, on SQLite for more than 20 ms."""
    samples: Counter[bool] = Counter()
    ended = threading.Event()

    def look() -> None:
        with waiting_for_lock(engine) as is_waiting:
            while not ended.wait(0.005):
                samples[is_waiting()] += 1

    with ThreadPoolExecutor(1) as pool:
        pool.submit(look)
        try:
            yield samples
        finally:
            ended.set()


def _times(request: Callable[[], None], goes_on: Callable[[], bool]) -> Iterator[float]:
    while goes_on():
        started = time.perf_counter()
        request()
        yield time.perf_counter() - started
        time.sleep(0.002)


def _for_seconds(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def _words(times: Sequence[float]) -> str:
    return (
        f"median {median(times) * 1000:.1f}, 99% {quantiles(times, n=100)[98] * 1000:.0f},"
        f" longest {max(times) * 1000:.0f} ms"
    )


@contextmanager
def _purging(url: str, batch: int) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "bench.purge", url, str(batch)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        yield process
        if process.returncode:
            raise RuntimeError("the purge failed")


def _purge(url: str, batch: int) -> None:
    """Purge, and print how long it took and the longest of its transactions."""
    service.BATCH = batch
    longest, commit = 0.0, services.commit

    def timed(work: Callable[[], int]) -> int:
        nonlocal longest
        started = time.perf_counter()
        try:
            return commit(work)
        finally:
            longest = max(longest, time.perf_counter() - started)

    services.commit = timed  # type: ignore[assignment]
    with create_app(settings_for(url)).app_context():
        started = time.perf_counter()
        removed = sum(Purge().run().values())
    print(f"{removed:,} rows in {time.perf_counter() - started:.0f} s, longest transaction {longest * 1000:.0f} ms")


if __name__ == "__main__":
    _purge(sys.argv[1], int(sys.argv[2]))
