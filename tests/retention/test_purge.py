"""What `flask purge` removes, what it keeps, and in which steps."""

import os
import time
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from bookshop.extensions import db
from bookshop.kit.database import Base, now
from bookshop.mail.models import PASSWORD_CHANGED, RESTOCK
from bookshop.retention import service
from bookshop.retention.worker import MAIL_FILES, Purge
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker
from tests.support.clients import WebClient
from tests.support.factories import IMPORT_COLUMNS, IMPORT_VALUES

ADA, STAFF = "ada@example.com", "staff@example.com"
# The days for which each kind is kept by default, and how its rows are made that old.
AGED = {
    "expired logins": (30, "UPDATE login_sessions SET created_at = :time"),
    "expired links": (1 / 48, "UPDATE login_links SET created_at = :time"),
    "what visitors started": (1, "UPDATE link_actions SET created_at = :time"),
    "ended API tokens": (90, "UPDATE api_tokens SET revoked_at = :time"),
    "stored responses": (1, "UPDATE idempotency_records SET created_at = :time"),
    "sent forms": (1, "UPDATE sent_forms SET created_at = :time"),
    "counters of attempts": (0, "UPDATE attempts SET forget_at = :time"),
    "webhook deliveries": (30, "UPDATE webhook_deliveries SET queued_at = :time, state = 'failed'"),
    "recipients of messages": (90, "UPDATE messages SET next_attempt_at = :time, state = 'failed'"),
    "audit entries": (730, "INSERT INTO audit_entries (created_at, action) VALUES (:time, 'x')"),
    "notes of imports": (90, "UPDATE import_jobs SET finished_at = :time WHERE state = 'done'"),
    "imports that were not started": (90, "UPDATE import_jobs SET created_at = :time WHERE state = 'checked'"),
}
ROWS = {
    "expired logins": "INSERT INTO login_sessions (id, user_id, created_at) VALUES ('x', 1, :time)",
    "expired links": "INSERT INTO login_links (purpose, email, email_key, browser, next, nonce, token_hash, created_at)"
    " VALUES ('login', 'x', 'x', 'x', '/', 'x', 'x', :time)",
    "what visitors started": "INSERT INTO link_actions (email_key, browser, kind, book_id, details, created_at)"
    " VALUES ('x', 'x', 'reserve', 1, '{}', :time)",
    "ended API tokens": "INSERT INTO api_tokens (user_id, name, token_hash, scopes, created_at)"
    " VALUES (1, 'x', 'x', '', :time)",
    "stored responses": "INSERT INTO idempotency_records (user_id, key, fingerprint, created_at)"
    " VALUES (1, 'x', '', :time)",
    "sent forms": "INSERT INTO sent_forms (key, created_at) VALUES ('x', :time)",
    "counters of attempts": "INSERT INTO attempts (key, count, until, forget_at) VALUES ('x', 1, :time, :time)",
}


def days_ago(days, seconds=0):
    return (now() - timedelta(days=days, seconds=seconds)).isoformat(" ")


def purge(app):
    """Purge everything, without pauses; returns what was removed."""
    with app.app_context():
        return {name: number for name, number in Purge(pause=0).run().items() if number}


def keep(app, monkeypatch, **days):
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"].model_copy(update=days))


def receiver(app, shop):
    """Register a webhook that no worker can reach."""
    with app.app_context():
        services.register_webhook(shop.id_of(STAFF), "https://1.1.1.1/hooks", ["*"])


def queue_deliveries(app):
    with app.app_context():
        WebhookWorker().queue_new()


def assign_positions(app):
    with app.app_context():
        services.assign_positions()


def positions(shop):
    return shop.rows("SELECT position FROM events ORDER BY position")


@pytest.fixture
def full_shop(app, shop):
    """A shop with a row of everything that is purged: Ada was notified, and a webhook has a delivery."""
    ada, emma = shop.customer(ADA), shop.book()
    shop.staff(STAFF)
    shop.reserve(ada, emma)
    receiver(app, shop)
    shop.set_stock(emma, 1)
    queue_deliveries(app)
    for row in ROWS.values():
        shop.execute(row, time=days_ago(-1))
    for state in ("done", "checked"):
        shop.execute(f"INSERT INTO import_jobs ({IMPORT_COLUMNS}) VALUES ({IMPORT_VALUES})", state=state)
    shop.execute("INSERT INTO import_notes (job_id, kind, sentence) SELECT min(id), 'refused', 'x' FROM import_jobs")
    return shop


