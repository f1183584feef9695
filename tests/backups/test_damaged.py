"""Files that are no backup, damaged or too new: each is refused with a sentence before anything is changed."""

import json
import os
import shutil
import zipfile

import pytest

from bookshop.backups.archive import MANIFEST
from bookshop.catalog import pictures
from tests.support.backups import PICTURE, contents, run, shop_at
from tests.support.factories import Shop

BOOKS = "tables/books.jsonl"
COVER = f"covers/{PICTURE}-small.webp"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good backup."""
    folder = tmp_path_factory.mktemp("good")
    with shop_at(f"sqlite:///{folder}/shop.db", folder) as app:
        assert run(app, "db", "upgrade").exit_code == 0
        shop = Shop(app)
        for number in range(200):
            shop.book(f"Book {number}")
        pictures.store(folder / "covers", pictures.Picture(PICTURE, {"small": os.urandom(3000)}))
        assert run(app, "backup", folder / "good.zip").exit_code == 0
    return folder / "good.zip"


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path, change):
    """Change the contents of an archive as somebody would who unpacks and packs it."""
    content = change(members(path))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def of_manifest(**values):
    def change(content):
        return {**content, MANIFEST: json.dumps({**json.loads(content[MANIFEST]), **values}).encode()}

    return lambda path: rewritten(path, change)


def with_member(name, data):
    return lambda path: rewritten(path, lambda content: {**content, name: data(content) if callable(data) else data})


def truncated(path):
    os.truncate(path, path.stat().st_size - 100)


def with_a_flipped_bit(name):
    def change(path):
        with zipfile.ZipFile(path) as archive:
            place = archive.getinfo(name).header_offset + 200
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return change


CASES = {
    "empty": (lambda path: path.write_bytes(b""), "This is not a backup of a bookshop"),
    "another file": (lambda path: path.write_text("a letter"), "This is not a backup of a bookshop"),
    "truncated": (truncated, "This is not a backup of a bookshop, or it is incomplete"),
    "no manifest": (lambda path: rewritten(path, lambda content: {BOOKS: content[BOOKS]}), "This is not a backup"),
    "a strange manifest": (of_manifest(tables=[]), "This is not a backup of a bookshop"),
    "a newer format": (of_manifest(format=2), "made by a newer version of the shop"),
    "a newer schema": (of_manifest(schema_revision="9999"), "the schema 9999, which is newer than this version"),
    "a flipped bit in a table": (with_a_flipped_bit(BOOKS), "damaged or incomplete"),
    "a flipped bit in a cover": (with_a_flipped_bit(COVER), "damaged or incomplete"),
    "a row too few": (
        with_member(BOOKS, lambda content: content[BOOKS].split(b"\n", 1)[1]),
        "the rows of books are not those that were backed up",
    ),
    "a changed row": (
        with_member(BOOKS, lambda content: content[BOOKS].replace(b"Book 7", b"Book 8", 1)),
        "the rows of books are not those that were backed up",
    ),
    "another cover": (with_member(COVER, b"a picture"), "the covers are not those that were backed up"),
    "a path": (with_member("covers/../../evil.webp", b"x"), "files that do not belong into a backup"),
    "an absolute path": (with_member("/tmp/evil.webp", b"x"), "files that do not belong into a backup"),
    "a program": (with_member("covers/run.sh/../x", b"x"), "files that do not belong into a backup"),
}


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize(("damage", "sentence"), CASES.values(), ids=CASES)
def test_a_damaged_file_is_refused_in_a_sentence_and_nothing_is_changed(app, good, tmp_path, damage, sentence):
    damaged, before = tmp_path / "damaged.zip", contents(app)
    shutil.copy(good, damaged)
    damage(damaged)
    refused = run(app, "restore", damaged, "--replace", "--yes")
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert sentence in refused.stderr
    assert contents(app) == before
    assert list(app.config["SETTINGS"].covers.glob("*")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.zip"]


def test_the_good_one_is_restored(app, shop, good):
    assert run(app, "restore", good, "--replace", "--yes").exit_code == 0
    assert (len(shop.rows("SELECT id FROM books")), shop.broken()) == (200, [])
