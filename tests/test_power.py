"""Tests written for faults of tests/mutants that no other fast test detected."""

import sqlite3
from contextlib import closing
from functools import partial

import pytest

from bookshop.accounts.service import CheckedUser
from bookshop.catalog.isbn import isbn13
from bookshop.extensions import db
from bookshop.inventory.service import StockChange
from bookshop.kit.database import now
from bookshop.kit.exceptions import Invalid
from bookshop.mail.models import ORDER_READY
from bookshop.mailer.repository import MailerRepository
from bookshop.web import services
from bookshop.webhooks.models import MAX_WEBHOOKS
from bookshop.webhooks.repository import WebhookRepository
from tests.support import races

EVENTS = "SELECT kind FROM events ORDER BY id"
LEDGER = "SELECT delta, quantity_after, reason FROM movements ORDER BY id"
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_an_increase_from_more_than_0_is_no_restock(shop):
    emma = shop.book(stock=1)
    assert shop.set_stock(emma, 3) == []
    assert shop.rows(EVENTS) == ["stock.changed", "book.restocked", "stock.changed"]


def test_a_notified_reservation_shows_when_the_book_came_back(shop, api_client):
    ada, emma = shop.customer(), shop.book()
    shop.reserve(ada, emma)
    begun = now()
    shop.set_stock(emma, 1)
    reservation = api_client("ada@example.com").get("/api/v1/prebookings/1").json
    assert reservation["created_at"] < begun.isoformat() <= reservation["notified_at"]


def test_a_decrease_of_the_stock_is_a_movement_in_the_ledger(shop):
    ada, emma = shop.customer(), shop.book(stock=5)
    shop.set_stock(emma, 3)
    shop.order(ada, {emma: 1})
    assert shop.rows(LEDGER) == [(5, 5, "received"), (-2, 3, "correction"), (-1, 2, "sale")]
    assert shop.broken() == []


def test_alerts_are_queued_in_the_transaction_that_notifies(app, shop):
    emma = shop.book()
    shop.reserve(shop.customer(), emma)
    with app.app_context():
        assert services.shelf().update_stock(StockChange(book_id=emma, quantity=1)).notified == ["ada@example.com"]
        db.session.rollback()
    assert (shop.stock(emma), shop.statuses(emma), shop.rows("SELECT id FROM messages")) == (0, ["waiting"], [])


def test_a_worker_that_resumes_after_its_lease_sends_nothing(shop):
    shop.order(shop.customer(), {shop.book(stock=1): 1})
    assert list(shop.commit(lambda: services.mail().claim(1, "frozen", 600))) == [1]
    assert shop.commit(lambda: services.repository(MailerRepository).get_to_send(1, "frozen")) is not None
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    assert shop.commit(lambda: services.repository(MailerRepository).get_to_send(1, "frozen")) is None


def test_a_message_about_an_order_is_queued_once_for_each_kind(shop):
    ada = shop.customer()
    order_id = shop.order(ada, {shop.book(stock=1): 1})
    for _again in range(2):
        shop.commit(lambda: services.mail().queue_order_message(ORDER_READY, order_id, ada, "ada@example.com"))
    assert shop.rows("SELECT kind FROM messages ORDER BY id") == ["order_placed", "order_ready"]


def test_an_order_has_the_price_at_the_time_it_is_placed(shop):
    ada, emma = shop.customer(), shop.book(stock=1, price_cents=950)
    shop.fill_cart(ada, {emma: 1})
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1200}))
    shop.order(ada, {})
    assert shop.rows("SELECT price_cents FROM order_lines") == [1200]


@pytest.mark.parametrize("left", ["234567899", "34567895", "4567897", "567892"])
def test_zeros_dropped_by_a_spreadsheet_are_restored(app, shop, tmp_path, left):
    path = tmp_path / "books.csv"
    path.write_text(f"isbn,title,authors\n{left},Emma,Jane Austen\n")
    app.test_cli_runner().invoke(args=["books", "import", str(path)])
    assert shop.rows("SELECT isbn FROM books") == [isbn13(left.rjust(10, "0"))]


def test_a_user_loaded_before_the_lock_is_refreshed_after_it(app, shop):
    user_id = shop.customer()
    with app.app_context():
        seen = services.accounts().get_user(user_id)
        shop.deactivate("ada@example.com")
        with pytest.raises(Invalid):
            services.commit(lambda: services.accounts().log_in(CheckedUser(user_id, seen.password_hash)))


def test_an_order_loaded_before_it_changed_is_refreshed(app, shop):
    ada = shop.customer()
    order_id = shop.order(ada, {shop.book(stock=1): 1})
    with app.app_context():
        seen = services.orders().get(ada, order_id)
        shop.cancel_order(ada, order_id)
        assert services.commit(lambda: services.orders().get(ada, order_id)) is seen
        assert seen.status == "cancelled"


@pytest.fixture
def last_webhook(app, shop):
    """Let two members of staff register the last allowed webhook, both after counting; return the outcomes."""
    staff = shop.staff()

    def register():
        return services.webhooks().register(staff, "https://1.1.1.1/", ["*"]).id

    def race(patience):
        for _one in range(MAX_WEBHOOKS - 1):
            shop.commit(register)
        with races.barrier_at((WebhookRepository, "count"), 2, patience):
            return races.run_concurrently([partial(races.result_or_code, app, register)] * 2)

    return race


def test_one_of_two_concurrent_registrations_of_the_last_webhook_is_refused(last_webhook):
    assert last_webhook(races.SHORT).count("WEBHOOK_LIMIT") == 1


@on_postgresql
def test_without_the_lock_there_is_one_webhook_too_many(last_webhook, monkeypatch):
    monkeypatch.setattr(WebhookRepository, "lock_registration", lambda _self: None)
    assert last_webhook(races.LONG).count("WEBHOOK_LIMIT") == 0


@on_sqlite
def test_an_sqlite_write_takes_the_lock_at_its_start(app, database_url):
    """SQLite only. A transaction that started as a reader would be refused after another write."""

    def write_beside():
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=0)) as beside:
            beside.execute("BEGIN IMMEDIATE")

    with app.app_context(), pytest.raises(sqlite3.OperationalError, match="locked"):
        services.commit(write_beside)


@pytest.fixture
def ada(shop, web_client, api_client):
    """Ada with a login and a token: functions that report whether each is still valid."""
    shop.customer()
    browser, program = web_client("ada@example.com"), api_client("ada@example.com")
    return {
        "login": lambda: browser.get("/reservations").status_code == 200,
        "token": lambda: program.get("/api/v1/prebookings").status_code == 200,
    }


@pytest.mark.parametrize("key", ["login", "token"])
def test_a_deactivated_user_is_unauthorized_even_if_logins_and_tokens_remain(shop, ada, key):
    assert ada[key]()
    shop.execute("UPDATE users SET deactivated_at = created_at")
    assert not ada[key]()


@pytest.mark.parametrize("key", ["login", "token"])
def test_a_deactivation_ends_logins_and_tokens_permanently(shop, ada, key):
    user_id = shop.rows("SELECT id FROM users")[0]
    shop.deactivate("ada@example.com")
    shop.commit(lambda: services.people().reactivate(user_id))
    assert not ada[key]()
