"""A backup is of one moment, although the shop goes on, and its file is whole at every moment."""

import errno
import shutil
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from bookshop.backups import files, making
from bookshop.backups.files import PART
from bookshop.backups.making import make_backup
from bookshop.extensions import db
from bookshop.kit.database import truncate_wal
from tests.support.backups import run

pytestmark = pytest.mark.usefixtures("shop")
FORMER = b"the backup of yesterday"


@pytest.fixture
def busy(app, shop):
    """Return a function that orders and restocks books while the tables are read, one after the other."""
    ada = shop.customer()
    books = [shop.book(stock=50) for _number in range(3)]

    def go_on():
        shop.order(ada, {books[0]: 1})
        shop.set_stock(books[1], shop.stock(books[1]) + 1)

    go_on()
    return go_on


def problems_of_backup(app, target, go_on):
    with app.app_context():
        return make_backup(target, go_on).problems


def test_what_changes_during_a_backup_does_not_tear_it(app, shop, busy, tmp_path):
    orders = len(shop.rows("SELECT id FROM orders"))
    assert problems_of_backup(app, tmp_path / "shop.zip", busy) == []
    assert len(shop.rows("SELECT id FROM orders")) > orders + 5
    assert shop.broken() == []


def test_without_the_snapshot_it_is_torn(app, busy, tmp_path, monkeypatch):
    @contextmanager
    def each_statement_on_its_own():
        with db.engine.connect() as connection, connection.begin():  # READ COMMITTED on PostgreSQL
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("COMMIT")
            yield connection

    monkeypatch.setattr(making, "_snapshot", each_statement_on_its_own)
    with pytest.raises(IntegrityError):
        problems_of_backup(app, tmp_path / "shop.zip", busy)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copy_of_the_sqlite_file_alone_lacks_what_a_backup_has(app, shop, database_url, tmp_path):
    """What was committed last may be in the write-ahead log only."""
    with app.app_context():
        assert truncate_wal(db.engine)
    shop.book("Written last")
    copy = tmp_path / "copy.db"
    shutil.copy(database_url.removeprefix("sqlite:///"), copy)
    with closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("SELECT count(*) FROM books WHERE title = 'Written last'").fetchone() == (0,)
    with app.app_context():
        made = make_backup(tmp_path / "shop.zip")
    assert made.manifest.tables["books"].rows == 1


@pytest.mark.parametrize("former", [None, FORMER])
def test_a_backup_that_fails_leaves_the_former_one_and_no_other_file(app, tmp_path, monkeypatch, former):
    target = tmp_path / "shop.zip"
    if former:
        target.write_bytes(former)

    def disk_full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    failed = run(app, "backup", target)
    assert (failed.exit_code, "shop.zip cannot be written: No space left on device." in failed.stderr) == (
        1,
        True,
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"shop.zip": former} if former else {})


def test_what_a_killed_backup_has_left_is_overwritten_and_removed(app, tmp_path):
    for name in (PART, files.TRIAL, f"{files.TRIAL}-wal"):
        (tmp_path / name).write_bytes(b"left" * 1_000_000)
    assert run(app, "backup", tmp_path / "shop.zip").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["shop.zip"]
    assert (tmp_path / "shop.zip").stat().st_size < 1_000_000


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("put", [Path.symlink_to, Path.hardlink_to])
def test_a_backup_is_not_written_through_a_link_that_somebody_has_put_there(app, tmp_path, put):
    (tmp_path / "settings").write_text("a key")
    put(tmp_path / PART, tmp_path / "settings")
    refused = run(app, "backup", tmp_path / "shop.zip")
    assert (refused.exit_code, f"{tmp_path / PART} is not a file of this user alone" in refused.stderr) == (1, True)
    assert ((tmp_path / "settings").read_text(), (tmp_path / "shop.zip").exists()) == ("a key", False)


def test_two_backups_are_not_written_into_one_folder_at_the_same_time(app, tmp_path):
    with files.part_of(tmp_path / "first.zip"):
        refused = run(app, "backup", tmp_path / "second.zip")
    assert refused.stderr == (f"Error: Another backup is being written into {tmp_path}. Wait until it is complete.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["first.zip"]


def test_a_backup_into_a_folder_that_does_not_exist_is_refused_in_a_sentence(app, tmp_path):
    refused = run(app, "backup", tmp_path / "none" / "shop.zip")
    assert (refused.exit_code, "No such file or directory" in refused.stderr) == (1, True)
