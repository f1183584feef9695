"""The purge of every night: by one worker, even if a night is missed or a worker is killed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bookshop.extensions import db
from bookshop.kit.database import later
from bookshop.retention import worker
from bookshop.retention.repository import RetentionRepository
from bookshop.retention.service import RetentionService, next_night
from bookshop.retention.worker import Purge, nightly_purge, purge_if_due
from bookshop.web import services
from tests.retention.test_purge import days_ago
from tests.support import races
from tests.support.mailbox import DUE_NOW

ADA = "ada@example.com"


def old_form(shop, key="x"):
    shop.execute("INSERT INTO sent_forms (key, created_at) VALUES (:key, :time)", key=key, time=days_ago(2))


def forms(shop):
    return shop.rows("SELECT count(*) FROM sent_forms")[0]


def look(app):
    """Let a worker look whether to purge; returns whether it has purged."""
    with app.app_context():
        return purge_if_due(pause=0) is not None


def let_time_pass(shop, days=1):
    """Make the next purge due that many days earlier."""
    (due_at,) = shop.rows("SELECT due_at FROM purge_state")
    due_at = datetime.fromisoformat(str(due_at)).replace(tzinfo=UTC)
    shop.execute("UPDATE purge_state SET due_at = :time", time=days_ago(days))
    return due_at


@pytest.fixture
def night(app, shop):
    """It is night: the purge is due, and there is something to purge."""
    assert not look(app)
    old_form(shop)
    let_time_pass(shop)


@pytest.mark.parametrize(
    ("zone", "time", "night"),
    [
        ("UTC", "2026-11-29T01:59:59", "2026-11-29T02:00"),
        ("UTC", "2026-11-29T02:00", "2026-11-30T02:00"),
        ("UTC", "2026-12-31T23:00", "2027-01-01T02:00"),
        ("America/New_York", "2026-11-30T05:00", "2026-11-30T07:00"),
        ("Pacific/Auckland", "2026-11-29T12:59", "2026-11-29T13:00"),
        ("Pacific/Auckland", "2026-11-29T13:00", "2026-11-30T13:00"),
        # In Berlin, the clock goes from 2:00 to 3:00 on 29 March, and from 3:00 to 2:00 on 25 October.
        ("Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-03-29T01:00", "2026-03-30T00:00"),
        ("Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:00"),
        ("Europe/Berlin", "2026-10-25T00:00", "2026-10-26T01:00"),
        ("Europe/Berlin", "2026-10-25T01:30", "2026-10-26T01:00"),
    ],
)
def test_the_next_night_is_the_next_time_that_it_is_two_in_the_morning_in_the_zone_of_the_shop(zone, time, night):
    found = next_night(datetime.fromisoformat(f"{time}Z"), ZoneInfo(zone))
    assert (found, found.utcoffset()) == (datetime.fromisoformat(f"{night}Z"), timedelta(0))


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/New_York"])
def test_the_next_purge_is_due_in_the_night_of_the_shop(app, shop, zone):
    shop.describe(time_zone=zone)
    look(app)
    due = [let_time_pass(shop), look(app), let_time_pass(shop)]
    assert [time.astimezone(ZoneInfo(zone)).hour for time in (due[0], due[2])] == [2, 2]


def test_the_first_worker_waits_for_the_night(app, shop):
    old_form(shop)
    assert (look(app), look(app), forms(shop)) == (False, False, 1)


def test_a_worker_purges_once_a_night(app, shop, night):
    assert (look(app), look(app), forms(shop)) == (True, False, 0)


def test_a_missed_night_is_made_up_for_once(app, shop, night):
    let_time_pass(shop, days=5)
    assert [look(app), look(app)] == [True, False]


def test_of_two_workers_only_one_purges(app, shop, night):
    answers = races.interleave((RetentionRepository, "is_due"), lambda: look(app), lambda: look(app), races.SHORT)
    assert sorted(answers) == [False, True]


def test_without_the_condition_of_the_claim_both_would(app, shop, night, monkeypatch):
    def claim(self, seconds):
        self.set_due(later(0))
        return True

    monkeypatch.setattr(RetentionRepository, "claim", claim)
    answers = races.interleave((RetentionRepository, "is_due"), lambda: look(app), lambda: look(app), races.SHORT)
    assert answers == (True, True)


def test_another_worker_takes_over_from_a_killed_one_when_its_lease_has_expired(app, shop, night):
    shop.commit(lambda: services.retention().claim())
    assert not look(app)
    let_time_pass(shop)
    assert (look(app), forms(shop)) == (True, 0)


def test_a_worker_that_is_stopped_leaves_the_rest_to_the_next(app, shop, night):
    with app.app_context():
        purge_if_due(stopping=lambda: True)
    assert (forms(shop), look(app), forms(shop)) == (1, True, 0)


def test_each_batch_extends_the_lease(app, shop, night, monkeypatch):
    renewed = []
    monkeypatch.setattr(RetentionService, "renew", lambda _service: renewed.append(forms(shop)))
    look(app)
    assert renewed == [1]


def test_the_worker_sends_e_mail_while_the_purge_hangs(app, shop, night, mailbox, monkeypatch):
    ada, emma = shop.customer(ADA), shop.book()
    shop.reserve(ada, emma)
    shop.set_stock(emma, 1)
    shop.execute(DUE_NOW)
    sent = []

    def hang(_purge):
        mailbox.run_worker()
        sent.extend(mailbox.new())
        return {}

    monkeypatch.setattr(Purge, "run", hang)
    app.test_cli_runner().invoke(args=["worker", "--once"])
    assert len(sent) + len(mailbox.new()) == 1


def test_worker_once_purges_if_it_is_night(app, shop, night):
    done = app.test_cli_runner().invoke(args=["worker", "--once"])
    assert (done.exit_code, forms(shop)) == (0, 0)


def test_a_purge_that_fails_does_not_stop_the_worker(app, shop, night, monkeypatch, caplog):
    monkeypatch.setattr(RetentionService, "kinds", None)
    done = app.test_cli_runner().invoke(args=["worker", "--once"])
    assert (done.exit_code, "a step of the worker has failed" in caplog.text) == (0, True)


def test_the_watch_ends_with_its_block(app, night, shop, monkeypatch):
    monkeypatch.setattr(worker, "CHECK", 600)
    with app.app_context():
        with nightly_purge(lambda: False, once=False):
            pass
        db.session.rollback()
    assert forms(shop) in {0, 1}
