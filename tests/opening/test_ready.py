"""The list Ready to open, from nothing done to everything, and what it says when something changes again."""

import re

import pytest

from bookshop.content.starters import TITLES
from bookshop.operations.beats import record_beat
from tests.support.clients import text_of
from tests.support.mailbox import LINK
from tests.support.routes import COOKIE
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

BASE = "https://books.example.com"
OWNER, STAFF = "owner@example.com", "staff@example.com"
HOURS = ["9:00\u201318:30", *[""] * 6]


@pytest.fixture
def public(app, mail_queue, monkeypatch):
    """A shop with a mail server, a public address and a proxy; returns the mail server."""
    changes = {"base_url": BASE, "trusted_proxies": 1}
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"].model_copy(update=changes))
    return mail_queue


def open_list(browser, path="/admin/ready"):
    """Open a page at the public address, through a proxy; return its text."""
    browser.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value, domain="books.example.com")
    return text_of(browser.client.get(path, base_url=BASE, headers={"X-Forwarded-For": "1.1.1.1"}))


def done(words):
    """Return the names of the checks that are done."""
    return set(re.findall(r"(\w+): done", words))


def message_link(mail_queue):
    """Send the message that is queued, and return the path of the link in it."""
    mail_queue.run_worker()
    content = mail_queue.smtp_server.received[-1].content.decode().replace("=\r\n", "")
    return next(link for link in LINK.findall(content) if "/admin/ready/mail/" in link).removeprefix(BASE)


def test_an_owner_goes_through_the_list_until_everything_is_done(app, shop, public, web_client, tmp_path):
    shop.owner(OWNER)
    owner = web_client(OWNER)
    assert done(open_list(owner)) == {"address", "HTTPS", "Proxies"}
    assert "3 of 9 done. Go to Ready to open" in open_list(owner, "/admin")
    shop.describe(street="1 High Street", city="Oxford", email="shop@example.com", week=HOURS)
    for slug in TITLES:
        owner.submit(f"/admin/pages/{slug}", title=slug, body="Reviewed", state="published", version="0")
    shop.book("Emma")
    assert app.test_cli_runner().invoke(args=["backup", str(tmp_path / "shop.zip")]).exit_code == 0
    with app.app_context():
        record_beat("w", "mail")
        record_beat("w", "webhooks")
    sent = owner.submit("/admin/ready/mail", page="/admin/ready")
    assert f"We've sent a message to {OWNER}." in text_of(owner.get(sent.location))
    assert done(open_list(owner)) == {"address", "HTTPS", "Proxies", "details", "pages", "Books", "worker", "backup"}
    phone, link = web_client(), message_link(public)
    assert (phone.get(link).status_code, "E-mail: to do" in open_list(owner)) == (200, True)
    assert "The message has arrived" in text_of(phone.submit(link))
    assert "Everything is done: the shop can open." in open_list(owner)
    assert "Ready to open" not in open_list(owner, "/admin")


def test_a_message_counts_for_the_settings_with_which_it_was_sent(shop, public, web_client):
    shop.owner(OWNER)
    owner = web_client(OWNER)
    owner.submit("/admin/ready/mail", page="/admin/ready")
    link = message_link(public)
    owner.submit(link)
    assert "E-mail: done" in open_list(owner)
    public.use("smtp://mail.example.com")
    assert "E-mail: to do" in open_list(owner)
    late = text_of(owner.submit(link, page="/account"))
    assert ("This message is out of date" in late, "E-mail: to do" in open_list(owner)) == (True, True)
    assert web_client().get("/admin/ready/mail/forged").status_code == 404


def test_booksellers_read_the_list_and_owners_act(shop, public, web_client):
    shop.staff(STAFF)
    words = open_list(web_client(STAFF))
    assert ("Import a file" in words, "Send me a message" in words, "Go to Settings" in words) == (True, False, False)


def test_a_demo_has_no_list(app, shop, web_client, monkeypatch):
    shop.owner(OWNER)
    monkeypatch.setitem(app.config, "SETTINGS", settings_for("sqlite:////demo.db", demo=True))
    assert "This is a demo" in text_of(web_client(OWNER).get("/admin/ready"))
    assert "Ready to open" not in text_of(web_client(OWNER).get("/admin"))
