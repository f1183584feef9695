"""`make run`: a demo shop with its worker in one command, and nothing left behind when it stops."""

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from urllib.request import urlopen

import pytest

from bookshop.config import ROOT

ACCOUNTS = ["owner@bookshop.example.com", "staff@bookshop.example.com", "ada@example.com", "ben@example.com"]


@pytest.fixture
def port():
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return listening.getsockname()[1]


@pytest.fixture
def start(tmp_path, port):
    """Start `make run` on a separate shop; its output ends when its last process has exited."""
    started = []

    def start():
        own = {"DATABASE_URL": f"sqlite:///{tmp_path}/shop.db", "COVERS": tmp_path / "covers"}
        own |= {"MAIL_FOLDER": tmp_path / "mail", "SECRET_KEY": "x" * 32}
        environ = {**os.environ, **{f"BOOKSHOP_{name}": str(value) for name, value in own.items()}}
        command = ["make", "--silent", "run", f"PORT={port}"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=30)


def read_until(process, end):
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if end in line:
            return lines
    raise AssertionError(f"it ended before it printed {end}: {lines}")


def test_it_ends_with_the_address_and_the_accounts_and_stops_with_its_worker(start, port, tmp_path):
    process = start()
    lines = read_until(process, ACCOUNTS[-1])
    address = f"http://127.0.0.1:{port}"
    assert (address in lines[-5], [line.split()[1] for line in lines[-4:]]) == (True, ACCOUNTS)
    assert len(lines) <= 10
    with urlopen(f"{address}/books") as page:
        assert page.status == 200
    deadline = time.monotonic() + 30
    while not list((tmp_path / "mail").glob("*.eml")):  # the worker sends the messages about the demo's orders
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    rest, _errors = process.communicate(timeout=30)  # until the worker has closed its end of the pipe as well
    assert "Traceback" not in rest


def test_a_port_that_is_in_use_is_named_with_the_way_to_another(start, port):
    with closing(socket.create_server(("127.0.0.1", port))):
        output, _errors = start().communicate(timeout=30)
    assert f"Port {port} is in use or not allowed. Choose another one: make run PORT={port + 1}" in output