def age(shop, name, seconds):
    """Make the rows of a kind so many seconds older than it is kept."""
    days, change = AGED[name]
    shop.execute(change, time=days_ago(days, seconds))


# ---------------------------------------------------------------- what goes, and when


def test_each_kind_is_kept_until_its_days_are_over(app, full_shop):
    for name in AGED:
        age(full_shop, name, -60)
    assert set(purge(app)) == set()
    for name in AGED:
        age(full_shop, name, 60)
    removed = purge(app)
    assert set(removed) >= set(AGED), removed
    assert purge(app) == {}
    assert full_shop.broken() == []


def test_what_is_not_done_with_is_kept_however_old(app, full_shop):
    full_shop.execute("UPDATE webhook_deliveries SET queued_at = :time", time=days_ago(3650))
    full_shop.execute("UPDATE messages SET next_attempt_at = :time", time=days_ago(3650))
    full_shop.execute("UPDATE api_tokens SET created_at = :time", time=days_ago(3650))
    assert purge(app) == {}


def test_the_command_prints_what_it_removed(app, full_shop):
    age(full_shop, "sent forms", 60)
    done = app.test_cli_runner().invoke(args=["purge"])
    assert done.exit_code == 0
    assert done.output.splitlines()[4:7] == ["stored responses: 0", "sent forms: 1", "responses to forms: 0"]


def test_old_files_of_messages_are_removed_and_no_others(app, mailbox):
    folder, month = mailbox.folder, 30 * 24 * 3600
    (folder / "below").mkdir(parents=True)
    names = {name: f"restock.{digit * 32}.{name}" for digit, name in zip("ab", ("eml", "new"), strict=True)}
    young = f"restock.{'c' * 32}.eml"
    for name, age_ in {
        names["eml"]: month + 60,
        names["new"]: month + 60,
        young: month - 60,
        "notes.eml": month + 60,
        f"below/{names['eml']}": month + 60,
    }.items():
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_, time.time() - age_))
    assert purge(app) == {MAIL_FILES: 2}
    assert {path.name for path in folder.iterdir()} == {young, "notes.eml", "below"}
    assert (folder / "below" / names["eml"]).exists()


def test_the_documentation_says_of_every_table_why_it_does_not_grow_for_ever_or_must(repository_root):
    described = (repository_root / "docs" / "retention.md").read_text()
    assert [name for name in Base.metadata.tables if f"`{name}`" not in described] == []


# ---------------------------------------------------------------- messages: nobody is told twice


def old_messages(shop):
    shop.execute("UPDATE messages SET next_attempt_at = :time", time=days_ago(91))


def test_a_purged_alert_keeps_its_row_and_is_not_sent_again(app, full_shop, mailbox):
    assert len(mailbox.deliver()) == 1
    old_messages(full_shop)
    assert purge(app)["recipients of messages"] == 1
    stored = full_shop.rows("SELECT kind, state, recipient, last_error, dedupe_key FROM messages")
    assert stored == [(RESTOCK, "sent", "", None, "restock:1")]
    full_shop.set_stock(1, 0)
    full_shop.set_stock(1, 3)
    assert (mailbox.deliver(), full_shop.broken()) == ([], [])


def test_a_purged_alert_that_is_still_owed_goes_to_the_customers_current_address(app, full_shop, mailbox):
    full_shop.set_stock(1, 0)
    old_messages(full_shop)
    assert purge(app)["recipients of messages"] == 1
    full_shop.execute("UPDATE users SET email = 'new@example.com', email_key = 'new@example.com' WHERE id = 1")
    full_shop.set_stock(1, 1)
    assert [message["To"] for message in mailbox.deliver()] == ["new@example.com"]
    assert mailbox.deliver() == []


QUEUE = {
    "invitation": lambda mail, user_id: mail.queue_invitation(user_id, ADA),
    "notice": lambda mail, user_id: mail.queue_notice(PASSWORD_CHANGED, user_id, ADA),
}


