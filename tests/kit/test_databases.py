"""What all tests stand on: emptied tables, restored worlds, and the cases that PostgreSQL can leave out."""

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from bookshop.extensions import db, limiter
from tests.support import cases
from tests.support.clients import WebClient
from tests.support.databases import TABLES, empty
from tests.support.world import COVER, World, world_of


def stored(world):
    """All rows, the files, and the id that the next user gets."""
    settings = world.app.config["SETTINGS"]
    files = {path.name for folder in (settings.covers, settings.mail_folder) for path in Path(folder).rglob("*.*")}
    next_id = world.shop.customer("next@example.com")
    world.shop.execute("DELETE FROM users WHERE id = :id", id=next_id)
    return world.tables(), files, next_id


def test_a_restored_world_is_the_one_that_was_built(app):
    """A fresh build on each database, and the restored one after everything in it was changed."""
    world = World(app)
    built = stored(world)
    assert any(COVER in name for name in built[1])
    world.shop.customer("ben@example.com")
    world.shop.execute("UPDATE books SET title = 'Changed'")
    world.browsers["ada"].submit("/logout", page="/")
    empty(app)
    world.begin_again()
    assert stored(world) == built
    assert [world.by_cookie(who, "GET /account").status_code for who in ("ada", "staff")] == [200, 200]


def test_a_world_is_built_once_for_an_application(app):
    first = world_of(app)
    empty(app)
    assert world_of(app) is first


@pytest.mark.parametrize("large", [-1, 10**9], ids=["TRUNCATE", "DELETE"])
def test_an_emptied_shop_has_no_rows_no_files_and_counts_from_1(app, world, monkeypatch, large):
    monkeypatch.setattr("tests.support.databases.LARGE", large)
    limiter.storage.incr("a limit", 60)
    empty(app)
    assert {name: rows for name, rows in world.tables().items() if rows} == {}
    assert limiter.storage.get("a limit") == 0
    assert stored(world)[1:] == (set(), 1)


def test_every_table_is_emptied(app):
    with app.app_context():
        found = inspect(db.engine).get_table_names()
    ours = {name for name in found if name != "alembic_version" and not name.startswith("books_fts")}
    assert ours == {table.name for table in TABLES}


@pytest.mark.parametrize("email", ["ada@example.com", "staff@example.com"])
def test_a_browser_is_logged_in_as_by_the_form(app, shop, email):
    shop.customer()
    shop.staff()
    quick, by_form = WebClient(app, email), WebClient(app)
    by_form.log_in(email)
    with quick.client.session_transaction() as one, by_form.client.session_transaction() as other:
        assert {**one, "_user_id": None} == {**other, "_user_id": None}
        assert (one.permanent, one["_user_id"] != other["_user_id"]) == (other.permanent, True)
    assert len(set(shop.rows("SELECT user_id FROM login_sessions"))) == 1
    assert len(set(shop.rows("SELECT user_agent FROM login_sessions"))) == 1


# ---------------------------------------------------------------- cases


def test_a_statement_is_the_same_however_many_values_it_has():
    one = "SELECT a FROM b WHERE a IN (%(a_1)s) AND c = %(c_1)s::VARCHAR"
    two = "SELECT a\nFROM b WHERE a IN (%(a_1)s, %(a_2)s) AND c = %(c_2)s::VARCHAR"
    assert cases.shape(one) == cases.shape(two)
    assert cases.shape("SAVEPOINT sa_savepoint_1") == cases.shape("SAVEPOINT sa_savepoint_1000")
    for other in (one.replace("FROM b", "FROM d"), f"{one} AND d", f"{one} COLLATE e"):
        assert cases.shape(one) != cases.shape(other)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_statement_that_only_a_left_out_case_sends_is_noticed(app, shop):
    recorder = cases.Recorder()
    try:
        shop.customer("ada@example.com")
        recorder.left_out_test = "left out"
        shop.customer("ben@example.com")
        shop.rows("SELECT 1, 2, 3")  # a test's own statement
        with app.app_context():
            db.session.execute(text("SELECT 7 AS seven"))
    finally:
        recorder.stop()
    assert recorder.only_left_out() == {"SELECT 7 AS seven": "left out"}
