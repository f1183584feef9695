"""The shop as a real server: gunicorn with the options of `make run`, on a port of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bookshop.config import PREFIX, Settings
from tests.support.forks import Gunicorn, Start, by_command, by_fork

SHOP = "wsgi:app"
AS_RUN = ("--worker-class", "bookshop.web.server.Buffering", "--threads", "8")


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a shop with these settings; others that the shell has set do not reach it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.model_dump().items()}


@contextmanager
def served(application: str, environ: dict[str, str], *options: str, start: Start = by_fork) -> Iterator[str]:
    """Serve an application with gunicorn and these options (without: as `make run`); yields its address.

    It has answered a request before anybody else asks.
    """
    server = Gunicorn(application, environ, *(options or AS_RUN), start=start)
    server.answer()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.terminate()


@contextmanager
def started(application: str, environ: dict[str, str], *options: str) -> Iterator[str]:
    """The same, started by the command of `make run`: for measuring."""
    with served(application, environ, *options, start=by_command) as address:
        yield address
