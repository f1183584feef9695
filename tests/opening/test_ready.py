"""The list Ready to open, from nothing done to everything, and what it says when something changes again."""

import re

import pytest

from bookshop.content.starters import TITLES
from bookshop.operations.beats import record_beat
from tests.support.clients import text_of
from tests.support.mailbox import LINK
from tests.support.routes import COOKIE
from tests.support.settings import settings_for
from tests.support.smtp import RCPT, Fault

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
    return text_of(open_page(browser, path))


def open_page(browser, path="/admin/ready"):
    browser.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value, domain="books.example.com")
    return browser.client.get(path, base_url=BASE, headers={"X-Forwarded-For": "1.1.1.1"})


def done(words):
    """Return the names of the checks that are done."""
    return set(re.findall(r"(\w+): done", words))


def section(browser, key):
    """Return the text of one check, and where the links in it lead."""
    [found] = re.findall(f'aria-labelledby="{key}">(.*?)</section>', open_page(browser).text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", found).split()), re.findall('<a href="([^"]+)"', found)


def message_link(mail_queue):
    """Send the message that is queued, and return the path of the link in it."""
    mail_queue.run_worker()
    content = mail_queue.smtp_server.received[-1].content.decode().replace("=\r\n", "")
    return next(link for link in LINK.findall(content) if "/admin/ready/mail/" in link).removeprefix(BASE)


def test_an_owner_goes_through_the_list_until_everything_is_done(app, shop, public, web_client, tmp_path):
    shop.owner(OWNER)
    owner = web_client(OWNER)
    assert done(open_list(owner)) == {"address", "HTTPS", "Proxies", "Postage"}
    assert "4 of 10 done. Go to Ready to open" in open_list(owner, "/admin")
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
    others = {"details", "pages", "Books", "worker", "backup"}
    assert done(open_list(owner)) == {"address", "HTTPS", "Proxies", "Postage", *others}
    phone, link = web_client(), message_link(public)
    assert (phone.get(link).status_code, "E-mail: to do" in open_list(owner)) == (200, True)
    assert "The message has arrived" in text_of(phone.submit(link))
    assert "Everything is done: the shop can open." in open_list(owner)
    assert "Before you open" not in open_list(owner, "/admin")


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
    damaged = web_client().get(link[:-1])
    sentence = "Copy the whole link from the e-mail, or send yourself another one from the list Ready to open."
    assert (damaged.status_code, f"This link is incomplete. {sentence}" in text_of(damaged)) == (404, True)


def test_e_mail_that_has_stopped_working_is_to_do_until_another_message_arrives(shop, public, web_client):
    shop.owner(OWNER)
    owner = web_client(OWNER)
    owner.submit("/admin/ready/mail", page="/admin/ready")
    owner.submit(message_link(public))
    assert section(owner, "mail")[0].startswith("E-mail: done")
    public.smtp_server.fault = Fault(RCPT, "550 The sender is blocked")
    for times, words in ((1, "The last e-mail could not be sent."), (2, "2 of the last 2 e-mails could not be sent.")):
        owner.submit("/admin/ready/mail", page="/admin/ready")
        public.run_worker()
        assert section(owner, "mail")[0].startswith(f"E-mail: to do {words} Look under Mail for the reason"), times
        assert "/admin/mail" in section(owner, "mail")[1]
    public.smtp_server.fault = None
    owner.submit("/admin/ready/mail", page="/admin/ready")
    link = message_link(public)
    assert "2 of the last 3 e-mails could not be sent." in section(owner, "mail")[0]
    owner.submit(link)
    assert section(owner, "mail")[0].startswith("E-mail: done")


def test_e_mail_that_waits_for_long_is_to_do_and_one_wrong_address_among_many_is_not(shop, public, web_client):
    shop.owner(OWNER)
    owner = web_client(OWNER)
    owner.submit("/admin/ready/mail", page="/admin/ready")
    owner.submit(message_link(public))
    public.smtp_server.unknown.add(public.queue(3)[0])
    public.run_worker()
    assert (public.states()["failed"], section(owner, "mail")[0][:12]) == (1, "E-mail: done")
    owner.submit("/admin/ready/mail", page="/admin/ready")
    shop.execute("UPDATE messages SET next_attempt_at = '2026-01-01 12:00:00' WHERE state = 'queued'")
    assert "E-mail: to do E-mails have been waiting for more than 15 minutes." in section(owner, "mail")[0]
    public.run_worker()
    assert section(owner, "mail")[0].startswith("E-mail: done")


def test_pages_with_blanks_are_to_do_and_the_list_leads_to_the_missing_details(shop, public, web_client):
    shop.owner(OWNER)
    owner = web_client(OWNER)
    for slug in TITLES:
        body = "{name} {phone} {vat} {unknown}" if slug in {"imprint", "terms"} else "Reviewed"
        state = "draft" if slug == "terms" else "published"
        owner.submit(f"/admin/pages/{slug}", title=TITLES[slug], body=body, state=state, version="0")
    words, links = section(owner, "pages")
    blank = "Visitors read \u201c(not entered yet)\u201d on Imprint."
    assert f"to do {blank} Enter the phone number and the VAT number, or take" in words
    assert links == ["/admin/settings#phone", "/admin/settings#vat_number", "/admin/pages"]
    shop.describe(phone="01865 1")
    assert section(owner, "pages")[1] == ["/admin/settings#vat_number", "/admin/pages"]
    owner.submit("/admin/pages/imprint", title="Imprint", body="{name} {phone}", state="published", version="1")
    assert section(owner, "pages") == ("Terms, privacy and other pages: done You have reviewed all texts.", [])


def test_a_shop_that_posts_orders_is_told_that_its_postage_is_missing(shop, public, web_client):
    """As after an upgrade: without it nothing is posted any more."""
    shop.owner(OWNER)
    shop.describe(post_orders=True, postage_cents=None)
    owner = web_client(OWNER)
    assert "Postage: to do Enter the postage" in open_list(owner)
    assert "3 of 10 done." in open_list(owner, "/admin")
    assert 'href="/admin/settings#postage"' in owner.get("/admin/ready").text
    assert 'id="postage"' in owner.get("/admin/settings").text
    shop.describe(postage_cents=0)
    assert "Postage: done" in open_list(owner)


def test_booksellers_read_the_list_and_are_told_to_ask_an_owner(shop, public, web_client):
    shop.staff(STAFF)
    staff = web_client(STAFF)
    assert section(staff, "books")[1] == ["/admin/imports"]
    assert "Ask an owner" not in section(staff, "books")[0]
    others = [section(staff, key) for key in ("worker", "mail", "backup", "details", "pages")]
    assert all(words.endswith("Ask an owner to do this.") for words, _links in others)
    assert [links for _words, links in others] == [[]] * len(others)


def test_a_demo_has_no_list(app, shop, web_client, monkeypatch):
    shop.owner(OWNER)
    monkeypatch.setitem(app.config, "SETTINGS", settings_for("sqlite:////demo.db", demo=True))
    assert "This is a demo" in text_of(web_client(OWNER).get("/admin/ready"))
    assert "Before you open" not in text_of(web_client(OWNER).get("/admin"))
