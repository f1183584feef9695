"""Five years of made-up history shrink to what the settings promise, and the shop is as sound as before."""

import pytest
from sqlalchemy import select

from bookshop.alerts.repository import AlertRepository
from bookshop.extensions import db
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.retention.repository import DAY
from bookshop.web import services
from tests.retention.test_purge import purge
from tests.support.clients import ApiClient
from tests.support.history import BOOKS, EVENTS, History

pytestmark = pytest.mark.prove
CYCLES = 1500
OWNER = "c201@example.com"
# By table: the column that says how old a row is, and the days that the settings promise by default.
PROMISED = {
    "login_sessions": ("created_at", 30),
    "login_links": ("created_at", 0.0209),
    "link_actions": ("created_at", 1),
    "api_tokens": ("revoked_at", 90),
    "idempotency_records": ("created_at", 1),
    "sent_forms": ("created_at", 1),
    "attempts": ("forget_at", 0),
    "webhook_deliveries": ("queued_at", 30),
    "events": ("created_at", 365),
    "audit_entries": ("created_at", 730),
}
KEPT = ("users", "books", "movements", "prebookings", "orders", "order_lines", "messages")


@pytest.fixture
def old_shop(app, shop, mailbox):
    History(app, CYCLES)
    assert shop.broken() == []
    return mailbox


def counts(shop, tables):
    return {table: shop.rows(f"SELECT count(*) FROM {table}")[0] for table in tables}


def young(shop):
    """Count the rows of each table that are younger than promised."""
    sqlite = shop.app.config["SETTINGS"].database_url.startswith("sqlite")
    ago = "strftime('%Y-%m-%d %H:%M:%f', 'now', '-{} seconds')" if sqlite else "now() - interval '{} seconds'"
    return {
        table: shop.rows(f"SELECT count(*) FROM {table} WHERE {column} > {ago.format(int(days * DAY))}")[0]
        for table, (column, days) in PROMISED.items()
    }


def test_five_years_shrink_to_what_the_settings_promise(app, shop, old_shop):
    kept, expected = counts(shop, KEPT), young(shop)
    removed = purge(app)
    assert counts(shop, PROMISED) == {table: number or (table == "events") for table, number in expected.items()}
    assert counts(shop, KEPT) == kept
    named = shop.rows("SELECT count(*) FROM messages WHERE recipient <> ''")[0]
    assert named == 3 * CYCLES - removed["recipients of messages"] < 3 * CYCLES / 15
    assert shop.broken() == []
    assert purge(app) == {}


def test_afterwards_nobody_is_told_twice(app, shop, old_shop):
    purge(app)
    queue_all_alerts_again(app)
    for book_id in range(1, BOOKS + 1):
        shop.set_stock(book_id, 1)
    old_shop.run_worker()
    assert shop.rows("SELECT state, count(*) FROM messages GROUP BY state") == [("sent", 3 * CYCLES)]
    assert (list(old_shop.folder.glob("*")), shop.broken()) == ([], [])


def queue_all_alerts_again(app):
    """Queue the alerts of every restock, as if each had just happened."""
    with app.app_context():
        restocks = db.session.scalars(select(Movement.id).where(IS_RESTOCK)).all()
        db.session.rollback()
        services.commit(lambda: AlertRepository(db.session()).insert(restocks, 0, ".again@localhost>"))


def test_afterwards_the_feed_can_be_read_from_the_oldest_event_on_without_a_gap(app, shop, old_shop):
    purge(app)
    script, last = ApiClient(app, OWNER), CYCLES * len(EVENTS)
    problem = script.get("/api/v1/events", after=0)
    assert (problem.status_code, problem.get_json()["code"]) == (410, "EVENTS_PURGED")
    page = script.get("/api/v1/events", after=problem.get_json()["oldest"] - 1, size=1000).get_json()
    positions = [one["id"] for one in page["items"]]
    while page["more"]:
        page = script.get("/api/v1/events", after=page["next"], size=1000).get_json()
        positions += [one["id"] for one in page["items"]]
    assert positions == [*range(problem.get_json()["oldest"], last + 1)]
    assert abs(len(positions) - last / 5) < len(EVENTS) * 2
