"""The shop as a real server: gunicorn with the options of `make run`, on its own port."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bookshop.config import PREFIX, Settings
from tests.support.forks import Gunicorn, Start, by_command, by_fork

SHOP = "wsgi:app"
AS_RUN = ("--worker-class", "bookshop.web.server.Buffering", "--threads", "8")


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment for these settings, without other BOOKSHOP_ variables of the shell."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.model_dump().items()}


@contextmanager
def served(application: str, environ: dict[str, str], *options: str, start: Start = by_fork) -> Iterator[str]:
    """Serve an application with gunicorn, by default with the options of `make run`; yield its address when ready."""
    server = Gunicorn(application, environ, *(options or AS_RUN), start=start)
    server.wait_until_ready()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.terminate()


@contextmanager
def started(application: str, environ: dict[str, str], *options: str) -> Iterator[str]:
    """Serve it with the command of `make run`, for benchmarks; it writes its log, but nobody reads it."""
    unread = ("--capture-output", "--error-logfile", os.devnull)
    with served(application, environ, *options, *unread, start=by_command) as address:
        yield address
