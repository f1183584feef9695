"""Races about login links, on both databases, with real threads, and negative controls without the locks."""

from functools import partial

import pytest
from flask_login import login_user
from sqlalchemy.exc import OperationalError

from bookshop.accounts import logging_in
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.repository import UserRepository
from bookshop.catalog.repository import BookRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, fields_of, press

ADA = "ada@example.com"
FIND = (LinkRepository, "find")
LOCK_OWNER = (UserRepository, "lock_by_email")
USE = (LinkRepository, "use")
INSERT = (PreBookRepository, "insert_if_out_of_stock")
READ_BOOK = (BookRepository, "get")
UPDATE = {" FOR NO KEY UPDATE": "", " FOR SHARE": ""}


@pytest.fixture
def book_id(shop):
    return shop.book("Emma")


@pytest.fixture
def started(shop, web_client, mailbox, book_id):
    """Start to reserve the book in a new browser; return what presses the button of its link there."""

    def start(**changes):
        browser = web_client()
        shop.execute("DELETE FROM attempts")
        browser.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}", email=ADA)
        path = delivered_link(mailbox)
        return partial(browser.post, path, **(fields_of(browser.get(path).text) | changes))

    return start


def counts(shop):
    """Return the numbers of accounts, logins and reservations."""
    return tuple(shop.rows(f"SELECT count(*) FROM {table}")[0] for table in ("users", "login_sessions", "prebookings"))


def twice(started, patience=races.SHORT):
    """Press the button of one link in two tabs at once, both before there is an account; returns the statuses."""
    press_one = started()
    answers = races.interleave(LOCK_OWNER, press_one, partial(press_one, key="z" * 22), patience)
    return sorted(answer.status_code for answer in answers)


def test_a_link_that_is_clicked_twice_at_once_makes_one_account_one_login_and_one_reservation(shop, started):
    assert twice(started) == [303, 404]
    assert (counts(shop), shop.broken()) == ((1, 1, 1), [])


def test_if_a_link_were_used_whatever_its_state_it_would_work_twice(app, shop, started, monkeypatch):
    monkeypatch.setattr(LinkRepository, "use", lambda *_self: True)
    shop.execute("DROP INDEX ix_login_sessions_link_id")
    try:
        with races.without_lock(app, UPDATE):
            assert twice(started, races.LONG) == [303, 303]
    finally:
        shop.execute("DELETE FROM login_sessions")
        shop.execute("CREATE UNIQUE INDEX ix_login_sessions_link_id ON login_sessions (link_id)")


def test_of_two_clicks_on_the_same_button_both_are_answered_and_one_counts(shop, started):
    press_once = started()
    answers = races.interleave(USE, press_once, press_once)
    assert [answer.status_code for answer in answers] == [303, 303]
    assert (counts(shop), shop.broken()) == ((1, 1, 1), [])


def two_links(shop, started):
    """Press the buttons of two links to one new address at once, in two browsers."""
    answers = races.interleave(LOCK_OWNER, started(), started())
    return sorted(answer.status_code for answer in answers)


def test_of_two_links_for_one_address_one_creates_the_account_and_ends_the_other(shop, started):
    assert two_links(shop, started) == [303, 404]
    assert (counts(shop), shop.broken()) == ((1, 1, 1), [])


def test_without_ending_the_other_links_both_would_be_used(shop, started, monkeypatch):
    monkeypatch.setattr(LinkRepository, "end", lambda *_self, **_which: None)
    assert two_links(shop, started) == [303, 303]


def pressed_while_deleting(shop, started):
    """Delete the account of the address while the button is being pressed; returns the status of the press."""
    ada = shop.customer(ADA)
    delete = partial(shop.commit, lambda: services.people().delete(ada, PASSWORD))
    return races.interleave(FIND, started(), delete)[0].status_code


def test_a_link_is_void_if_its_account_is_deleted_meanwhile(shop, started):
    assert pressed_while_deleting(shop, started) == 404
    assert shop.rows("SELECT count(*) FROM users WHERE deleted_at IS NULL") == [0]
    assert (shop.statuses(1), shop.broken()) == ([], [])


def test_if_deleting_an_account_left_its_links_one_could_bring_it_back(shop, started, monkeypatch):
    monkeypatch.setattr(LinkRepository, "delete_by_user", lambda *_self: None)
    assert pressed_while_deleting(shop, started) == 303
    assert shop.rows("SELECT count(*) FROM users WHERE deleted_at IS NULL") == [1]


def pressed_while_restocking(shop, started, book_id):
    """Restock the book just after the press has reserved it, before it commits; returns the customers who were told."""
    return races.interleave(INSERT, started(), lambda: shop.set_stock(book_id, 1))[1]


def test_a_restock_during_the_press_tells_the_customer(shop, started, book_id):
    assert pressed_while_restocking(shop, started, book_id) == [ADA]
    assert (shop.statuses(book_id), shop.broken()) == (["notified"], [])


def test_with_a_naive_reservation_the_customer_is_stranded(app, shop, started, book_id):
    press_button = started()
    with races.without_lock(app, UPDATE), races.naive_reservation():
        told = races.interleave(READ_BOOK, press_button, lambda: shop.set_stock(book_id, 1), races.LONG)[1]
    assert (told, shop.statuses(book_id)) == ([], ["waiting"])


def test_a_restock_just_before_the_press_offers_the_book_instead(shop, web_client, mailbox, book_id):
    browser = web_client()
    browser.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}", email=ADA)
    press_button = partial(press, browser, delivered_link(mailbox))
    answer, _told = races.interleave(FIND, press_button, lambda: shop.set_stock(book_id, 1))
    assert "Emma is back in stock, so you can order it now." in text_of(browser.follow(answer.location))
    assert (shop.statuses(book_id), shop.broken()) == ([], [])


class Deadlock(Exception):
    """What the database's driver raises for a transaction that has lost a deadlock."""

    sqlstate = "40P01"


def test_a_press_that_loses_a_deadlock_at_its_end_is_done_again_as_a_whole(shop, started, monkeypatch):
    shop.customer(ADA)
    tries = []

    def log_in_and_fail_once(identity):
        login_user(identity)
        tries.append(identity.login_id)
        if len(tries) == 1:
            raise OperationalError("COMMIT", {}, Deadlock())

    monkeypatch.setattr(logging_in, "login_user", log_in_and_fail_once)
    assert started()().status_code == 303
    assert (counts(shop), len(set(tries)), shop.broken()) == ((1, 1, 1), 2, [])
