"""After a restore, no event gets a position, and so no webhook id, of an event that was written since the backup."""

import pytest

from bookshop.feed import service as feed
from bookshop.web import services
from bookshop.webhooks import service as webhooks
from bookshop.webhooks.worker import WebhookWorker
from tests.support.backups import run
from tests.support.clients import ApiClient

STAFF = "staff@example.com"


@pytest.fixture
def emma(shop):
    """A book with two events, at the positions 1 and 2."""
    shop.staff(STAFF)
    return shop.book("Emma", stock=1)


@pytest.fixture
def backup(app, emma, tmp_path):
    assert run(app, "backup", tmp_path / "shop.zip").exit_code == 0
    return tmp_path / "shop.zip"


def restore(app, backup):
    assert run(app, "restore", backup, "--replace", "--yes").exit_code == 0


def positions(app, after=0):
    """Return the positions that a script reads from there on, page after page."""
    script, found, more = ApiClient(app, STAFF), [], True
    while more:
        page = script.get("/api/v1/events", after=after, size=2).get_json()
        found += [event["id"] for event in page["items"]]
        assert page["next"] > after or not page["more"]
        after, more = page["next"], page["more"]
    return found


def test_a_script_that_read_further_than_the_backup_misses_no_event_and_confuses_none(app, shop, emma, backup):
    for stock in (2, 3, 4):
        shop.set_stock(emma, stock)
    assert positions(app, after=2) == [3, 4, 5]
    restore(app, backup)
    assert (positions(app, after=5), positions(app)) == ([], [1, 2])
    shop.set_stock(emma, 9)
    (new,) = positions(app, after=5)
    assert new > 10_000_000
    assert (positions(app), positions(app, after=2), shop.broken()) == ([1, 2, new], [new], [])


def test_each_restore_skips_positions_even_of_a_shop_without_events_since(app, shop, emma, backup, tmp_path):
    restore(app, backup)
    assert run(app, "backup", tmp_path / "again.zip").exit_code == 0
    restore(app, tmp_path / "again.zip")
    shop.set_stock(emma, 2)
    assert positions(app)[-1] > 20_000_000
    assert shop.broken() == []


def test_pages_and_deliveries_do_not_search_what_was_skipped(app, shop, emma, tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "SCAN_MAX", 2)
    monkeypatch.setattr(webhooks, "BATCH", 2)
    with app.app_context():
        services.register_webhook(1, "https://1.1.1.1/hooks", ["*"])
    shop.set_stock(emma, 2)
    assert run(app, "backup", tmp_path / "shop.zip").exit_code == 0
    restore(app, tmp_path / "shop.zip")
    for stock in (3, 4, 5):
        shop.set_stock(emma, stock)
    with app.app_context():
        WebhookWorker().queue_new()
    delivered = shop.rows("SELECT position FROM webhook_deliveries d JOIN events e ON e.id = d.event_id ORDER BY d.id")
    assert (delivered, shop.broken()) == (positions(app, after=2), [])
    assert len(delivered) == 4


def test_a_lost_event_is_found_in_spite_of_skipped_positions(app, shop, emma, backup):
    restore(app, backup)
    for stock in (2, 3):
        shop.set_stock(emma, stock)
    last = positions(app)[-1]
    shop.execute("UPDATE events SET position = position + 1 WHERE position = :last", last=last)
    assert [line.partition(" (")[0] for line in shop.broken()] == [
        f"the event at position {last + 1} follows position {last - 1}"
    ]
