"""Pictures that nothing uses are deleted at night, but never one that a request is about to use."""

import os
import time
from io import BytesIO
from pathlib import Path

import pytest

from bookshop.catalog import pictures
from bookshop.catalog.pictures import Picture
from tests.retention.test_purge import purge
from tests.support import races
from tests.support.uploads import plain, saved

pytestmark = pytest.mark.one_postgresql_case

STAFF = "staff@example.com"
USED, UNUSED = "a" * 32, "b" * 32


@pytest.fixture
def folder(app, shop):
    """The folder of covers with one that two books use and one that no book uses, both stored two days ago."""
    folder = Path(app.config["SETTINGS"].covers)
    for name in (USED, UNUSED):
        pictures.store(folder, Picture(name, {"large": b"a picture", "small": b"a picture"}))
    for title in ("Emma", "Persuasion"):
        shop.book(title)
    shop.execute("UPDATE books SET cover = :name", name=USED)
    (folder / f"{UNUSED}-large.webp.0123abcd.part").touch()  # left by a killed server
    (folder / "notes.txt").touch()
    long_ago = time.time() - 2 * 86_400
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    return folder


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_no_book_uses_is_deleted_and_nothing_else(app, shop, folder):
    shop.execute("UPDATE books SET cover = NULL WHERE title = 'Emma'")  # shared, as before names were unique
    assert purge(app) == {"files of unused pictures": 3}
    assert files(folder) == [f"{USED}-large.webp", f"{USED}-small.webp", "notes.txt"]


def test_an_empty_database_does_not_delete_the_pictures_of_a_shop_that_is_yet_to_be_restored(app, shop, folder):
    shop.execute("UPDATE books SET cover = NULL")
    assert (purge(app), len(files(folder))) == ({}, 6)


def cover_stored_while_purging(app, shop, web_client):
    """Purge when a new cover has been stored, but not committed; return the response to its address afterwards."""
    shop.staff(STAFF)
    browser, book_id = web_client(STAFF), shop.book("Sanditon")
    upload = {"picture": (BytesIO(saved(plain())), "cover.png")}
    answer, _removed = races.interleave(
        (pictures, "store"), lambda: browser.submit(f"/admin/books/{book_id}/cover", **upload), lambda: purge(app)
    )
    assert answer.status_code == 303
    name = shop.rows("SELECT cover FROM books WHERE id = :id", id=book_id)[0]
    return browser.get(f"/covers/{name}-large.webp").status_code


def test_a_cover_that_is_stored_and_about_to_be_committed_is_kept(app, shop, folder, web_client):
    assert cover_stored_while_purging(app, shop, web_client) == 200


def test_without_the_rule_about_age_it_would_be_deleted(app, shop, folder, web_client, monkeypatch):
    monkeypatch.setattr("bookshop.retention.files.PICTURE_AGE", -1)
    assert cover_stored_while_purging(app, shop, web_client) == 404
