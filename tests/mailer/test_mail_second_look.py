"""What became untrue or pointless while a message waited, and what staff send after all."""

import pytest

from bookshop.web import services
from tests.support.factories import PASSWORD

ADA, BEN = "ada@example.com", "ben@example.com"
STATES = "SELECT kind, state, reason FROM messages ORDER BY id"


@pytest.fixture
def emma(shop):
    """A book of which Ada, the user 1, is told that it is back; Ben is the user 2."""
    shop.customer(ADA)
    shop.customer(BEN)
    book = shop.book("Emma")
    shop.reserve(1, book)
    shop.set_stock(book, 1)
    return book


def kinds(messages):
    return [message["Message-ID"].strip("<").partition(".")[0] for message in messages]


def test_who_reserves_anew_before_the_first_alert_left_gets_one_alert_for_both(shop, box, emma):
    shop.order(2, {emma: 1})
    shop.reserve(1, emma)
    shop.set_stock(emma, 1)
    assert [(message["To"], *kinds([message])) for message in box.deliver()] == [
        (BEN, "order_placed"),
        (ADA, "restock"),
    ]
    assert shop.rows(STATES)[0] == ("restock", "suppressed", "reserved_again")
    assert shop.broken() == []


def test_an_alert_that_was_stopped_leaves_after_all_if_staff_say_so_and_the_book_is_there(shop, box, emma):
    shop.set_stock(emma, 0)
    shop.commit(lambda: services.mail().retry([1]))
    assert (box.deliver(), shop.rows(STATES)) == ([], [("restock", "suppressed", "gone")])
    shop.execute("UPDATE messages SET reason = 'dropped'")
    shop.set_stock(emma, 2)
    shop.commit(lambda: services.mail().retry([1]))
    assert kinds(box.deliver()) == ["restock"]
    shop.commit(lambda: services.mail().retry([1]))
    assert (box.deliver(), shop.broken()) == ([], [])


def test_an_import_that_takes_the_last_copy_stops_the_alerts(shop, box, emma, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text("title,authors,stock_quantity\nEmma,Jane Austen,0\n")
    shop.app.test_cli_runner().invoke(args=["books", "import", str(path)])
    assert shop.rows(STATES) == [("restock", "suppressed", "gone")]


@pytest.mark.parametrize(("attempts", "sent"), [(0, ["order_placed", "order_cancelled"]), (1, ["order_cancelled"])])
def test_a_confirmation_of_an_order_never_comes_after_its_cancellation(shop, box, emma, attempts, sent):
    order = shop.order(2, {emma: 1})
    shop.execute("DELETE FROM messages WHERE kind = 'restock'")
    shop.execute("UPDATE messages SET attempts = :attempts", attempts=attempts)
    shop.cancel_order(2, order)
    assert kinds(box.deliver()) == sent


def test_a_link_for_a_new_password_is_not_sent_hours_later(shop, box, emma):
    shop.commit(lambda: services.email_links().ask_for_reset(BEN))
    shop.execute("UPDATE messages SET created_at = '2026-01-01 00:00:00'")
    assert "password_reset" not in kinds(box.deliver())
    assert shop.rows(STATES)[-1] == ("password_reset", "suppressed", "too_old")


def test_who_returns_to_a_former_address_is_asked_to_confirm_it(shop, box, emma):
    for address in ("lovelace@example.com", ADA, "lovelace@example.com", ADA):
        shop.commit(lambda address=address: services.accounts().change_email(1, address, PASSWORD))
    shop.set_stock(emma, 0)
    assert [(message["To"], *kinds([message])) for message in box.deliver()] == [(ADA, "confirmation")]


def test_what_the_server_said_of_who_left_meanwhile_does_not_name_them(shop, emma):
    lease = "a worker"
    shop.commit(lambda: services.mail().retry([1]))
    shop.commit(lambda: services.mail().claim(1, lease, 60))
    shop.commit(lambda: services.people().delete(1, PASSWORD))
    shop.commit(lambda: services.mailer().mark_sent(1, lease))
    assert shop.rows("SELECT recipient, state FROM messages") == [("deleted-1", "sent")]
