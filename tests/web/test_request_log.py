"""The lines about requests in the log, as text and as JSON: what happened, where and to which user, but no path."""

import json
import logging
import subprocess
import sys

import httpx
import pytest

from bookshop.accounts.models import LOGIN
from bookshop.config import ROOT
from bookshop.kit import logs
from tests.browser.server import AS_RUN, SHOP, environment
from tests.support import smtp
from tests.support.clients import ApiClient, WebClient
from tests.support.factories import PASSWORD
from tests.support.forks import Gunicorn, by_command
from tests.support.links import LINKS, add_links
from tests.support.settings import settings_for

ADA = "ada@example.com"


@pytest.fixture
def lines(caplog):
    """The fields of each line about a request; `lines.clear()` forgets them."""
    caplog.set_level(logging.INFO, "bookshop.web.request_log")
    return lambda: [
        (fields["method"], fields["route"], fields["status"], fields["user_id"])
        for fields in (vars(record).get(logs.FIELDS) for record in caplog.records)
        if fields
    ]


def test_each_request_is_a_line_with_its_route_status_and_user(shop, lines):
    ada, book_id = shop.customer(ADA), shop.book()
    browser, script = WebClient(shop.app, ADA), ApiClient(shop.app, ADA)
    logged_in = len(lines())
    browser.get(f"/books/{book_id}/emma")
    script.reserve(book_id)
    script.reserve(book_id)
    browser.get("/nothing")
    assert lines()[logged_in:] == [
        ("GET", "/books/<int:book_id>/<slug>", 200, ada),
        ("POST", "/api/v1/prebookings", 201, ada),
        ("POST", "/api/v1/prebookings", 409, ada),
        ("GET", "unmatched", 404, ada),
    ]


def test_a_secret_link_is_not_in_the_line(shop, lines, caplog):
    add_links(shop, shop.customer(ADA))
    assert shop.app.test_client().get(f"/login/link/{LINKS[LOGIN]}").status_code == 200
    assert lines() == [("GET", "/login/link/<token>", 200, None)]
    assert LINKS[LOGIN] not in caplog.text


def test_health_checks_and_metrics_are_not_in_the_log(shop, lines, caplog):
    for path in ("/health/live", "/health/ready", "/metrics"):
        shop.app.test_client().get(path)
    assert (lines(), caplog.records) == ([], [])


def test_the_duration_and_the_request_id_are_those_of_the_response(shop, lines, caplog):
    answer = shop.app.test_client().get("/robots.txt")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{answer.headers['X-Request-Id']}: GET /robots.txt 200 in ")
    assert record.fields["duration_ms"] > 0


# ---------------------------------------------------------------- formats


def record_of(error):
    """Return the record of a caught error, as the shop makes it."""
    try:
        raise error
    except type(error):
        info = sys.exc_info()
    logs.hide_exception_messages()
    return logging.getLogger("bookshop").makeRecord("bookshop", logging.ERROR, "x.py", 1, "it %s", ("failed",), info)


def test_a_json_line_has_the_request_and_the_place_of_an_error_but_not_its_words():
    token = logs.request_id.set("0a1b")
    try:
        line = logs.formatter("json").format(record_of(ValueError(f"{ADA} is wrong\n{PASSWORD}")))
    finally:
        logs.request_id.reset(token)
    found = json.loads(line)
    assert {name: found[name] for name in ("level", "logger", "message", "request_id")} == {
        "level": "ERROR", "logger": "bookshop", "message": "it failed", "request_id": "0a1b",
    }  # fmt: skip
    assert "test_request_log.py" in found["exception"]
    assert found["exception"].endswith("builtins.ValueError")
    assert (ADA in line, PASSWORD in line, "\n" in line, found["time"][-6:]) == (False, False, False, "+00:00")


def test_a_text_line_has_the_time_the_level_and_the_place_of_an_error_but_not_its_words():
    text = logs.formatter("text").format(record_of(ValueError(ADA)))
    assert " ERROR it failed\n" in text
    assert ("test_request_log.py" in text, ADA in text) == (True, False)


def json_lines(output):
    return [json.loads(line) for line in output.splitlines() if line]


@pytest.mark.prove
def test_a_server_writes_only_json_if_it_is_told_to(tmp_path, capfd):
    environ = environment(settings_for(f"sqlite:///{tmp_path}/shop.db", log_format="json"))
    server = Gunicorn(SHOP, environ, *AS_RUN, start=by_command)
    server.wait_until_ready("/health/live")
    try:
        answer = httpx.get(f"http://127.0.0.1:{server.port}/api/v1/openapi.json?next=secret")
        httpx.get(f"http://127.0.0.1:{server.port}/books")  # fails: there are no tables
    finally:
        server.terminate()
    found = {line["route"]: line for line in json_lines(capfd.readouterr().err) if "route" in line}
    line = found["/api/v1/openapi.json"]
    assert (line["method"], line["status"], line["request_id"]) == ("GET", 200, answer.headers["X-Request-Id"])
    assert found["/books"]["status"] == 503


@pytest.mark.prove
def test_a_worker_writes_only_json_if_it_is_told_to(app, mail_queue, database_url):
    mail_queue.queue(1)
    with smtp.closed_port() as url:
        environ = environment(settings_for(database_url, log_format="json", smtp_url=url))
        worker = [sys.executable, "-m", "flask", "worker", "--once"]
        done = subprocess.run(worker, check=False, capture_output=True, cwd=ROOT, env=environ, text=True)
    assert (done.returncode, done.stdout) == (1, "1 queued\n")
    assert [line["message"].partition(":")[0] for line in json_lines(done.stderr)] == ["the mail server cannot be used"]
