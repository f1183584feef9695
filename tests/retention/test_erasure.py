"""After an account is deleted, nothing of the person is left in the database or in the shop's files."""

import io
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import make_url

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.login_links import LinkRequest
from bookshop.cart.repository import CartEntry
from bookshop.checkout.service import Checkout
from bookshop.extensions import db
from bookshop.idempotency.repository import IdempotencyRepository
from bookshop.kit.outbox import WorkerTiming
from bookshop.mail.models import PASSWORD_CHANGED
from bookshop.mailer.worker import MailWorker
from bookshop.retention import worker
from bookshop.retention.worker import Purge
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker
from tests.support import races
from tests.support.clients import ApiClient, WebClient
from tests.support.databases import TABLES
from tests.support.factories import PASSWORD, Shop
from tests.support.links import link_in, press
from tests.support.mailbox import Mailbox
from tests.support.smtp import MAIL, RCPT, Fault, SmtpServer

FORMER, NOW, NEVER = "zenobia.early@example.com", "Zenobia.Late@example.com", "zenobia.never@example.com"
BROWSER = "ZenobiaBrowser/7.1"
DETAILS: dict[str, Any] = {
    "name": "Zenobia Quicksilver",
    "phone": "030 5550 173173",
    "note": "The doorbell says Featherstone",
    "address": "9 Marigold Crescent",
}
TRACES = ("zenobia", "quicksilver", "5550 173", "featherstone", "marigold", "lemonade")
STAFF = "staff@example.com"
ONCE = "a" * 22
SEND_ONCE = WorkerTiming(batch=20, timeout=5, lease=600, poll=0.01, pause=0.01, longest_pause=0.01)


@pytest.fixture
def inbox(app, shop, tmp_path, monkeypatch):
    """The mail folder of a shop that posts orders."""
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"])
    shop.describe(post_orders=True, postage_cents=350)
    return Mailbox(app, tmp_path / "mail")


# ---------------------------------------------------------------- the searches


def files_of(app: Flask) -> Iterator[Path]:
    """Yield every file that the shop has written: the database of SQLite, e-mails and covers."""
    settings = app.config["SETTINGS"]
    url = make_url(settings.database_url)
    folders = [settings.mail_folder, settings.covers]
    if url.drivername == "sqlite":
        folders.append(Path(str(url.database)).parent)
    for folder in folders:
        yield from (path for path in Path(folder).rglob("*") if path.is_file())


def dump_of(app: Flask) -> str:
    """Return all tables as text: the dump of SQLite, or COPY of each table of PostgreSQL."""
    with app.app_context():
        url = db.engine.url
        connection = db.engine.raw_connection()
    try:
        if url.drivername == "sqlite":
            with sqlite3.connect(str(url.database)) as copied:
                return "\n".join(copied.iterdump())
        out = io.BytesIO()
        for table in TABLES:
            with connection.cursor().copy(f"COPY {table.name} TO STDOUT") as rows:
                out.writelines(bytes(row) for row in rows)
        return out.getvalue().decode()
    finally:
        connection.close()


def bytes_of(path: Path) -> bytes:
    """Read a file in another process: if this one closed the database file, it would lose SQLite's locks on it.

    See https://www.sqlite.org/howtocorrupt.html, "Posix advisory locks canceled by a separate thread doing close()".
    """
    return subprocess.run(["cat", path], check=True, capture_output=True).stdout


def traces(app: Flask) -> list[tuple[str, str]]:
    """Return each trace of Zenobia, with the place where it was found."""
    texts = {"dump": dump_of(app).casefold()}
    texts |= {path.name: bytes_of(path).decode("latin-1").casefold() for path in files_of(app)}
    return [(word, place) for place, text in texts.items() for word in TRACES if word in text]


# ---------------------------------------------------------------- the life of Zenobia


def other_customers(shop, first, number=400):
    """Add customers on both sides of Zenobia, so that her rows move between the pages of the tables and indexes."""
    rows = ", ".join(
        f"({number}, 'z{number * 7919 % 10_007}@example.com', 'z{number * 7919 % 10_007}@example.com', '!', 'customer',"
        f" 0, '2026-01-01 10:00:00+00:00', '2026-01-01 10:00:00+00:00')"
        for number in range(first, first + number)
    )
    columns = "id, email, email_key, password_hash, role, notified_seen, created_at, email_confirmed_at"
    shop.execute(f"INSERT INTO users ({columns}) VALUES {rows}")


def link_to(shop: Shop, inbox: Mailbox, address: str) -> str:
    """Deliver the e-mails, and return the path of the link in the one to this address; it may get another one now."""
    [message] = [message for message in inbox.deliver() if message["To"] == address]
    shop.execute("DELETE FROM attempts")
    return link_in(message)


