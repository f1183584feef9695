"""What no other fast test would notice: each of these was written for a fault of tests/mutants that survived."""

import pytest

from bookshop import faces
from bookshop.database import now
from bookshop.extensions import db
from bookshop.inventory.service import StockChange
from bookshop.mail.models import ORDER_READY

EVENTS = "SELECT kind FROM events ORDER BY id"
LEDGER = "SELECT delta, quantity_after, reason FROM movements ORDER BY id"


def test_a_rise_from_more_than_nothing_is_no_restock(shop):
    emma = shop.book(stock=1)
    assert shop.set_stock(emma, 3) == []
    assert shop.rows(EVENTS) == ["stock.changed", "book.restocked", "stock.changed"]


def test_a_reservation_says_when_the_book_came_and_not_when_it_was_made(shop, script):
    ada, emma = shop.customer(), shop.book()
    shop.reserve(ada, emma)
    begun = now()
    shop.set_stock(emma, 1)
    said = script("ada@example.com").get("/api/v1/prebookings/1").json
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
        assert faces.update_stock(StockChange(book_id=emma, quantity=1)).notified == ["ada@example.com"]
        db.session.rollback()
    assert (shop.stock(emma), shop.statuses(emma), shop.rows("SELECT id FROM messages")) == (0, ["waiting"], [])


def test_a_worker_that_wakes_up_after_its_lease_sends_nothing(shop):
    shop.order(shop.customer(), {shop.book(stock=1): 1})
    assert list(shop.commit(lambda: faces.mail().claim(1, "frozen", 600))) == [1]
    assert shop.commit(lambda: faces.mail().get_to_send(1, "frozen")) is not None
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    assert shop.commit(lambda: faces.mail().get_to_send(1, "frozen")) is None


def test_a_message_about_an_order_is_queued_once_for_each_kind(shop):
    order_id = shop.order(shop.customer(), {shop.book(stock=1): 1})
    for _again in range(2):
        shop.commit(lambda: faces.mail().queue_of_orders(ORDER_READY, [order_id]))
    assert shop.rows("SELECT kind FROM messages ORDER BY id") == ["order_placed", "order_ready"]


def test_an_order_is_for_the_price_of_its_moment(shop):
    ada, emma = shop.customer(), shop.book(stock=1, price_cents=950)
    shop.fill_cart(ada, {emma: 1})
    shop.commit(lambda: faces.catalog().update(emma, {"price_cents": 1200}))
    shop.order(ada, {})
    assert shop.rows("SELECT price_cents FROM order_lines") == [1200]


@pytest.fixture
def ada(shop, visitor, script):
    """Ada with a login and a token: functions that say whether each lets her in."""
    shop.customer()
    browser, program = visitor("ada@example.com"), script("ada@example.com")
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
    shop.commit(lambda: faces.accounts().reactivate(user_id))
    assert not ada[key]()
