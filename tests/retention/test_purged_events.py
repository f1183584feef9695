"""Purging events: from the oldest on, and what readers and webhooks then get."""

import pytest

from bookshop.feed.repository import FeedRepository
from tests.retention.test_purge import (
    STAFF,
    age,
    assign_positions,
    days_ago,
    full_shop,
    positions,
    purge,
    queue_deliveries,
    receiver,
)
from tests.support import races
from tests.support.clients import ApiClient

__all__ = ["full_shop"]  # a fixture


def many_events(app, shop, number=12):
    """Create events of the last years, the newest of them a month old."""
    if not shop.rows("SELECT id FROM users"):
        shop.staff(STAFF)
    emma = shop.book()
    for quantity in range(1, number):
        shop.set_stock(emma, quantity)
    assign_positions(app)
    for position in positions(shop):
        days = 30 + 100 * (number - position)
        shop.execute("UPDATE events SET created_at = :t WHERE position = :p", t=days_ago(days), p=position)


def test_events_go_from_the_oldest_on_and_the_others_keep_their_positions(app, shop):
    many_events(app, shop)
    assert purge(app) == {"events": 8}
    assert positions(shop) == [9, 10, 11, 12]
    shop.set_stock(1, 99)
    assign_positions(app)
    assert (positions(shop), shop.broken()) == ([9, 10, 11, 12, 13], [])


def test_an_old_event_behind_a_younger_one_waits(app, shop):
    many_events(app, shop)
    shop.execute("UPDATE events SET created_at = :now WHERE position = 4", now=days_ago(0))
    assert purge(app) == {"events": 3}


def test_the_newest_event_is_always_kept_and_the_next_follows_it(app, shop):
    many_events(app, shop)
    shop.execute("UPDATE events SET created_at = :time", time=days_ago(3650))
    assert purge(app) == {"events": 11}
    shop.set_stock(1, 99)
    assign_positions(app)
    assert (positions(shop), shop.broken()) == ([12, 13], [])


def test_events_that_a_webhook_has_not_been_given_are_kept(app, shop):
    many_events(app, shop)
    receiver(app, shop)
    shop.execute("UPDATE webhooks SET position = 3")
    assert purge(app) == {"events": 3}
    queue_deliveries(app)
    assert shop.rows("SELECT count(*) FROM webhook_deliveries") == [9]
    assert purge(app) == {}


def test_an_event_stays_as_long_as_a_delivery_of_it(app, shop):
    many_events(app, shop)
    receiver(app, shop)
    shop.execute("UPDATE webhooks SET position = 1")
    queue_deliveries(app)
    shop.execute("UPDATE webhook_deliveries SET state = 'failed', queued_at = :time WHERE id <= 3", time=days_ago(31))
    assert purge(app) == {"webhook deliveries": 3, "events": 4}
    assert shop.broken() == []


@pytest.mark.parametrize("fault", ["position = 5", "position = 9", "position = 10", "position > 0"])
def test_after_a_purge_a_missing_event_is_still_found(app, shop, fault):
    many_events(app, shop)
    purge(app)
    shop.execute(f"DELETE FROM events WHERE {fault}")
    assert bool(shop.broken()) == (fault != "position = 5")  # which the purge has removed


def test_a_movement_whose_event_was_purged_before_that_of_an_older_one_is_no_fault(app, shop):
    """Transactions that overlap may get their events in another order than their movements."""
    many_events(app, shop)
    shop.execute("UPDATE events SET movement_id = 17 - movement_id WHERE movement_id IN (8, 9)")
    purge(app)
    assert shop.broken() == []


# ---------------------------------------------------------------- reading from before the oldest


def read(app, **query):
    return ApiClient(app, STAFF).get("/api/v1/events", **query)


def test_reading_from_before_the_oldest_event_is_a_problem_that_names_it(app, shop):
    many_events(app, shop)
    purge(app)
    for after in (0, 7):
        problem = read(app, after=after)
        assert (problem.status_code, problem.json["code"], problem.json["oldest"]) == (410, "EVENTS_PURGED", 9)
    assert [one["id"] for one in read(app, after=8).json["items"]] == [9, 10, 11, 12]
    assert read(app, after=12).json == {"items": [], "next": 12, "more": False}


def test_a_first_read_without_a_position_starts_with_the_oldest_event(app, shop):
    many_events(app, shop)
    purge(app)
    first = read(app, size=2).json
    assert ([one["id"] for one in first["items"]], first["next"]) == ([9, 10], 10)


def test_a_reader_of_an_empty_shop_is_told_when_its_first_events_are_gone(app, shop):
    shop.staff(STAFF)
    started = read(app).json["next"]
    many_events(app, shop)
    purge(app)
    assert (started, read(app, after=started).status_code) == (0, 410)


def test_a_purge_while_a_reader_reads_never_leaves_a_gap(app, shop):
    many_events(app, shop)
    script = ApiClient(app, STAFF)
    answer, _purged = races.interleave(
        (FeedRepository, "last_position"), lambda: script.get("/api/v1/events", after=0), lambda: purge(app), races.LONG
    )
    body = answer.get_json()
    if "items" in body:  # SQLite reads everything as it was before
        assert [one["id"] for one in body["items"]] == [*range(1, 13)]
    else:
        assert body["code"] == "EVENTS_PURGED"


def test_a_delivery_whose_event_is_gone_cannot_be_sent_again(app, full_shop):
    age(full_shop, "webhook deliveries", 60)
    full_shop.execute("UPDATE events SET created_at = :time", time=days_ago(3650))
    assert purge(app)["events"] > 0
    script = ApiClient(app, STAFF)
    gone = script.post("/api/v1/webhooks/1/deliveries/1/redeliver")
    assert (gone.status_code, gone.get_json()["code"]) == (404, "WEBHOOK_DELIVERY_NOT_FOUND")
    assert "deletes old ones" in gone.get_json()["detail"]