def live(app: Flask, shop: Shop, inbox: Mailbox) -> WebClient:
    """Let her use everything that the shop can store; returns her browser, logged in."""
    shop.staff(STAFF)
    other_customers(shop, 1000)
    browser = WebClient(app)
    browser.client.environ_base["HTTP_USER_AGENT"] = BROWSER
    browser.submit("/login", email=FORMER, link="yes")
    press(browser, link_to(shop, inbox, FORMER))
    browser.submit("/account/password", new=PASSWORD, repeat=PASSWORD)
    browser.submit("/logout", page="/account")
    browser.log_in(FORMER, "lemonade was wrong")
    browser.log_in(FORMER)
    start_what_she_forgets(shop, FORMER)
    browser.submit("/account/email", email=NOW, current=PASSWORD)
    press(browser, link_to(shop, inbox, NOW))
    browser.submit("/account/email", email=NEVER, current=PASSWORD)
    browser.submit("/account/tokens", name="Zenobia's lemonade stand", scopes=["orders"])
    with app.app_context():
        user_id = shop.id_of(NOW)
    order_and_reserve(app, shop, browser, user_id)
    start_what_she_forgets(shop, NOW)
    return browser


def start_what_she_forgets(shop, address):
    """Start an order and a reservation in a browser in which she never uses the link."""
    visitor, checkout = LinkRequest(address, "a browser"), Checkout(**DETAILS, delivery="post")
    entries, sanditon = [CartEntry(shop.book(stock=1), 1, 950, "EUR", 1)], shop.book()
    shop.commit(lambda: services.link_actions().start_order(visitor, checkout, entries))
    shop.commit(lambda: services.link_actions().start_reservation(visitor, sanditon))


def order_and_reserve(app, shop, browser, user_id):
    emma, sanditon, persuasion = shop.book(stock=9), shop.book(), shop.book(stock=3)
    with app.app_context():
        services.register_webhook(shop.id_of(STAFF), "https://1.1.1.1/hooks", ["*"])
    shop.reserve(user_id, sanditon)
    shop.fill_cart(user_id, {emma: 2})
    script = ApiClient(app, NOW)
    order = {**DETAILS, "delivery": "post"}
    placed = script.send("POST", "/api/v1/orders", order, Idempotency_Key="lemonade-1").get_json()
    shop.fill_cart(user_id, {emma: 1})
    assert browser.submit("/checkout", page="/", once=ONCE, take=emma, **order).status_code == 200  # shows it all again
    shop.set_stock(sanditon, 1)
    send_to_folder(app)
    staff = WebClient(app, STAFF)
    staff.submit("/admin/orders/ready", page="/admin/orders", order=placed["id"])
    shop.give_back(placed["id"], name=DETAILS["name"], books="The one with the lemonade stain")
    (sent,) = shop.rows("SELECT id FROM messages WHERE kind = 'restock'")
    staff.submit("/admin/mail/retry", page="/admin/mail", once=ONCE, message=sent)  # the answer names her
    assert any(
        NOW in (answer or "") for answer in shop.rows("SELECT answer FROM sent_forms WHERE user_id <> :id", id=user_id)
    )
    send_to_folder(app)
    shop.reserve(user_id, shop.book())
    shop.fill_cart(user_id, {persuasion: 1})
    with app.app_context():
        WebhookWorker().queue_new()


def send_to_folder(app):
    with app.app_context():
        db.session.execute(db.text("UPDATE messages SET next_attempt_at = created_at WHERE state = 'queued'"))
        db.session.commit()
        MailWorker(SEND_ONCE).run_once()


def send_through(app: Flask, smtp_server: SmtpServer, fault: Fault) -> None:
    """Let a mail server refuse what is queued, in words that quote her address."""
    settings = app.config["SETTINGS"]
    app.config["SETTINGS"] = settings.model_copy(update={"smtp_url": smtp_server.url})
    smtp_server.fault = fault
    send_to_folder(app)
    app.config["SETTINGS"] = settings


def delete_account(browser):
    return browser.submit("/account/delete", current=PASSWORD)


# ---------------------------------------------------------------- the tests


def test_nothing_of_a_deleted_customer_is_left_in_a_dump_or_in_the_files(app, shop, inbox, smtp_server):
    browser = live(app, shop, inbox)
    send_through(app, smtp_server, Fault(RCPT, f"550 5.1.1 <{NOW}>: unknown"))
    with app.app_context():
        user_id = shop.id_of(NOW)
    shop.order(user_id, {shop.book(stock=1): 1}, **DETAILS, delivery="post")
    send_through(app, smtp_server, Fault(MAIL, f"451 come back later, {NOW.casefold()} and {FORMER}"))
    other_customers(shop, 3000)
    assert {word for word, _place in traces(app)} == set(TRACES)
    assert delete_account(browser).location == "/"
    assert traces(app) == []
    assert shop.broken() == []


def test_nothing_of_a_customer_is_left_whose_links_were_purged_before_the_deletion(app, shop, inbox):
    browser = WebClient(app)
    browser.submit("/login", email=NOW, link="yes", next="/account/delete")
    press(browser, link_to(shop, inbox, NOW))
    shop.execute("UPDATE login_links SET sent_at = '2026-01-01 10:00:00'")
    for path in inbox.folder.iterdir():
        os.utime(path, (0, 0))
    with app.app_context():
        Purge(pause=0).run()
    assert browser.submit("/account/delete").location == "/"
    assert traces(app) == []


