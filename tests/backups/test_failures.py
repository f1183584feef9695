"""What fails while a backup is made or restored is said in one sentence, and the shop is what it was."""

import os
import sqlite3
import time
from contextlib import closing
from itertools import count

import pytest
from sqlalchemy import event, text

from bookshop.backups import making, service
from bookshop.backups.making import make_backup
from bookshop.backups.rows import write_rows
from bookshop.catalog import pictures
from bookshop.extensions import db
from bookshop.operations.beats import record_beat
from tests.support.backups import PICTURE, contents, run, shop_at
from tests.support.factories import Shop

NEWER = "d" * 32


@pytest.fixture
def backup(app, shop, tmp_path):
    """A backup of a shop with a book, to which another one is added afterwards."""
    shop.book("Emma", stock=1)
    pictures.store(app.config["SETTINGS"].covers, pictures.Picture(PICTURE, {"small": b"a picture"}))
    assert run(app, "backup", tmp_path / "shop.zip").exit_code == 0
    shop.book("Persuasion")
    return tmp_path / "shop.zip"


def refused(app, backup, *options):
    """Restore; return the sentence that says why it failed."""
    before = contents(app)
    failed = run(app, "restore", backup, "--replace", "--yes", *options)
    assert (failed.exit_code, failed.stdout, failed.stderr.count("\n")) == (1, "", 1)
    assert contents(app) == before
    return failed.stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_under_sqlite_changes_nothing(app, shop, tmp_path):
    shop.execute("UPDATE books SET description = :much WHERE id = :book", much="x" * 10**6, book=shop.book())
    assert run(app, "backup", tmp_path / "large.zip").exit_code == 0
    with shop_at(f"sqlite:///{tmp_path}/small.db", tmp_path) as small:
        assert run(small, "db", "upgrade").exit_code == 0
        Shop(small).book("Persuasion")
        with small.app_context():
            db.engine.dispose()
            event.listen(db.engine, "connect", lambda driver, _record: driver.execute("PRAGMA max_page_count = 300"))
        said = refused(small, tmp_path / "large.zip")
    assert said == "Error: The database reported an error: database or disk is full. Nothing was changed.\n"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_to_postgresql_that_is_lost_changes_nothing(app, shop, backup, monkeypatch):
    def write_until_lost(connection, table, rows):
        if table.name == "movements":
            own = connection.scalar(text("SELECT pg_backend_pid()"))
            shop.execute("SELECT pg_terminate_backend(:own)", own=own)
        write_rows(connection, table, rows)

    monkeypatch.setattr(service, "write_rows", write_until_lost)
    said = refused(app, backup)
    assert said.startswith("Error: The database reported an error: ")
    assert said.endswith(". Nothing was changed.\n")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_value_that_postgresql_cannot_store_changes_nothing(app, backup, tmp_path):
    with shop_at(f"sqlite:///{tmp_path}/other.db", tmp_path) as other:
        assert run(other, "db", "upgrade").exit_code == 0
        Shop(other).book()
        Shop(other).execute("UPDATE books SET title = 'Em' || char(0) || 'ma'")
        assert run(other, "backup", tmp_path / "nul.zip").exit_code == 0
    assert "NUL (0x00) bytes. Nothing was changed." in refused(app, tmp_path / "nul.zip")


def test_a_trial_without_space_says_where_and_that_space_is_needed(app, backup, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "HURRY", (*making.HURRY, "max_page_count=20"))
    failed = run(app, "backup", backup)
    assert (failed.exit_code, failed.stderr.count("\n")) == (1, 1)
    assert f"The backup cannot be tried in {tmp_path}: database or disk is full." in failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["shop.zip"]


def test_pictures_that_cannot_be_read_or_written_are_named_with_their_place(app, backup, tmp_path):
    covers = app.config["SETTINGS"].covers
    (covers / "a.webp").symlink_to("/proc/self/mem")  # cannot be read from its beginning
    failed = run(app, "backup", tmp_path / "second.zip")
    (covers / "a.webp").unlink()
    assert (failed.exit_code, (tmp_path / "second.zip").exists()) == (1, False)
    assert f"The pictures cannot be read from {covers}: Input/output error. Check BOOKSHOP_COVERS" in failed.stderr
    (tmp_path / "file").touch()
    app.config["SETTINGS"] = app.config["SETTINGS"].model_copy(update={"covers": tmp_path / "file"})
    said = refused(app, backup)
    app.config["SETTINGS"] = app.config["SETTINGS"].model_copy(update={"covers": covers})
    assert f"The pictures cannot be written into {tmp_path}/file: File exists. Check BOOKSHOP_COVERS" in said


def test_a_backup_has_the_pictures_of_its_rows_although_one_is_replaced_and_purged_meanwhile(app, shop, tmp_path):
    covers, book = app.config["SETTINGS"].covers, shop.book()
    pictures.store(covers, pictures.Picture(PICTURE, {"small": b"former"}))
    os.utime(covers / f"{PICTURE}-small.webp", (time.time() - 10**6,) * 2)
    shop.execute("UPDATE books SET cover = :picture", picture=PICTURE)
    calls, replaced = count(), []

    def replace_and_purge():
        if next(calls) == 1:  # once the picture and a table have been read
            pictures.store(covers, pictures.Picture(NEWER, {"small": b"newer"}))
            shop.execute("UPDATE books SET cover = :picture WHERE id = :book", picture=NEWER, book=book)
            replaced.append(run(app, "purge").exit_code)

    with app.app_context():
        made = make_backup(tmp_path / "shop.zip", replace_and_purge)
    assert (replaced, list(covers.glob(f"{PICTURE}*"))) == ([0], [])
    assert (made.problems, made.missing_pictures) == ([], 0)


def test_a_backup_that_lacks_a_picture_of_the_shop_has_the_exit_code_1(app, shop, tmp_path):
    shop.book()
    shop.execute("UPDATE books SET cover = :picture", picture=PICTURE)
    made = run(app, "backup", tmp_path / "shop.zip")
    assert (made.exit_code, (tmp_path / "shop.zip").exists()) == (1, True)
    assert "The backup lacks pictures that the shop uses. Upload them again." in made.stderr


def test_a_shop_whose_worker_is_alive_is_not_replaced_unless_told_otherwise(app, shop, backup):
    with app.app_context():
        record_beat("a worker", "mail")
    assert "The shop is running: a worker was alive " in (said := refused(app, backup))
    assert said.endswith("use --even-if-running. Nothing was changed.\n")
    assert run(app, "restore", backup, "--replace", "--yes", "--even-if-running").exit_code == 0
    assert shop.rows("SELECT title FROM books") == ["Emma"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_shop_whose_file_is_open_is_not_replaced_unless_told_otherwise(app, shop, backup, database_url):
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as server:
        server.execute("SELECT count(*) FROM books").fetchone()
        assert "The shop is running, or another program has its database open." in refused(app, backup)
        assert run(app, "restore", backup, "--replace", "--yes", "--even-if-running").exit_code == 0
    assert shop.rows("SELECT title FROM books") == ["Emma"]
