"""The process that servers and workers are forked from."""

import gc
import os
import sys

import httpx
import pytest
from sqlalchemy import Engine

from tests.support.forks import DEADLINE, Gunicorn, by_command, by_fork, processes

HOW = pytest.mark.parametrize("start", [by_fork, by_command])


def inspect_process(imported, queue):
    """Report the imports and the number of engines of a newly forked process."""
    engines = [one for one in gc.get_objects() if isinstance(one, Engine)]
    queue.put((imported <= set(sys.modules), len(engines), "tests.conftest" in sys.modules))


def test_a_forked_process_has_imports_but_no_connection_and_no_cheap_passwords():
    queue = processes.SimpleQueue()
    process = processes.Process(target=inspect_process, args=({"gunicorn.workers.gthread", "bookshop.features"}, queue))
    process.start()
    assert queue.get() == (True, 0, False)
    process.join(DEADLINE)


def application(environ, start_response):
    """Respond with all environment variables."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(os.environ).encode()]


def fails():
    raise RuntimeError("an unexpected error")


@HOW
def test_a_server_has_only_the_environment_it_is_given(start, monkeypatch):
    monkeypatch.setenv("NOT_GIVEN", "1")
    environ = {"PATH": os.environ["PATH"], "GIVEN": "1"}
    server = Gunicorn("tests.test_forks:application", environ, start=start)
    server.wait_until_ready()
    try:
        output = httpx.get(f"http://127.0.0.1:{server.port}").text.split()
        assert ("GIVEN" in output, "NOT_GIVEN" in output) == (True, False)
    finally:
        server.terminate()
    assert server.ended


@HOW
def test_a_server_that_fails_to_start_is_reported(start, capfd):
    server = Gunicorn("tests.test_forks:fails()", dict(os.environ), start=start)
    with pytest.raises(AssertionError, match="never answered"):
        server.wait_until_ready()
    assert server.ended
    assert "an unexpected error" in capfd.readouterr().err