def test_nothing_of_a_deleted_bookseller_is_left(app, shop, inbox):
    shop.owner("owner@example.com")
    zenobia, emma = shop.staff(NOW), shop.book(stock=1)
    browser = WebClient(app, NOW)
    browser.client.environ_base["HTTP_USER_AGENT"] = BROWSER
    browser.log_in(NOW)
    ApiClient(app, NOW).set_stock(emma, 3)
    browser.submit(f"/admin/books/{emma}/withdraw", once=ONCE)
    shop.commit(lambda: services.login_links().request(LinkRequest(NOW)))
    send_to_folder(app)
    assert "zenobia" in {word for word, _place in traces(app)}
    assert delete_account(browser).location == "/"
    assert traces(app) == []
    assert shop.rows("SELECT count(*) FROM second_factors UNION ALL SELECT count(*) FROM recovery_codes") == [0, 0]
    assert zenobia in shop.rows("SELECT user_id FROM audit_entries")  # only her id


def test_a_message_that_was_being_written_during_the_deletion_goes_with_the_next_purge(app, shop, inbox):
    """The worker has checked that the account is active, but not yet written the file."""
    user_id = shop.customer(NOW)
    shop.commit(lambda: services.mail().queue_notice(PASSWORD_CHANGED, user_id, NOW))
    browser = WebClient(app, NOW)
    races.interleave((MailWorker, "_check"), lambda: send_to_folder(app), lambda: delete_account(browser), races.LONG)
    assert {place for _word, place in traces(app)} == {path.name for path in inbox.folder.iterdir()} != set()
    with app.app_context():
        Purge(pause=0).run()
    assert traces(app) == []


def test_a_link_that_was_being_sent_during_the_deletion_is_not_sent(app, shop, inbox):
    shop.customer(NOW)
    shop.commit(lambda: services.login_links().request(LinkRequest(NOW)))
    browser = WebClient(app, NOW)
    races.interleave((MailWorker, "_check"), lambda: send_to_folder(app), lambda: delete_account(browser), races.LONG)
    assert traces(app) == []
    send_to_folder(app)
    assert shop.rows("SELECT state, reason, recipient FROM messages") == [("suppressed", "link_ended", "deleted-1")]


def test_a_servers_answer_that_arrives_after_the_deletion_goes_with_the_next_purge(app, shop, mail_queue, smtp_server):
    user_id = shop.customer(NOW)
    shop.commit(lambda: services.mail().queue_notice(PASSWORD_CHANGED, user_id, NOW))
    smtp_server.fault = Fault(RCPT, f"550 <{FORMER}> has moved")

    def delete():
        shop.commit(lambda: services.people().delete(user_id, PASSWORD))

    races.interleave((MailWorker, "_check"), mail_queue.run_worker, delete, races.LONG)
    assert [message.last_error for message in mail_queue.messages()] == [f"550 <{FORMER}> has moved"]
    with app.app_context():
        Purge(pause=0).run()
    assert traces(app) == []


# ---------------------------------------------------------------- a response that is stored at the same moment


def order_while_deleting(app, shop, patience):
    """Let an order with a stored response commit while the deletion waits for the customer's lock."""
    user_id, emma = shop.customer(NOW), shop.book(stock=1)
    shop.fill_cart(user_id, {emma: 1})
    script = ApiClient(app, NOW)

    def order():
        return script.send("POST", "/api/v1/orders", DETAILS, Idempotency_Key="one").status_code

    def delete():
        return shop.commit(lambda: services.people().delete(user_id, PASSWORD))

    return races.interleave((Authentication, "lock_active"), order, delete, patience)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_response_to_an_order_that_was_being_placed_is_deleted(app, shop):
    """On SQLite, writers take turns."""
    assert order_while_deleting(app, shop, races.SHORT)[0] == 201
    assert shop.rows("SELECT count(*) FROM idempotency_records") == [0]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_without_deleting_them_again_the_response_stays(app, shop, monkeypatch):
    calls: list[int] = []

    def only_once(self, user_id):
        if not calls:
            calls.append(user_id)
            original(self, user_id)

    original = IdempotencyRepository.delete_by_user
    monkeypatch.setattr(IdempotencyRepository, "delete_by_user", only_once)
    assert order_while_deleting(app, shop, races.SHORT)[0] == 201
    assert shop.rows("SELECT count(*) FROM idempotency_records") == [1]


# ---------------------------------------------------------------- SQLite's own copies


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_while_somebody_reads_the_log_of_former_pages_is_left_to_the_next_purge(app, shop, inbox, monkeypatch):
    monkeypatch.setattr(worker, "WAL_PAUSE", 0)
    shop.customer(NOW)
    browser = WebClient(app, NOW)
    with app.app_context(), db.engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM users").scalar()
        assert delete_account(browser).location == "/"
        assert "shop.db-wal" in {place for _word, place in traces(app)}
    with app.app_context():
        Purge(pause=0).run()
    assert traces(app) == []
