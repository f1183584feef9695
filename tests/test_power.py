"""What no other fast test would notice: each of these was written for a fault of tests/mutants that survived."""

import sqlite3
from contextlib import closing
from functools import partial

import pytest

from bookshop.accounts.service import CheckedPassword
from bookshop.catalog.isbn import isbn13
from bookshop.extensions import db
from bookshop.inventory.service import StockChange
from bookshop.kit.database import now
from bookshop.kit.exceptions import Invalid
from bookshop.mail.models import ORDER_READY
from bookshop.mailer.repository import MailerRepository
from bookshop.web import services
from bookshop.webhooks.models import MOST_WEBHOOKS
from bookshop.webhooks.repository import WebhookRepository
from tests.support import races
from tests.support.factories import PASSWORD

EVENTS = "SELECT kind FROM events ORDER BY id"
LEDGER = "SELECT delta, quantity_after, reason FROM movements ORDER BY id"
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_rise_from_more_than_nothing_is_no_restock(shop):
    emma = shop.book(stock=1)
    assert shop.set_stock(emma, 3) == []
    assert shop.rows(EVENTS) == ["stock.changed", "book.restocked", "stock.changed"]


def test_a_reservation_says_when_the_book_came_and_not_when_it_was_made(shop, api_client):
    ada, emma = shop.customer(), shop.book()
    shop.reserve(ada, emma)
    begun = now()
    shop.set_stock(emma, 1)
    said = api_client("ada@example.com").get("/api/v1/prebookings/1").json
    assert said["created_at"] < begun.isoformat() <= said["notified_at"]


def test_a_fall_of_the_stock_is_a_line_of_the_ledger(shop):
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


def test_a_worker_that_wakes_up_after_its_lease_sends_nothing(shop):
    shop.order(shop.customer(), {shop.book(stock=1): 1})
    assert list(shop.commit(lambda: services.mail().claim(1, "frozen", 600))) == [1]
    assert shop.commit(lambda: services.repository(MailerRepository).get_to_send(1, "frozen")) is not None
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    assert shop.commit(lambda: services.repository(MailerRepository).get_to_send(1, "frozen")) is None


def test_a_message_about_an_order_is_queued_once_for_each_kind(shop):
    ada = shop.customer()
    order_id = shop.order(ada, {shop.book(stock=1): 1})
    for _again in range(2):
        shop.commit(lambda: services.mail().queue_of_order(ORDER_READY, order_id, ada, "ada@example.com"))
    assert shop.rows("SELECT kind FROM messages ORDER BY id") == ["order_placed", "order_ready"]


def test_an_order_is_for_the_price_of_its_moment(shop):
    ada, emma = shop.customer(), shop.book(stock=1, price_cents=950)
    shop.fill_cart(ada, {emma: 1})
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1200}))
    shop.order(ada, {})
    assert shop.rows("SELECT price_cents FROM order_lines") == [1200]


@pytest.mark.parametrize("left", ["234567899", "34567895", "4567897", "567892"])
def test_all_zeros_that_a_spreadsheet_dropped_are_put_back(app, shop, tmp_path, left):
    path = tmp_path / "books.csv"
    path.write_text(f"isbn,title,authors\n{left},Emma,Jane Austen\n")
    app.test_cli_runner().invoke(args=["books", "import", str(path)])
    assert shop.rows("SELECT isbn FROM books") == [isbn13(left.rjust(10, "0"))]


def test_a_user_who_was_seen_before_the_lock_is_read_anew_after_it(app, shop):
    user_id = shop.customer()
    with app.app_context():
        seen = services.accounts().get_user(user_id)
        shop.deactivate("ada@example.com")
        with pytest.raises(Invalid):
            services.commit(lambda: services.accounts().log_in(CheckedPassword(user_id, seen.password_hash), PASSWORD))


def test_an_order_that_was_seen_before_it_changed_is_read_anew(app, shop):
    ada = shop.customer()
    order_id = shop.order(ada, {shop.book(stock=1): 1})
    with app.app_context():
        seen = services.orders().get(ada, order_id)
        shop.cancel_order(ada, order_id)
        assert services.commit(lambda: services.orders().get(ada, order_id)) is seen
        assert seen.status == "cancelled"


@pytest.fixture
def last_webhook(app, shop):
    """Lets two members of staff register the last webhook that there may be, when both have counted; what they got."""
    staff = shop.staff()

    def register():
        return services.webhooks().register(staff, "https://1.1.1.1/", ["*"]).id

    def race(patience):
        for _one in range(MOST_WEBHOOKS - 1):
            shop.commit(register)
        with races.meeting((WebhookRepository, "count"), 2, patience):
            return races.together([partial(races.attempt, app, register)] * 2)

    return race


def test_of_two_who_register_the_last_webhook_at_the_same_moment_one_is_refused(last_webhook):
    assert last_webhook(races.SHORT).count("WEBHOOK_LIMIT") == 1


@on_postgresql
def test_twin_without_the_lock_there_is_one_webhook_too_many(last_webhook, monkeypatch):
    monkeypatch.setattr(WebhookRepository, "lock_registration", lambda _self: None)
    assert last_webhook(races.LONG).count("WEBHOOK_LIMIT") == 0


@on_sqlite
def test_a_writer_of_sqlite_has_its_turn_from_the_beginning(app, database_url):
    """SQLite only. A writer that began as a reader would be refused after another write."""

    def write_beside():
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=0)) as beside:
            beside.execute("BEGIN IMMEDIATE")

    with app.app_context(), pytest.raises(sqlite3.OperationalError, match="locked"):
        services.commit(write_beside)


@pytest.fixture
def ada(shop, web_client, api_client):
    """Ada with a login and a token: functions that say whether each lets her in."""
    shop.customer()
    browser, program = web_client("ada@example.com"), api_client("ada@example.com")
    return {
        "login": lambda: browser.get("/reservations").status_code == 200,
        "token": lambda: program.get("/api/v1/prebookings").status_code == 200,
    }


@pytest.mark.parametrize("key", ["login", "token"])
def test_a_deactivated_user_is_nobody_whatever_became_of_logins_and_tokens(shop, ada, key):
    assert ada[key]()
    shop.execute("UPDATE users SET deactivated_at = created_at")
    assert not ada[key]()


@pytest.mark.parametrize("key", ["login", "token"])
def test_a_deactivation_ends_logins_and_tokens_for_good(shop, ada, key):
    user_id = shop.rows("SELECT id FROM users")[0]
    shop.deactivate("ada@example.com")
    shop.commit(lambda: services.accounts().reactivate(user_id))
    assert not ada[key]()
