"""`flask upgrade`: backup, migrations and check; whatever fails, the database is as it was."""

import flask_migrate
import pytest

from bookshop.backups import upgrading
from bookshop.backups.schema import head
from bookshop.kit.exceptions import OutcomeUnknown
from bookshop.web import services
from tests.support.backups import new_shop, run
from tests.support.factories import Shop
from tests.test_migrations import BOOK_OF_0001, MOVEMENT, USER_OF_0004

OLD = "0010"


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request, postgresql_url, tmp_path):
    """A shop with the schema of an earlier release, one customer and one book."""
    with new_shop(request.param, postgresql_url, tmp_path / "old") as app:
        with app.app_context():
            flask_migrate.upgrade(revision=OLD)
        shop = Shop(app)
        shop.execute(USER_OF_0004, id=1, email="ada@example.com", role="customer")
        shop.execute(BOOK_OF_0001, id=1)
        shop.execute(MOVEMENT, book=1, delta=3, after=3, time="2026-01-01")
        shop.execute("UPDATE books SET stock_quantity = 3")
        yield app


def revision(app):
    return Shop(app).rows("SELECT version_num FROM alembic_version")


def test_an_upgrade_makes_a_backup_first_which_can_be_restored_and_is_upgraded(old, tmp_path):
    done = run(old, "upgrade", "--backup", tmp_path / "before.zip")
    assert (done.exit_code, f"The schema was {OLD} and is {head()}." in done.stdout) == (0, True)
    shop = Shop(old)
    assert (revision(old), shop.broken(), shop.rows("SELECT file FROM backups")) == ([head()], [], ["before.zip"])
    shop.execute("UPDATE books SET title = 'Persuasion'")
    assert run(old, "restore", tmp_path / "before.zip", "--replace", "--yes").exit_code == 0
    assert (shop.rows("SELECT title FROM books"), revision(old)) == (["Emma"], [head()])
    assert shop.rows("SELECT email_confirmed_at IS NULL FROM users") in ([False], [0])
    assert (shop.book("Persuasion"), shop.customer("ben@example.com")) == (2, 2)
    again = run(old, "upgrade", "--backup", tmp_path / "again.zip")
    assert (again.exit_code, f"The schema was {head()} and is {head()}." in again.stdout) == (0, True)


def test_a_migration_that_fails_changes_nothing(old, tmp_path):
    Shop(old).execute("CREATE TABLE content_pages (id INTEGER)")
    failed = run(old, "upgrade", "--backup", tmp_path / "before.zip")
    assert (failed.exit_code, "already exists" in failed.stderr) == (1, True)
    assert failed.stderr.endswith("Nothing was changed, and the previous version can go on.\n")
    assert revision(old) == [OLD]
    assert Shop(old).rows("SELECT role, stock_quantity FROM users, books") == [("customer", 3)]


def test_rows_that_the_check_finds_stop_the_upgrade_before_anything_is_changed(old, tmp_path):
    Shop(old).execute("UPDATE books SET stock_quantity = 4")
    failed = run(old, "upgrade", "--backup", tmp_path / "before.zip")
    assert (failed.exit_code, "book 1 has a stock of 4" in failed.stderr) == (1, True)
    assert (revision(old), (tmp_path / "before.zip").exists()) == ([OLD], True)


def test_rows_that_break_during_the_migration_undo_it(old, tmp_path, monkeypatch):
    monkeypatch.setattr(upgrading, "broken_invariants", lambda _session: iter(["a row is broken"]))
    failed = run(old, "upgrade", "--backup", tmp_path / "before.zip")
    assert (failed.exit_code, failed.stderr.splitlines()[0]) == (1, "a row is broken")
    assert revision(old) == [OLD]


def test_without_a_place_for_the_backup_or_tables_it_says_what_to_do(old, postgresql_url, tmp_path):
    refused = run(old, "upgrade")
    assert "Set BOOKSHOP_BACKUPS to a folder, or say where to save the backup: --backup FILE." in refused.stderr
    with new_shop("sqlite", postgresql_url, tmp_path / "empty") as empty:
        refused = run(empty, "upgrade", "--backup", tmp_path / "before.zip")
    assert (refused.exit_code, "has no tables: run `flask db upgrade`" in refused.stderr) == (1, True)


def test_a_backup_that_cannot_be_recorded_does_not_make_an_upgrade_fail(old, tmp_path):
    assert run(old, "upgrade", "--backup", tmp_path / "before.zip").exit_code == 0
    Shop(old).execute("CREATE UNIQUE INDEX no_second ON backups (file)")
    for command in (["upgrade", "--backup"], ["backup"]):
        done = run(old, *command, tmp_path / "before.zip")
        assert (done.exit_code, "the shop's list of backups lacks it" in done.stderr) == (0, True)
        assert "Nothing was changed" not in done.stderr
    assert "`flask check` finds no problems" in done.stdout


def test_an_upgrade_whose_outcome_is_unknown_does_not_say_that_nothing_was_changed(old, tmp_path, monkeypatch):
    commit = services.commit

    def lose_the_reply(work):
        commit(work)
        raise OutcomeUnknown

    monkeypatch.setattr(services, "commit", lose_the_reply)
    done = run(old, "upgrade", "--backup", tmp_path / "before.zip")
    assert (done.exit_code, revision(old)) == (1, [head()])
    assert ("Run `flask upgrade` again" in done.stderr, "Nothing was changed" in done.stderr) == (True, False)
