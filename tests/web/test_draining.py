"""A server that stops: whoever has sent a request gets an answer, and all others are refused before they send one."""

import http.client
import os
import re
import signal
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gunicorn.workers.base import Worker

from bookshop.web.listening import accept_again, ignore_new
from bookshop.web.server import Buffering, _has_work
from tests.browser.server import AS_RUN
from tests.support.forks import DEADLINE, Gunicorn

APPLICATION = "tests.web.test_draining:application"
NUMBER = 20
REQUEST = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc"


def application(environ, start_response):
    """Read the request, and answer with it after a moment."""
    body = environ["wsgi.input"].read()
    time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Hasty(Buffering):
    """A worker with the fault to be detected: it stops accepting at once, and only finishes requests in progress."""

    def __init__(self, *arguments):
        Worker.__init__(self, *arguments)
        self._checked = time.monotonic()

    def _finish(self, connections):
        while _has_work(connections, 100):
            self._serve(connections)


HASTY = ("--worker-class", "tests.web.test_draining.Hasty", "--threads", "8")


@pytest.fixture
def serve():
    """Start a server: serve(*options)."""
    with ExitStack() as stack:

        def start(*options):
            server = Gunicorn(APPLICATION, dict(os.environ), *(options or AS_RUN))
            stack.callback(server.kill)
            server.wait_until_ready()
            return server

        yield start


def workers_of(server):
    """Return the process ids of the server's workers."""
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def connect(port, timeout=DEADLINE):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def read_answer(connection):
    """Return the status of the answer and whether it ends the connection; None if there is no answer."""
    try:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
    except (OSError, http.client.HTTPException):
        return None
    return answer.status, answer.headers.get("Connection")


def stop_while_it_is_held(server, during):
    """Stop the server while its workers are held up, so that `during` certainly happens before they notice."""
    pids = workers_of(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    result = during()
    os.kill(server.pid, signal.SIGTERM)
    wait_until_refused(server.port)
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended: the answers show whether too early
            wait_until_told(pid)
            os.kill(pid, signal.SIGCONT)
    return result


def wait_until_told(pid):
    """Wait until SIGTERM is pending for a worker that is held up: gunicorn sends it after it has closed its sockets."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        pending = re.search(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        if pending and int(pending[1], 16) & (1 << (signal.SIGTERM - 1)):
            return
        time.sleep(0.01)
    raise TimeoutError("gunicorn did not tell its worker to stop")


def wait_until_refused(port):
    """Wait until new connections are no longer made; for a Hasty server, until gunicorn has noticed the signal."""
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            connect(port, 0.2).close()
        except OSError:
            return
        time.sleep(0.05)


def waiting_connections(server):
    """Send requests on connections that the kernel has made, and that nobody has accepted."""
    connections = [connect(server.port) for _number in range(NUMBER)]
    for connection in connections:
        connection.sendall(REQUEST)
    return connections


def test_requests_on_connections_that_nobody_has_accepted_are_answered(serve):
    server = serve()
    connections = stop_while_it_is_held(server, lambda: waiting_connections(server))
    assert [read_answer(connection) for connection in connections] == [(200, "close")] * NUMBER


def test_a_server_that_stops_accepting_at_once_loses_them(serve):
    """Up to five servers stop, as a busy machine sometimes gives one of them the time to accept everybody."""
    answers: list[Any] = []
    for _attempt in range(5):
        server = serve(*HASTY)
        connections = stop_while_it_is_held(server, partial(waiting_connections, server))
        answers += [read_answer(connection) for connection in connections]
        if None in answers:
            break
    assert None in answers


def test_requests_already_sent_on_open_connections_are_answered_and_end_them(serve):
    server = serve()
    connections = [connect(server.port) for _number in range(NUMBER)]
    for connection in connections:
        connection.sendall(REQUEST)
    assert [read_answer(connection) for connection in connections] == [(200, None)] * NUMBER
    stop_while_it_is_held(server, lambda: [connection.sendall(REQUEST) for connection in connections])
    assert [read_answer(connection) for connection in connections] == [(200, "close")] * NUMBER


def test_several_requests_sent_at_once_are_all_answered_and_the_last_answer_ends_the_connection(serve):
    server = serve()
    connection = connect(server.port)
    stop_while_it_is_held(server, lambda: connection.sendall(3 * REQUEST))
    with connection, connection.makefile("rb") as answers:
        received = answers.read()
    assert (received.count(b"HTTP/1.1 200"), received.count(b"Connection: close")) == (3, 1)


def test_the_rest_of_a_request_is_awaited(serve):
    server = serve()
    connection = connect(server.port)
    connection.sendall(REQUEST[:-2])
    os.kill(server.pid, signal.SIGTERM)
    wait_until_refused(server.port)
    connection.sendall(REQUEST[-2:])
    status, _ends = read_answer(connection)
    assert status == 200


def test_the_processes_end_although_a_client_keeps_a_connection_open(serve):
    server = serve()
    with closing(connect(server.port)) as connection:
        connection.sendall(REQUEST)
        read_answer(connection)
        server.terminate()
        assert (server.ended, connection.recv(1)) == (True, b"")


def test_a_reload_answers_everybody(serve):
    """New connections wait for the new workers, and are never refused."""
    server, answers, stopped = serve(*AS_RUN, "--workers=2"), [], threading.Event()

    def send():
        while not stopped.is_set():
            with closing(connect(server.port)) as connection:
                connection.sendall(REQUEST)
                answers.append(read_answer(connection))

    senders = [threading.Thread(target=send) for _number in range(4)]
    for sender in senders:
        sender.start()
    before = set(workers_of(server))
    os.kill(server.pid, signal.SIGHUP)
    end = time.monotonic() + DEADLINE
    while before & set(workers_of(server)) and time.monotonic() < end:
        time.sleep(0.05)
    stopped.set()
    for sender in senders:
        sender.join()
    assert {answer and answer[0] for answer in answers} == {200}
    assert (len(answers) > NUMBER, before & set(workers_of(server))) == (True, set())


def test_a_socket_ignores_new_connections_until_another_server_accepts_again():
    class Listening:
        socket = socket.create_server(("127.0.0.1", 0))

    with Listening.socket as listening:
        port = listening.getsockname()[1]
        with closing(connect(port)):
            ignore_new(listening)
            with pytest.raises(TimeoutError):
                connect(port, 0.2)
            listening.accept()[0].close()  # whoever was connected before stays so
            accept_again([Listening])
            connect(port, 5).close()


def test_requests_are_answered_although_gunicorn_itself_was_killed(serve):
    """Its workers notice within a second, and end."""
    server = serve()
    connections = waiting_connections(server)
    os.kill(server.pid, signal.SIGKILL)
    assert {status for status, _ends in map(read_answer, connections)} == {200}
    wait_until_refused(server.port)
    server.kill()
    assert server.ended
