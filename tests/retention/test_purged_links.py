"""Links in e-mails are purged with the addresses that they were sent to, but never before they have expired."""

import os
import time

import pytest

from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import LOGIN, UNDO
from bookshop.retention.worker import Purge
from bookshop.web import services
from tests.retention.test_purge import days_ago
from tests.support.links import delivered_link, press

ADA = "ada@example.com"
HALF_AN_HOUR = 1 / 48


def purge(app):
    with app.app_context():
        Purge(pause=0).run()


def ask(shop):
    """Ask for a login link, as a script does."""
    shop.commit(lambda: services.login_links().request(LinkRequest(ADA)))


def set_time(shop, column, days, seconds=0):
    shop.execute(f"UPDATE login_links SET {column} = :time", time=days_ago(days, seconds))


def links(shop):
    return shop.rows("SELECT count(*) FROM login_links")[0]


@pytest.mark.parametrize(("purpose", "days"), [(LOGIN, HALF_AN_HOUR), (UNDO, 7)])
def test_a_link_is_kept_as_long_as_it_works(app, shop, purpose, days):
    owner = {} if purpose == LOGIN else {"user_id": shop.customer("new@example.com")}
    shop.commit(lambda: services.login_links().add(purpose, ADA, **owner))
    kept = []
    for seconds in (-60, 60):
        set_time(shop, "sent_at", days, seconds)
        purge(app)
        kept.append(links(shop))
    assert kept == [1, 0]


def test_a_link_that_was_sent_late_is_kept_until_it_has_expired(app, shop, mailbox, web_client):
    ask(shop)
    path = delivered_link(mailbox)
    set_time(shop, "created_at", 1)
    purge(app)
    assert press(web_client(), path, confirmed="y").status_code == 303


@pytest.mark.parametrize("state", ["state = 'queued'", "state = 'sending', lease = 'of a worker'"])
def test_a_link_whose_message_is_still_to_be_sent_is_kept(app, shop, state):
    ask(shop)
    shop.execute(f"UPDATE messages SET {state}")
    set_time(shop, "created_at", 1)
    purge(app)
    assert (links(shop), shop.rows("SELECT recipient FROM messages")) == (1, [ADA])


def test_a_login_stays_when_the_link_that_made_it_is_purged(app, shop, mailbox, web_client):
    browser = web_client()
    ask(shop)
    press(browser, delivered_link(mailbox), confirmed="y")
    set_time(shop, "sent_at", 1)
    purge(app)
    assert (links(shop), shop.rows("SELECT link_id FROM login_sessions")) == (0, [None])
    assert (browser.get("/account").status_code, shop.broken()) == (200, [])


def test_nothing_is_left_of_somebody_who_never_used_the_link(app, shop, mailbox, web_client):
    emma = shop.book("Emma")
    web_client().submit(f"/books/{emma}/reserve", page=f"/books/{emma}", email=ADA)
    mailbox.deliver()
    set_time(shop, "sent_at", 2)
    shop.execute("UPDATE link_actions SET created_at = :time", time=days_ago(2))
    purge(app)
    assert ADA not in str(shop.everything())
    assert shop.rows("SELECT kind, state, recipient FROM messages") == [("login_link", "sent", "")]


def test_the_file_of_a_message_goes_when_the_link_in_it_has_expired(app, mailbox):
    mailbox.folder.mkdir()
    ages = {"login_link": 31, "address_link": 29, "order_placed": 31}
    for number, (kind, minutes) in enumerate(ages.items()):
        path = mailbox.folder / f"{kind}.{str(number) * 32}.eml"
        path.touch()
        os.utime(path, (time.time() - 60 * minutes,) * 2)
    purge(app)
    assert {path.name.partition(".")[0] for path in mailbox.folder.iterdir()} == {"address_link", "order_placed"}


def test_a_message_whose_link_was_purged_is_not_sent_any_more(app, shop, mailbox):
    ask(shop)
    shop.execute("UPDATE messages SET state = 'failed', last_error = '550 ada@example.com'")
    set_time(shop, "created_at", 1)
    purge(app)
    assert shop.rows("SELECT recipient, last_error FROM messages") == [("", None)]
    shop.commit(lambda: services.mail().retry_failed())
    assert mailbox.deliver() == []
    assert shop.rows("SELECT state, reason FROM messages") == [("suppressed", "too_old")]
