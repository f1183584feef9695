"""The foundations of all tests: emptied tables, restored sample shops, and cases omitted on PostgreSQL."""

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from bookshop.extensions import db, limiter
from tests.support import cases
from tests.support.clients import WebClient
from tests.support.databases import TABLES, empty
from tests.support.routes import COVER
from tests.support.sample_shop import SampleShop, sample_shop_of


def stored(sample_shop):
    """Return all rows, the files, and the id that the next user gets."""
    settings = sample_shop.app.config["SETTINGS"]
    files = {path.name for folder in (settings.covers, settings.mail_folder) for path in Path(folder).rglob("*.*")}
    next_id = sample_shop.shop.customer("next@example.com")
    sample_shop.shop.execute("DELETE FROM users WHERE id = :id", id=next_id)
    sample_shop.shop.execute("DELETE FROM audit_entries WHERE action = 'user.created' AND subject_id = :id", id=next_id)
    tables = sample_shop.tables()
    tables["audit_entries"] = [repr(row).replace(" ", "") for row in tables["audit_entries"]]  # JSON is text on SQLite
    return tables, files, next_id


def test_a_restored_sample_shop_equals_the_original(app):
    """Compare a new sample shop with one restored after everything in it was changed, on each database."""
    sample_shop = SampleShop(app)
    built = stored(sample_shop)
    assert any(COVER in name for name in built[1])
    sample_shop.shop.customer("ben@example.com")
    sample_shop.shop.execute("UPDATE books SET title = 'Changed'")
    sample_shop.web_clients["ada"].submit("/logout", page="/")
    empty(app)
    sample_shop.reset()
    assert stored(sample_shop) == built
    assert [sample_shop.by_cookie(role, "GET /account").status_code for role in ("ada", "staff")] == [200, 200]


def test_a_sample_shop_is_built_once_per_application(app):
    first = sample_shop_of(app)
    empty(app)
    assert sample_shop_of(app) is first


@pytest.mark.parametrize("large", [-1, 10**9], ids=["TRUNCATE", "DELETE"])
def test_an_emptied_shop_has_no_rows_and_no_files_and_ids_restart_at_1(app, sample_shop, monkeypatch, large):
    monkeypatch.setattr("tests.support.databases.LARGE", large)
    limiter.storage.incr("a limit", 60)
    empty(app)
    assert {name: rows for name, rows in sample_shop.tables().items() if rows} == {}
    assert limiter.storage.get("a limit") == 0
    assert stored(sample_shop)[1:] == (set(), 1)


def test_every_table_is_emptied(app):
    with app.app_context():
        found = inspect(db.engine).get_table_names()
    ours = {name for name in found if name != "alembic_version" and not name.startswith("books_fts")}
    assert ours == {table.name for table in TABLES}


@pytest.mark.parametrize("email", ["ada@example.com", "staff@example.com"])
def test_the_web_client_logs_in_as_the_form_does(app, shop, email):
    shop.customer()
    shop.staff()
    quick, by_form = WebClient(app, email), WebClient(app)
    by_form.log_in(email)
    with quick.client.session_transaction() as one, by_form.client.session_transaction() as other:
        own = {"_user_id": None, "csrf_token": None}
        assert {**one, **own} == {**other, **own}
        assert (one.permanent, one["_user_id"] != other["_user_id"]) == (other.permanent, True)
    assert len(set(shop.rows("SELECT user_id FROM login_sessions"))) == 1
    assert len(set(shop.rows("SELECT user_agent FROM login_sessions"))) == 1


# ---------------------------------------------------------------- cases


def test_statements_are_compared_regardless_of_the_number_of_values():
    one = "SELECT a FROM b WHERE a IN (%(a_1)s) AND c = %(c_1)s::VARCHAR"
    two = "SELECT a\nFROM b WHERE a IN (%(a_1)s, %(a_2)s) AND c = %(c_2)s::VARCHAR"
    assert cases.normalized(one) == cases.normalized(two)
    assert cases.normalized("SAVEPOINT sa_savepoint_1") == cases.normalized("SAVEPOINT sa_savepoint_1000")
    for other in (one.replace("FROM b", "FROM d"), f"{one} AND d", f"{one} COLLATE e"):
        assert cases.normalized(one) != cases.normalized(other)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_statement_that_only_an_omitted_case_sends_is_detected(app, shop):
    recorder = cases.Recorder()
    try:
        shop.customer("ada@example.com")
        recorder.omitted_test = "omitted"
        shop.customer("ben@example.com")
        shop.rows("SELECT 1, 2, 3")  # sent by the test itself
        with app.app_context():
            db.session.execute(text("SELECT 7 AS seven"))
    finally:
        recorder.stop()
    assert recorder.only_omitted() == {"SELECT 7 AS seven": "omitted"}
