"""Alerts stopped because the book sold out or was withdrawn: queued again when it is back, and sent once."""

from collections import Counter

import pytest

from bookshop.alerts.service import AlertService
from bookshop.mail.models import RESTOCK
from bookshop.mailer.repository import MailerRepository
from bookshop.mailer.service import MailerService
from bookshop.web import services
from tests.admin.test_admin_delivery import check, receive
from tests.support import races, smtp
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD, isbn

ADA, BEN, CLEO, STAFF = (f"{name}@example.com" for name in ("ada", "ben", "cleo", "staff"))
STATES = "SELECT state, reason FROM messages WHERE kind = 'restock' ORDER BY id"
KEYS = "SELECT id, dedupe_key, message_id FROM messages WHERE kind = 'restock' ORDER BY id"
ISBN = isbn(7)
GONE, QUEUED, SENT = ("suppressed", "gone"), ("queued", None), ("sent", None)


@pytest.fixture
def emma(shop):
    """A book about which Ada (user 1) and Cleo (user 3) were notified; Ben (user 2) buys the copies."""
    for address in (ADA, BEN, CLEO):
        shop.customer(address)
    shop.staff(STAFF)
    book = shop.book("Emma", isbn=ISBN)
    for user_id in (1, 3):
        shop.reserve(user_id, book)
    shop.set_stock(book, 1)
    return book


def alerts(messages):
    return sorted(message["To"] for message in messages if message["Message-ID"].startswith("<restock."))


# ---------------------------------------------------------------- how the book becomes unavailable, and available again


def sold_out_when_due(shop, mailbox, emma):
    shop.order(2, {emma: 1})
    assert alerts(mailbox.deliver()) == []


def withdrawn_when_due(shop, mailbox, emma):
    shop.withdraw(emma)
    assert alerts(mailbox.deliver()) == []


def withdrawn_and_sold_out(shop, mailbox, emma):
    withdrawn_when_due(shop, mailbox, emma)
    shop.set_stock(emma, 0)


GOES = {
    "set to 0": lambda shop, _box, emma: shop.set_stock(emma, 0),
    "sold out when due": sold_out_when_due,
    "withdrawn when due": withdrawn_when_due,
    "withdrawn and sold out": withdrawn_and_sold_out,
}


def press_put_back(shop, emma):
    WebClient(shop.app, STAFF).submit(f"/admin/books/{emma}/put-back", page=f"/admin/books/{emma}/stock")


