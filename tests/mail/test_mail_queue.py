"""The messages that events in the shop queue, and the checks before they are sent."""

from collections.abc import Callable

import pytest
from sqlalchemy import event

from bookshop.accounts.models import LOGIN
from bookshop.extensions import db
from bookshop.mail.models import PASSWORD_CHANGED, Message
from bookshop.web import services
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD, isbn
from tests.support.races import insert_customers
from tests.web.test_routes import statements

ADA, BEN, CLEO, STAFF = (f"{name}@example.com" for name in ("ada", "ben", "cleo", "staff"))
ISBN = isbn(7)
EMMA, ORDER = 1, 1
ALERTS = "SELECT user_id, recipient, state, dedupe_key FROM messages WHERE kind = 'restock' ORDER BY id"
OF_ORDERS = "SELECT kind, order_id, recipient FROM messages WHERE kind LIKE 'order%' ORDER BY id"
STATES = "SELECT state, reason FROM messages WHERE kind = :kind"


@pytest.fixture
def emma(shop):
    """A book whose only copy Ben has ordered, with Ada and Cleo (users 1 and 3) waiting."""
    for address in (ADA, BEN, CLEO):
        shop.customer(address)
    shop.staff(STAFF)
    shop.book("Emma", isbn=ISBN, stock=1)
    shop.order(2, {EMMA: 1})
    for user_id in (1, 3):
        shop.reserve(user_id, EMMA)
    return EMMA


def kinds(messages):
    return [message["Message-ID"].strip("<").partition(".")[0] for message in messages]


def outcome(shop, kind):
    """Return the outcome of the only message of a kind, and the reason."""
    (found,) = shop.rows(STATES, kind=kind)
    return found


# ---------------------------------------------------------------- every kind of restock


def by_stock_page(shop, _tmp_path):
    WebClient(shop.app, STAFF).submit("/admin/books/1/stock", change="received", copies="3", expected="0")


def by_stock_json(shop, _tmp_path):
    ApiClient(shop.app, STAFF).set_stock(EMMA, 3)


def by_delivery(shop, _tmp_path):
    page, lines = "/admin/delivery", f"{ISBN} x3"
    WebClient(shop.app, STAFF).submit(page, lines=lines, previewed=f"{ISBN}x3", receive="yes")


