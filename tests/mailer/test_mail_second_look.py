"""Messages that became untrue or pointless while waiting, and retries by staff."""

import pytest

from bookshop.web import services
from tests.support.factories import PASSWORD

ADA, BEN = "ada@example.com", "ben@example.com"
STATES = "SELECT kind, state, reason FROM messages ORDER BY id"


@pytest.fixture
def emma(shop):
    """A restocked book with an alert to Ada (user 1); Ben is user 2."""
    shop.customer(ADA)
    shop.customer(BEN)
    book = shop.book("Emma")
    shop.reserve(1, book)
    shop.set_stock(book, 1)
    return book


def kinds(messages):
    return [message["Message-ID"].strip("<").partition(".")[0] for message in messages]


def test_reserving_again_before_the_first_alert_is_sent_gets_one_alert_for_both(shop, mailbox, emma):
    shop.order(2, {emma: 1})
    shop.reserve(1, emma)
    shop.set_stock(emma, 1)
    assert [(message["To"], *kinds([message])) for message in mailbox.deliver()] == [
        (BEN, "order_placed"),
        (ADA, "restock"),
    ]
    assert shop.rows(STATES)[0] == ("restock", "suppressed", "reserved_again")
    assert shop.broken() == []


def test_staff_can_send_a_stopped_alert_if_the_book_is_in_stock(shop, mailbox, emma):
    shop.set_stock(emma, 0)
    shop.commit(lambda: services.mail().retry([1]))
    assert (mailbox.deliver(), shop.rows(STATES)) == ([], [("restock", "suppressed", "gone")])
    shop.execute("UPDATE messages SET reason = 'dropped'")
    shop.set_stock(emma, 2)
    shop.commit(lambda: services.mail().retry([1]))
    assert kinds(mailbox.deliver()) == ["restock"]
    shop.commit(lambda: services.mail().retry([1]))
    assert (mailbox.deliver(), shop.broken()) == ([], [])


def test_an_import_that_takes_the_last_copy_stops_the_alerts(shop, mailbox, emma, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text("title,authors,stock_quantity\nEmma,Jane Austen,0\n")
    shop.app.test_cli_runner().invoke(args=["books", "import", str(path)])
    assert shop.rows(STATES) == [("restock", "suppressed", "gone")]


@pytest.mark.parametrize(("attempts", "sent"), [(0, ["order_placed", "order_cancelled"]), (1, ["order_cancelled"])])
def test_an_order_confirmation_is_never_sent_after_its_cancellation(shop, mailbox, emma, attempts, sent):
    order = shop.order(2, {emma: 1})
    shop.execute("DELETE FROM messages WHERE kind = 'restock'")
    shop.execute("UPDATE messages SET attempts = :attempts", attempts=attempts)
    shop.cancel_order(2, order)
    assert kinds(mailbox.deliver()) == sent


def test_a_server_reply_about_a_deleted_account_does_not_contain_its_address(shop, emma):
    lease = "a worker"
    shop.commit(lambda: services.mail().retry([1]))
    shop.commit(lambda: services.mail().claim(1, lease, 60))
    shop.commit(lambda: services.people().delete(1, PASSWORD))
    shop.commit(lambda: services.mailer().mark_sent(1, lease))
    assert shop.rows("SELECT recipient, state FROM messages") == [("deleted-1", "sent")]
