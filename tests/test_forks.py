"""The process that servers and workers are forked from."""

import gc
import os
import sys

import httpx
import pytest
from sqlalchemy import Engine

from tests.support.forks import DEADLINE, Gunicorn, by_command, by_fork, processes

HOW = pytest.mark.parametrize("start", [by_fork, by_command])


def look_around(imported, queue):
    """Report what a newly forked process has imported, and how many engines it has."""
    engines = [one for one in gc.get_objects() if isinstance(one, Engine)]
    queue.put((imported <= set(sys.modules), len(engines), "tests.conftest" in sys.modules))


def test_a_forked_process_has_the_shop_imported_but_no_connection_and_no_cheap_passwords():
    queue = processes.SimpleQueue()
    process = processes.Process(target=look_around, args=({"gunicorn.workers.gthread", "bookshop.features"}, queue))
    process.start()
    assert queue.get() == (True, 0, False)
    process.join(DEADLINE)


def application(environ, start_response):
    """Answer with all environment variables."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(os.environ).encode()]


def fails():
    raise RuntimeError("nobody foresaw this")


@HOW
def test_a_server_has_the_environment_that_it_is_given_and_no_other(start, monkeypatch):
    monkeypatch.setenv("NOT_GIVEN", "1")
    environ = {"PATH": os.environ["PATH"], "GIVEN": "1"}
    server = Gunicorn("tests.test_forks:application", environ, start=start)
    server.answer()
    try:
        said = httpx.get(f"http://127.0.0.1:{server.port}").text.split()
        assert ("GIVEN" in said, "NOT_GIVEN" in said) == (True, False)
    finally:
        server.terminate()
    assert server.ended


@HOW
def test_a_server_that_does_not_start_is_said_to_have_never_answered(start, capfd):
    server = Gunicorn("tests.test_forks:fails()", dict(os.environ), start=start)
    with pytest.raises(AssertionError, match="never answered"):
        server.answer()
    assert server.ended
    assert "nobody foresaw this" in capfd.readouterr().err