def by_import(shop, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text(f"isbn,title,authors,stock_quantity\n{ISBN},Emma,Jane Austen,3\n")
    shop.app.test_cli_runner().invoke(args=["books", "import", str(path)])


def by_customer_cancelling(shop, _tmp_path):
    WebClient(shop.app, BEN).submit("/orders/1/cancel", page="/orders/1")


def by_script_cancelling(shop, _tmp_path):
    ApiClient(shop.app, BEN).post("/api/v1/orders/1/cancel")


def by_staff_cancelling(shop, _tmp_path):
    WebClient(shop.app, STAFF).submit("/admin/orders/cancel", page="/admin", order=["1"])


def by_staff_script_cancelling(shop, _tmp_path):
    ApiClient(shop.app, STAFF).post("/api/v1/admin/orders/1/cancel")


def by_deleting_an_account(shop, _tmp_path):
    WebClient(shop.app, BEN).submit("/account/delete", current=PASSWORD)


WAYS: list[Callable[..., None]] = [
    *(by_stock_page, by_stock_json, by_delivery, by_import, by_customer_cancelling, by_script_cancelling),
    *(by_staff_cancelling, by_staff_script_cancelling, by_deleting_an_account),
]
every_way = pytest.mark.parametrize("come_back", WAYS)


@every_way
def test_each_notified_customer_gets_one_alert_queued_by_one_statement(shop, emma, tmp_path, come_back):
    with statements(shop.app) as sent:
        come_back(shop, tmp_path)
    ids = shop.rows("SELECT id FROM prebookings WHERE status = 'notified' ORDER BY id")
    alerts = [
        (user, address, "queued", f"restock:{ids[at]}") for at, (user, address) in enumerate([(1, ADA), (3, CLEO)])
    ]
    assert shop.rows(ALERTS) == alerts
    assert len([sql for sql in sent if "INSERT INTO messages" in sql and "FROM prebookings" in sql]) == 1
    assert shop.broken() == []


@every_way
def test_a_failed_commit_leaves_no_alert_and_nobody_notified(shop, emma, tmp_path, come_back):
    failed = []

    def fail(connection):
        if connection.exec_driver_sql("SELECT 1 FROM messages WHERE kind = 'restock'").first():
            failed.append("COMMIT")
            raise RuntimeError("the commit fails")

    with shop.app.app_context():
        engine = db.engine
    event.listen(engine, "commit", fail)
    try:
        come_back(shop, tmp_path)
    finally:
        event.remove(engine, "commit", fail)
    assert (failed, shop.rows(ALERTS), shop.statuses(EMMA)) == (["COMMIT"], [], ["waiting", "waiting"])
    assert (shop.stock(EMMA), shop.broken()) == (0, [])


def test_queueing_takes_as_many_queries_for_many_as_for_one(shop, emma):
    customers, counts = insert_customers(shop, 60), []
    for number in (1, 60):
        book_id = shop.book()
        for user_id in customers[:number]:
            shop.reserve(user_id, book_id)
        with statements(shop.app) as sent:
            assert len(shop.set_stock(book_id, 1)) == number
        counts.append(len(sent))
    assert counts[0] == counts[1]
    assert len(shop.rows(ALERTS)) == 61


def test_each_reservation_is_notified_once(shop, emma, mailbox):
    for stock in (2, 1, 0, 3):
        shop.set_stock(EMMA, stock)
    assert len(shop.rows(ALERTS)) == 2
    mailbox.deliver()
    shop.set_stock(EMMA, 0)
    shop.reserve(1, EMMA)
    shop.set_stock(EMMA, 1)
    (again,) = mailbox.deliver()
    assert (kinds([again]), again["To"], len(shop.rows(ALERTS))) == (["restock"], ADA, 3)


# ---------------------------------------------------------------- orders


def test_repeated_order_requests_send_one_confirmation(shop, emma):
    shop.set_stock(EMMA, 5)
    shop.fill_cart(1, {EMMA: 1})
    api_client = ApiClient(shop.app, ADA)
    for _again in range(3):
        headers = {**api_client.headers, "Idempotency-Key": "one"}
        assert api_client.client.post("/api/v1/orders", json={"name": "Ada"}, headers=headers).status_code == 201
    assert shop.rows(OF_ORDERS) == [("order_placed", 1, BEN), ("order_placed", 2, ADA)]


def test_a_button_for_many_orders_pressed_twice_notifies_only_once(shop, emma):
    shop.set_stock(EMMA, 5)
    shop.order(1, {EMMA: 1})
    shop.execute("DELETE FROM messages WHERE kind LIKE 'order%'")
    staff = WebClient(shop.app, STAFF)
    for button in ("ready", "ready", "cancel", "cancel"):
        staff.submit(f"/admin/orders/{button}", page="/admin", order=["1", "2"])
    expected = [(kind, *order) for kind in ("order_ready", "order_cancelled") for order in ((1, BEN), (2, ADA))]
    assert (shop.rows(OF_ORDERS), shop.broken()) == (expected, [])


def test_each_order_status_is_e_mailed_once_except_collected(shop, emma, mailbox):
    for status in ("ready", "collected"):
        shop.change_order(ORDER, status, 4)
        mailbox.deliver()
    assert shop.rows(OF_ORDERS) == [("order_placed", 1, BEN), ("order_ready", 1, BEN)]


def test_an_order_that_cannot_be_placed_creates_no_event(shop, emma):
    shop.set_stock(EMMA, 1)
    for user_id in (1, 3):
        shop.fill_cart(user_id, {EMMA: 1})
    for address in (ADA, CLEO):
        ApiClient(shop.app, address).post("/api/v1/orders", {"name": "First"})
    assert [order for order in shop.rows(OF_ORDERS) if order[1] > 1] == [("order_placed", 2, ADA)]


# ---------------------------------------------------------------- checked before sending


def never_confirmed(shop):
    """Make Ada's and Ben's accounts old ones that were never confirmed."""
    shop.execute("UPDATE users SET never_confirmed = true, email_confirmed_at = NULL WHERE id < 3")


def confirm(shop, address=ADA):
    """Use a login link, which confirms the address."""

    def use():
        links = services.login_links()
        links.use(links.token_to_send(links.add(LOGIN, address).id))

    shop.commit(use)


def set_alerts(wanted):
    return lambda shop: shop.commit(lambda: services.people().set_alerts(1, wanted))


NO_ALERT = {
    "deactivated": (lambda shop: shop.deactivate(ADA), "closed"),
    "unsubscribed": (set_alerts(False), "unsubscribed"),
    "unconfirmed": (never_confirmed, "unconfirmed"),
    "sold out": (lambda shop: shop.order(2, {EMMA: 1}), "gone"),
    "withdrawn": (lambda shop: shop.withdraw(EMMA), "gone"),
}
BUT_THEN = {
    "deactivated": lambda shop: shop.commit(lambda: services.people().reactivate(1)),
    "unsubscribed": set_alerts(True),
    "unconfirmed": confirm,
    "sold out": lambda shop: shop.cancel_order(2, 2),
    "withdrawn": lambda shop: shop.commit(lambda: services.shelf().put_back(EMMA)),
}


@pytest.fixture
def alert_to_ada(shop, emma, mailbox):
    """Only an alert to Ada about the single copy of Emma is queued."""
    shop.cancel(3, 2)
    shop.execute("DELETE FROM messages")
    shop.set_stock(EMMA, 1)
    return mailbox


@pytest.mark.parametrize("name", NO_ALERT)
def test_an_unwanted_or_outdated_alert_is_not_sent(shop, alert_to_ada, name):
    action, reason = NO_ALERT[name]
    action(shop)
    assert outcome(shop, "restock") == ("queued", None)
    assert "restock" not in kinds(alert_to_ada.deliver())
    assert outcome(shop, "restock") == ("suppressed", reason)
    assert (shop.statuses(EMMA), shop.broken()) == (["notified", "cancelled"], [])


@pytest.mark.parametrize("name", BUT_THEN)
def test_an_alert_is_sent_if_its_obstacle_disappears_in_time(shop, alert_to_ada, name):
    NO_ALERT[name][0](shop)
    BUT_THEN[name](shop)
    (alert,) = [message for message in alert_to_ada.deliver() if kinds([message]) == ["restock"]]
    assert alert["To"] == ADA
    assert outcome(shop, "restock")[0] == "sent"


@pytest.mark.parametrize("status", ["collected", "cancelled"])
def test_an_order_that_is_no_longer_ready_is_not_announced_as_ready(shop, emma, mailbox, status):
    for step in ("ready", status):
        shop.change_order(ORDER, step, 4)
    assert "order_ready" not in kinds(mailbox.deliver())
    assert outcome(shop, "order_ready") == ("suppressed", "order_changed")


def queue_notice(shop):
    shop.commit(lambda: services.mail().queue_notice(PASSWORD_CHANGED, 2, BEN))


def test_a_deactivated_user_gets_no_messages(shop, emma, mailbox):
    queue_notice(shop)
    shop.deactivate(BEN)
    assert mailbox.deliver() == []
    for kind in ("order_placed", PASSWORD_CHANGED):
        assert outcome(shop, kind) == ("suppressed", "closed")


def test_an_account_that_was_never_confirmed_gets_neither_order_messages_nor_notices(shop, emma, mailbox):
    queue_notice(shop)
    never_confirmed(shop)
    assert mailbox.deliver() == []
    for kind in ("order_placed", PASSWORD_CHANGED):
        assert outcome(shop, kind) == ("suppressed", "unconfirmed")


def test_unsubscribed_customers_get_order_e_mails(shop, emma, mailbox):
    shop.execute("UPDATE users SET unsubscribed_at = created_at")
    assert kinds(mailbox.deliver()) == ["order_placed"]


# ---------------------------------------------------------------- undo


def test_alerts_wait_for_the_delay_and_other_messages_do_not(shop, emma, mailbox):
    shop.set_stock(EMMA, 3)
    with shop.app.app_context():
        alerts = [message for message in db.session.query(Message) if message.bulk]
        waits = [(alert.next_attempt_at - alert.created_at).total_seconds() for alert in alerts]
    assert waits == pytest.approx([60, 60], abs=0.1)
    mailbox.run_worker()
    assert [state for _user, _to, state, _key in shop.rows(ALERTS)] == ["queued", "queued"]
    assert outcome(shop, "order_placed")[0] == "sent"


def test_without_a_delay_alerts_are_due_at_once(shop, emma, mailbox):
    shop.describe(mail_delay=0)
    shop.set_stock(EMMA, 3)
    mailbox.run_worker()
    assert [state for _user, _to, state, _key in shop.rows(ALERTS)] == ["sent", "sent"]


def test_setting_the_stock_back_to_0_stops_unsent_alerts_and_reservations_stay_notified(shop, alert_to_ada):
    staff = WebClient(shop.app, STAFF)
    fields = {"change": "correction", "copies": "0", "expected": "1"}
    answer = staff.submit("/admin/books/1/stock", **fields)
    assert "1 e-mail was stopped and will be sent" in text_of(staff.get(answer.location))
    assert (alert_to_ada.deliver(), outcome(shop, "restock")) == ([], ("suppressed", "gone"))
    assert shop.statuses(EMMA) == ["notified", "cancelled"]


def test_claimed_and_sent_alerts_and_alerts_of_other_books_are_not_stopped(shop, alert_to_ada):
    other = shop.book("Persuasion")
    for user_id in (1, 3):
        shop.reserve(user_id, other)
    shop.set_stock(other, 1)
    shop.execute("UPDATE messages SET state = 'sending', lease = 'x' WHERE id = (SELECT min(id) FROM messages)")
    shop.set_stock(EMMA, 0)
    assert [state for _user, _to, state, _key in shop.rows(ALERTS)] == ["sending", "queued", "queued"]