def import_copies(shop, _emma, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text("title,authors,stock_quantity\nEmma,Jane Austen,3\n")
    shop.app.test_cli_runner().invoke(args=["books", "import", str(path)])


@pytest.mark.parametrize("name", GOES)
def test_an_alert_stopped_as_sold_out_is_queued_again_at_the_next_restock_and_sent_once(shop, mailbox, emma, name):
    GOES[name](shop, mailbox, emma)
    before = shop.rows(KEYS)
    assert shop.rows(STATES) == [GONE, GONE]
    if "withdrawn" in name:
        press_put_back(shop, emma)
    shop.set_stock(emma, 5)
    assert (shop.rows(STATES), shop.rows(KEYS)) == ([QUEUED, QUEUED], before)
    assert (alerts(mailbox.deliver()), shop.broken()) == ([ADA, CLEO], [])
    for copies in (0, 5):
        shop.set_stock(emma, copies)
    assert (alerts(mailbox.deliver()), shop.rows(STATES), shop.broken()) == ([], [SENT, SENT], [])


def test_copies_received_while_withdrawn_notify_when_the_book_is_put_back(shop, mailbox, emma):
    withdrawn_and_sold_out(shop, mailbox, emma)
    shop.set_stock(emma, 5)
    assert shop.rows(STATES) == [GONE, GONE]
    staff = WebClient(shop.app, STAFF)
    answer = staff.submit(f"/admin/books/{emma}/put-back", page=f"/admin/books/{emma}/stock")
    assert "The book is on sale again. 2 e-mails that were stopped earlier will be sent after all." in text_of(
        staff.get(answer.location)
    )
    assert (alerts(mailbox.deliver()), shop.broken()) == ([ADA, CLEO], [])


def test_a_withdrawn_book_put_back_without_copies_is_still_out_of_stock(shop, mailbox, emma):
    withdrawn_and_sold_out(shop, mailbox, emma)
    press_put_back(shop, emma)
    assert (shop.rows(STATES), shop.broken()) == ([GONE, GONE], [])


BACK = {
    "stock page": lambda shop, emma, _tmp_path: WebClient(shop.app, STAFF).submit(
        f"/admin/books/{emma}/stock", change="received", copies="3", expected="0"
    ),
    "stock json": lambda shop, emma, _tmp_path: ApiClient(shop.app, STAFF).set_stock(emma, 3),
    "batch": lambda shop, emma, _tmp_path: ApiClient(shop.app, STAFF).post(
        "/api/v1/stock/batch", {"lines": [{"isbn": ISBN, "delta": 3}]}
    ),
    "import": import_copies,
    "cancelled order": lambda shop, _emma, _tmp_path: shop.cancel_order(2, 1),
}


@pytest.mark.parametrize("name", BACK)
def test_every_kind_of_restock_queues_stopped_alerts_again(shop, mailbox, emma, tmp_path, name):
    sold_out_when_due(shop, mailbox, emma)
    BACK[name](shop, emma, tmp_path)
    assert (shop.rows(STATES), alerts(mailbox.deliver()), shop.broken()) == ([QUEUED, QUEUED], [ADA, CLEO], [])


def test_a_delivery_shows_before_and_after_which_stopped_e_mails_are_sent_again(shop, mailbox, emma):
    shop.set_stock(emma, 0)
    shop.reserve(2, emma)
    staff = WebClient(shop.app, STAFF)
    preview = check(staff, f"{ISBN} 3")
    assert "3 customers will be notified, 2 of them by e-mails that were stopped earlier." in text_of(preview)
    assert "notified 1 customer. 2 e-mails that were stopped earlier will" in text_of(receive(staff, preview))
    assert (alerts(mailbox.deliver()), shop.broken()) == ([ADA, BEN, CLEO], [])


def test_alerts_that_are_queued_again_wait_for_the_usual_delay(shop, mailbox, emma):
    for copies in (0, 5):
        shop.set_stock(emma, copies)
    mailbox.run_worker()
    assert shop.rows(STATES) == [QUEUED, QUEUED]


def test_the_response_counts_alerts_and_notified_customers_separately(shop, emma):
    shop.set_stock(emma, 0)
    shop.reserve(2, emma)
    api_client = ApiClient(shop.app, STAFF)
    answer = api_client.set_stock(emma, 5).get_json()
    assert (answer["notified_count"], answer["alerts_queued"]) == (1, 3)
    shop.set_stock(emma, 0)
    lines = [{"isbn": ISBN, "delta": delta} for delta in (2, -2, 3)]
    batch = api_client.post("/api/v1/stock/batch", {"lines": lines}).get_json()
    assert [line["alerts_queued"] for line in batch["results"]] == [3, 0, 0]
    assert (batch["notified_count"], batch["alerts_queued"], shop.rows(STATES)) == (0, 3, [QUEUED] * 3)


def test_a_batch_that_ends_at_stock_0_queues_no_alert(shop, emma):
    shop.set_stock(emma, 0)
    lines = [{"isbn": ISBN, "delta": delta} for delta in (2, -2)]
    batch = ApiClient(shop.app, STAFF).post("/api/v1/stock/batch", {"lines": lines}).get_json()
    assert (batch["alerts_queued"], shop.rows(STATES), shop.broken()) == (0, [GONE, GONE], [])


def test_the_page_shows_how_many_e_mails_are_sent_after_all(shop, emma):
    shop.set_stock(emma, 0)
    staff, path = WebClient(shop.app, STAFF), f"/admin/books/{emma}/stock"
    staff.submit(path, change="received", copies="3", expected="0")
    words = text_of(staff.get(path))
    assert "2 e-mails that were stopped earlier will be sent after all. The e-mails will be sent in 60" in words


# ---------------------------------------------------------------- permanent reasons


def buy(shop, emma):
    shop.order(1, {emma: 1})


def buy_and_cancel(shop, emma):
    shop.cancel_order(1, shop.order(1, {emma: 1}))


def reserve_again(shop, emma):
    shop.reserve(1, emma)


def reserve_again_and_cancel(shop, emma):
    reserve_again(shop, emma)
    shop.cancel(1, shop.rows("SELECT max(id) FROM prebookings")[0])


def unsubscribe(shop, _emma):
    shop.commit(lambda: services.people().set_alerts(1, False))


def unsubscribe_for_a_while(shop, emma):
    unsubscribe(shop, emma)
    shop.commit(lambda: services.people().set_alerts(1, True))


def deactivate_for_a_while(shop, _emma):
    shop.deactivate(ADA)
    shop.commit(lambda: services.people().reactivate(1))


# What Ada does while the book is unavailable, or with its last copy; the permanent reason; the alerts she gets.
WINS = {
    "bought": (buy, "bought", []),
    "bought and cancelled": (buy_and_cancel, "bought", []),
    "reserved again": (reserve_again, "reserved_again", [ADA]),
    "reserved again and cancelled": (reserve_again_and_cancel, "reserved_again", []),
    "unsubscribed": (unsubscribe, "unsubscribed", []),
    "unsubscribed for a while": (unsubscribe_for_a_while, "unsubscribed", []),
    "deactivated": (lambda shop, _emma: shop.deactivate(ADA), "closed", []),
    "deactivated for a while": (deactivate_for_a_while, "closed", []),
    "left": (lambda shop, _emma: shop.commit(lambda: services.people().delete(1, PASSWORD)), "closed", []),
}


@pytest.mark.parametrize("name", WINS)
def test_permanent_reasons_prevent_a_stopped_alert_from_being_queued_again(shop, mailbox, emma, name):
    action, reason, emailed = WINS[name]
    if not name.startswith("bought"):
        shop.set_stock(emma, 0)
    action(shop, emma)
    shop.set_stock(emma, 0)
    mailbox.deliver()
    for copies in (5, 0, 5):
        shop.set_stock(emma, copies)
        mailbox.seen.clear()
    arrived = [to for to in alerts(mailbox.deliver()) if to != CLEO]
    assert (shop.rows(STATES)[0], arrived) == (("suppressed", reason), emailed)
    assert shop.broken() == []


@pytest.mark.parametrize("state", ["failed", "sending", "sent"])
def test_sent_in_progress_and_failed_alerts_are_never_queued_again(shop, emma, state):
    more = {"sending": ", lease = 'x'", "sent": ", sent_at = created_at"}.get(state, "")
    shop.execute(f"UPDATE messages SET state = '{state}'{more} WHERE kind = 'restock'")
    for copies in (0, 5):
        shop.set_stock(emma, copies)
    assert shop.rows(STATES) == [(state, None)] * 2


def test_an_alert_that_staff_dropped_stays_dropped(shop, emma):
    shop.commit(lambda: services.mail().drop([1]))
    for copies in (0, 5):
        shop.set_stock(emma, copies)
    assert shop.rows(STATES) == [("suppressed", "dropped"), QUEUED]


def test_alerts_about_other_books_stay_as_they_are(shop, emma):
    other = shop.book("Persuasion")
    shop.reserve(1, other)
    for copies in (1, 0):
        shop.set_stock(other, copies)
    shop.set_stock(emma, 0)
    shop.set_stock(emma, 5)
    assert shop.rows(STATES) == [QUEUED, QUEUED, GONE]


# ---------------------------------------------------------------- a worker and a concurrent restock


def stop_while_restocked(app, shop, mailbox, emma):
    """The worker finds the book sold out; before it records that, the book is restocked."""
    shop.order(2, {emma: 1})
    shop.execute("UPDATE messages SET next_attempt_at = created_at WHERE kind = 'restock'")
    races.interleave((MailerRepository, "get_to_send"), mailbox.run_worker, lambda: shop.set_stock(emma, 5))
    return alerts(mailbox.deliver())


def test_a_restock_just_before_the_worker_stops_an_alert_is_not_missed(app, shop, mailbox, emma):
    assert stop_while_restocked(app, shop, mailbox, emma) == [ADA, CLEO]
    assert (shop.rows(STATES), shop.broken()) == ([SENT, SENT], [])


def test_a_worker_that_does_not_check_again_under_the_lock_misses_the_restock(app, shop, mailbox, emma, monkeypatch):
    def suppress(self, message_id, lease, reason, _book_id):
        self.messages.settle(lease, message_id, state="suppressed", reason=reason)
        return True

    monkeypatch.setattr(MailerService, "suppress_if_gone", suppress)
    assert stop_while_restocked(app, shop, mailbox, emma) != [ADA, CLEO]
    assert "is stopped as gone" in " ".join(shop.broken())


def restock_repeatedly(mail_queue, customers):
    """Run a worker and restock one copy, round after round; every fifth e-mail sells the last copy."""
    book, buyer = smtp.book_with_waiting_customers(mail_queue.shop, customers), mail_queue.shop.customer(BEN)

    def sell(_message):
        if len(mail_queue.smtp_server.received) % 5 == 0:
            mail_queue.shop.order(buyer, {book: 1})

    mail_queue.smtp_server.on_message = sell
    for _round in range(customers):
        races.run_concurrently([mail_queue.run_worker, lambda: mail_queue.shop.set_stock(book, 1)])
        sent = [
            mail_queue.smtp_server.count_by_id.get(one.message_id, 0)
            for one in mail_queue.messages()
            if one.kind == RESTOCK
        ]
        if 0 not in sent:
            break
    return sent


@pytest.mark.parametrize("customers", [30, pytest.param(100, marks=pytest.mark.prove)])
def test_concurrent_restocks_sales_and_workers_alert_everyone_once_if_copies_remain(mail_queue, customers):
    assert restock_repeatedly(mail_queue, customers) == [1] * customers
    assert mail_queue.shop.broken() == []


def test_without_queueing_again_a_customer_gets_no_alert(mail_queue, monkeypatch):
    monkeypatch.setattr(AlertService, "queue_again", lambda *_arguments: Counter())
    assert 0 in restock_repeatedly(mail_queue, 10)
