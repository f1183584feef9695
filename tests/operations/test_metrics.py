"""Metrics: who may read them, what they count, and what they say about the database."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from bookshop import create_app
from bookshop.extensions import db
from bookshop.web.probes import PROBES
from tests.operations.test_health import beat
from tests.support.settings import settings_for

TOKEN = "a token for tests".replace(" ", "-")
ADA, BEN = "ada@example.com", "ben@example.com"
REQUESTS = "bookshop_http_requests_total"


def read(client, token=TOKEN):
    """Return all samples: name, and values of the labels by their names' order -> value."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    return samples_of(answer.text)


def samples_of(page):
    families = text_string_to_metric_families(page)
    return {
        (one.name, *(one.labels[name] for name in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


@pytest.fixture
def counting(app, database_url):
    """A client of the same shop, with metrics."""
    return create_app(settings_for(database_url, metrics_token=TOKEN)).test_client()


def test_metrics_need_their_token_and_without_one_in_the_settings_there_are_none(app, counting):
    for header in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer ü"},
    ):
        answer = counting.get("/metrics", headers=header)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert app.test_client().get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    assert read(counting)["bookshop_database_up",] == 1


def test_requests_are_counted_by_route_and_status_and_never_by_path(counting):
    for path in ("/", "/books/1", "/books/2", "/nothing", "/login/link/secret"):
        counting.get(path)
    counting.open("/", method="BREW")
    found = read(counting)
    counted = {key[1:]: value for key, value in found.items() if key[0] == REQUESTS}
    assert counted == {
        ("GET", "/", "200"): 1,
        ("GET", "/books/<int:book_id>", "404"): 2,
        ("GET", "/login/link/<token>", "404"): 1,
        ("GET", "unmatched", "404"): 1,
        ("other", "unmatched", "405"): 1,
    }
    assert found["bookshop_http_request_duration_seconds_count", "GET", "/books/<int:book_id>"] == 2


def test_the_figures_of_the_shop_come_from_its_database(shop, counting):
    ada, ben = shop.customer(ADA), shop.customer(BEN)
    emma, persuasion = shop.book("Emma"), shop.book("Persuasion")
    for user_id, book_id in ((ada, emma), (ben, emma), (ada, persuasion)):
        shop.reserve(user_id, book_id)
    shop.set_stock(emma, 3)
    shop.set_stock(emma, 5)
    shop.execute("UPDATE messages SET state = 'failed' WHERE user_id = :ben", ben=ben)
    beat(shop, "mail", 20)
    found = read(counting)
    queues = {state: found["bookshop_messages", state] for state in ("queued", "sending", "failed")}
    assert queues == {"queued": 1, "sending": 0, "failed": 1}
    assert (found["bookshop_restocks_total",], found["bookshop_reservations_waiting",]) == (1, 1)
    assert 0 < found["bookshop_oldest_unsent_message_seconds",] < 60
    assert 20 <= found["bookshop_worker_last_seen_seconds", "mail"] < 80
    assert found["bookshop_last_backup_seconds",] == float("inf")
    assert found["bookshop_worker_last_seen_seconds", "webhooks"] == float("inf")


BREAKS = {
    "has stock": "UPDATE books SET stock_quantity = 2 WHERE id = 1",
    "is withdrawn": "UPDATE books SET withdrawn_at = created_at WHERE id = 1",
    "is deactivated": "UPDATE users SET deactivated_at = created_at WHERE id = 1",
}


@pytest.mark.parametrize("statement", BREAKS.values(), ids=BREAKS)
def test_a_row_broken_by_hand_is_counted_as_stranded(shop, counting, statement):
    shop.reserve(shop.customer(ADA), shop.book())
    assert read(counting)["bookshop_reservations_stranded",] == 0
    shop.execute(statement)
    assert read(counting)["bookshop_reservations_stranded",] == 1
    assert [line for line in shop.broken() if line.startswith("pre-booking 1 is waiting")] != []


def test_without_a_database_there_are_still_the_metrics_of_the_processes():
    client = create_app(settings_for("sqlite:////nowhere/shop.db", metrics_token=TOKEN)).test_client()
    client.get("/health/ready")
    found = read(client)
    assert (found["bookshop_database_up",], found[REQUESTS, "GET", "/health/ready", "503"]) == (0, 1)
    assert ("bookshop_messages", "queued") not in found


def test_every_figure_is_read_from_an_index(sqlite_url, app_on):
    """On SQLite, as PostgreSQL reads tables as small as here without their indexes."""
    app_on(sqlite_url)
    app, asked = create_app(settings_for(sqlite_url, metrics_token=TOKEN)), []
    engine = app.extensions[PROBES].engine
    event.listen(engine, "before_cursor_execute", lambda _connection, _cursor, *sent: asked.append(sent[:2]))
    read(app.test_client())
    with app.app_context(), db.engine.connect() as connection:
        plans = [
            (sql, row[3])
            for sql, values in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    scans = [plan for _sql, plan in plans if plan.startswith(("SCAN", "SEARCH")) and "INDEX" not in plan]
    assert [plan for plan in scans if "PRIMARY KEY" not in plan] == ["SCAN backups", "SCAN worker_beats"]  # a few rows
    assert len(plans) > 6
