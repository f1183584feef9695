"""The server of `make run`: slow senders block no one, and running requests finish."""

import http.client
import os
import socket
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.browser.server import AS_RUN, SHOP, environment
from tests.support.forks import DEADLINE, Gunicorn
from tests.support.settings import settings_for

SLOW = 40  # senders, five for each thread
HEAD = (
    b"POST /login HTTP/1.1\r\nHost: shop\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n"
)
APPLICATION = "tests.web.test_server:application"
GTHREAD = ("--worker-class", "gthread", "--threads", "8")


def application(environ, start_response):
    """Read the request, create a file, and respond once another file exists."""
    folder = Path(parse_qs(environ["QUERY_STRING"]).get("folder", ["/nowhere"])[0])
    environ["wsgi.input"].read()
    if folder.is_dir():
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 2_000_000]


def slow_senders(stack, port, words):
    for _sender in range(SLOW):
        sender = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        sender.sendall(words)


def ask(port, timeout, path="/"):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, len(answer.read())


@pytest.mark.parametrize("words", [HEAD + b"\r\nabc", HEAD + b"X-Slow: ", b"GET"])
def test_slow_senders_do_not_block_others(tmp_path, words):
    server = Gunicorn(APPLICATION, dict(os.environ), *AS_RUN)
    with ExitStack() as stack:
        stack.callback(server.kill)
        server.wait_until_ready()
        slow_senders(stack, server.port, words)
        assert [ask(server.port, DEADLINE)[0] for _time in range(5)] == [200] * 5


def test_threads_that_read_slow_bodies_themselves_block_everyone():
    server = Gunicorn(APPLICATION, dict(os.environ), *GTHREAD)
    with ExitStack() as stack:
        stack.callback(server.kill)
        server.wait_until_ready()
        slow_senders(stack, server.port, HEAD + b"\r\nabc")
        with pytest.raises(TimeoutError):
            ask(server.port, 1)


def test_running_requests_finish_when_the_server_stops(tmp_path):
    server, answers = Gunicorn(APPLICATION, dict(os.environ), *AS_RUN), []
    asking = threading.Thread(target=lambda: answers.append(ask(server.port, DEADLINE, f"/?folder={tmp_path}")))
    asking.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    ending = threading.Thread(target=server.terminate)
    ending.start()
    (tmp_path / "go").touch()
    for thread in (asking, ending):
        thread.join(DEADLINE)
    assert (answers, server.ended) == ([(200, 2_000_000)], True)


def test_the_shop_itself_configures_which_proxies_it_trusts(tmp_path):
    settings = settings_for(f"sqlite:///{tmp_path}/shop.db", trusted_proxies=1)
    server = Gunicorn(SHOP, environment(settings), *AS_RUN)
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
            connection.request("GET", "/robots.txt", headers={"X-Forwarded-Proto": "https"})
            assert "Strict-Transport-Security" in connection.getresponse().headers
    finally:
        server.kill()
