"""Work that the worker does in a thread of its own, so that no e-mail waits for it."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from flask import Flask, current_app

from bookshop.extensions import db

log = logging.getLogger(__name__)

Stopping = Callable[[], bool]
Step = Callable[[Stopping], bool]  # takes the next step; returns whether there may be more to do at once

STOP_CHECK = 0.25  # seconds


@contextmanager
def in_background(step: Step, pause: float, stopping: Stopping, *, once: bool) -> Iterator[None]:
    """Take step after step in a separate thread, as long as the block runs; with `once`, until none is due.

    After a step that found nothing to do, or that failed, the next one is `pause` seconds later. At the end of the
    block, waits for the step in hand, whose `stopping()` becomes true, or with `once` for all that are due.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # as Flask documents for threads
    ended = Event()

    def stops() -> bool:
        return ended.is_set() or stopping()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(_run, app, step, stops, None if once else pause)
        try:
            yield
        finally:
            if not once:
                ended.set()


def _run(app: Flask, step: Step, stopping: Stopping, pause: float | None) -> None:
    with app.app_context():
        while not stopping():
            if _try(step, stopping):
                continue
            if pause is None:
                return
            _sleep(pause, stopping)


def _try(step: Step, stopping: Stopping) -> bool:
    try:
        return step(stopping)
    except Exception:  # whatever it is, the thread goes on, and e-mail with it
        log.exception("a step of the worker has failed; it is tried again later")
        return False
    finally:
        db.session.remove()  # the next step reads the shop's details anew


def _sleep(seconds: float, stopping: Stopping) -> None:
    end = time.monotonic() + seconds
    while not stopping() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, STOP_CHECK))