@pytest.mark.parametrize("kind", QUEUE)
def test_a_purged_message_about_an_account_cannot_be_sent_any_more(app, shop, mailbox, kind):
    ada = shop.staff(ADA)
    shop.commit(lambda: QUEUE[kind](services.mail(), ada))
    shop.execute("UPDATE messages SET state = 'failed'")
    old_messages(shop)
    purge(app)
    shop.commit(lambda: services.mail().retry_failed())
    assert mailbox.deliver() == []
    assert shop.rows("SELECT state, reason, recipient FROM messages") == [("suppressed", "too_old", "")]


def test_staff_see_that_the_recipient_is_no_longer_stored(app, full_shop):
    full_shop.execute("UPDATE messages SET state = 'failed', last_error = '550 ada@example.com'")
    old_messages(full_shop)
    purge(app)
    browser = WebClient(app, STAFF)
    assert "no longer stored" in browser.get("/admin/mail?status=failed").text
    assert "no longer stores its recipient" in browser.get("/admin/mail/1").text
    browser.submit("/admin/mail/retry", page="/admin/mail", message="1")
    assert full_shop.rows("SELECT state FROM messages") == ["queued"]


# ---------------------------------------------------------------- beside a busy shop


@pytest.fixture
def many_forms(shop, monkeypatch):
    """Ten old forms, which are purged in batches of three."""
    monkeypatch.setattr(service, "BATCH", 3)
    for number in range(10):
        shop.execute("INSERT INTO sent_forms (key, created_at) VALUES (:key, :time)", key=str(number), time=days_ago(2))


def test_each_transaction_removes_one_batch(app, many_forms):
    with app.app_context():
        engine = db.engine
    sizes = []

    def executed(_connection, cursor, statement, *_more):
        if statement.startswith("DELETE FROM sent_forms"):
            sizes.append(cursor.rowcount)
        if statement.startswith(("DELETE", "UPDATE")):
            sizes.append("written")

    event.listen(engine, "after_cursor_execute", executed)
    event.listen(engine, "commit", lambda _connection: sizes.append("committed"))
    assert purge(app) == {"sent forms": 10}
    event.remove(engine, "after_cursor_execute", executed)
    assert [size for size in sizes if size not in {"written"}][:8] == [3, "committed"] * 3 + [1, "committed"]


def found(app):
    """Return the kind of the old forms, and the keys of the first batch; needs an app context."""
    (kind,) = (kind for kind in services.retention().kinds if kind.name == "sent forms")
    return kind, services.retention().find(kind, None)


def test_while_it_looks_for_old_rows_others_can_write(app, shop, many_forms):
    with app.app_context():
        found(app)
        shop.execute("UPDATE sent_forms SET answer = 'x' WHERE key = '0'")
        db.session.rollback()
    assert shop.rows("SELECT answer FROM sent_forms WHERE key = '0'") == ["x"]


def test_a_row_that_is_used_again_after_it_was_found_is_kept(app, shop, many_forms):
    with app.app_context():
        kind, keys = found(app)
        db.session.rollback()
        shop.execute("UPDATE sent_forms SET created_at = :now WHERE key = '0'", now=days_ago(0))
        assert services.commit(lambda: services.retention().remove(kind, keys)) == 2
    assert shop.rows("SELECT count(*) FROM sent_forms WHERE key = '0'") == [1]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_row_that_somebody_holds_is_left_for_the_next_night(app, shop, many_forms):
    with app.app_context(), db.engine.begin() as holder:
        holder.execute(text("SELECT key FROM sent_forms WHERE key IN ('1', '5') FOR UPDATE"))
        assert purge(app) == {"sent forms": 8}
    assert purge(app) == {"sent forms": 2}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_old_messages_are_found_without_reading_all_that_were_ever_sent(app, shop):
    """The table of messages only grows. (PostgreSQL would read a small table as a whole.)"""
    plans = []
    with app.app_context():
        engine = db.engine

        def explain(connection, _cursor, statement, parameters, *_more):
            if "FROM messages" in statement and not statement.startswith("EXPLAIN"):
                plans.extend(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())

        event.listen(engine, "before_cursor_execute", explain)
        (kind,) = (kind for kind in services.retention().kinds if kind.name == "recipients of messages")
        services.retention().find(kind, None)
        event.remove(engine, "before_cursor_execute", explain)
    assert plans[0][-1] == "SCAN messages USING INDEX ix_messages_personal"
