"""Metrics of several processes add up to what was sent, whatever happens to the processes, and leave no files."""

import http.client
import os
import signal
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import flask_migrate
import pytest

from bookshop import create_app
from bookshop.extensions import db
from bookshop.web import metrics_files
from tests.browser.server import AS_RUN, SHOP, environment
from tests.operations.test_metrics import REQUESTS, TOKEN, samples_of
from tests.support.factories import Shop
from tests.support.forks import DEADLINE, Gunicorn, by_command
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

ROUTES = {"/health/live": "/health/live", "/robots.txt": "/robots.txt", "/nothing": "unmatched"}
STATUSES = {"/health/live": "200", "/robots.txt": "200", "/nothing": "404"}
CLIENTS, EACH = 8, 60


@pytest.fixture
def server(tmp_path, request):
    """The shop in two processes, which count in a folder below tmp_path."""
    settings = settings_for(f"sqlite:///{tmp_path}/shop.db", metrics_token=TOKEN, database_pool=8)
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
        Shop(app).customer()  # in a new shop, every page leads to the one that sets it up
        db.engine.dispose()
    options = getattr(request, "param", ())
    environ = {**environment(settings), "TMPDIR": str(tmp_path)}
    server = Gunicorn(SHOP, environ, *AS_RUN, "--workers=2", *options, start=by_command)
    server.wait_until_ready("/health/live")
    yield server
    server.kill()


def get(port, path, **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def send_load(port):
    """Send a known number of requests from several clients at once."""
    paths = list(ROUTES) * (EACH // len(ROUTES))
    clients = [threading.Thread(target=lambda: [get(port, path) for path in paths]) for _number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return Counter({path: CLIENTS * EACH // len(ROUTES) for path in ROUTES})


def counted(port):
    """Return how many requests the metrics report for each path, and that the histogram has as many."""
    samples = samples_of(get(port, "/metrics", Authorization=f"Bearer {TOKEN}")[1])
    numbers = {path: samples.get((REQUESTS, "GET", ROUTES[path], STATUSES[path]), 0) for path in ROUTES}
    measured = {path: samples.get((f"{DURATION}_count", "GET", ROUTES[path]), 0) for path in ROUTES}
    assert numbers == measured
    assert all(samples.get((f"{DURATION}_bucket", "+Inf", "GET", ROUTES[path]), 0) == numbers[path] for path in ROUTES)
    return numbers


DURATION = "bookshop_http_request_duration_seconds"


def workers_of(server):
    return {int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()}


def wait_until_replaced(server, before):
    """Wait until none of these processes runs and two others answer."""
    end = time.monotonic() + DEADLINE
    while (now := workers_of(server)) & before or len(now) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    get(server.port, "/health/ready")


def kill_all(server):
    before = workers_of(server)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until_replaced(server, before)


def reload(server):
    before = workers_of(server)
    os.kill(server.pid, signal.SIGHUP)
    wait_until_replaced(server, before)


def folders(tmp_path):
    return list(tmp_path.glob(f"{metrics_files.PREFIX}*"))


@pytest.mark.parametrize("server", [(), ("--preload",)], indirect=True, ids=["", "preload"])
def test_two_processes_report_what_was_sent_also_after_they_were_replaced(server, tmp_path):
    expected = Counter(counted(server.port))
    expected += send_load(server.port)
    assert counted(server.port) == expected
    for replace in (kill_all, reload):
        replace(server)
        expected += send_load(server.port)
        assert counted(server.port) == expected
    (folder,) = folders(tmp_path)
    assert len(list(folder.glob("counter_*.db"))) <= 5  # two that run, two that have just ended, and the dead
    server.terminate()
    assert folders(tmp_path) == []


def test_both_processes_took_part(server, tmp_path):
    send_load(server.port)
    (folder,) = folders(tmp_path)
    files = {folder / f"counter_{pid}.db" for pid in workers_of(server)}
    assert all(b"health/live" in file.read_bytes() for file in files)


def test_the_folder_of_a_server_that_was_killed_is_removed_by_the_next_one(server, tmp_path):
    (folder,) = folders(tmp_path)
    metrics_files._remove_if_abandoned(folder)
    assert folder.exists()  # it is in use
    server.kill()
    end = time.monotonic() + DEADLINE
    while folder.exists() and time.monotonic() < end:  # the system takes a moment to end its processes
        metrics_files._remove_if_abandoned(folder)
        time.sleep(0.05)
    assert folders(tmp_path) == []
