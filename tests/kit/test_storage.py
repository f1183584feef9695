"""Covers in a folder and in a bucket: the same behaviour, tested against a real S3-compatible server."""

import sys
from io import BytesIO

import pytest

from bookshop import create_app
from bookshop.catalog import pictures
from bookshop.config import settings_from
from bookshop.kit import storage
from bookshop.kit.exceptions import SettingsError
from bookshop.kit.storage import Bucket, Folder
from bookshop.retention.worker import PICTURE_FILES, Purge
from tests.support.clients import WebClient, text_of
from tests.support.s3 import CREDENTIALS, s3_server
from tests.support.settings import SECRET_KEY, settings_for
from tests.support.uploads import plain, saved

pytestmark = pytest.mark.one_postgresql_case

STAFF = "staff@example.com"


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture
def credentials(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    storage._client.cache_clear()  # it reads them once


@pytest.fixture
def bucket(s3, credentials, tmp_path):
    return Bucket(s3.url(prefix=tmp_path.name))


@pytest.fixture(params=["folder", "bucket"])
def stored(request, tmp_path):
    return Folder(tmp_path / "new" / "covers") if request.param == "folder" else request.getfixturevalue("bucket")


def test_files_are_written_read_listed_with_their_age_and_deleted(stored):
    assert (list(stored.names()), stored.read("a.webp")) == ([], None)
    for content in (b"first", b"second", b""):
        stored.write("a.webp", content)
        assert stored.read("a.webp") == content
    stored.write("b.webp", b"another")
    assert {name: age < 3600 for name, age in stored.names()} == {"a.webp": True, "b.webp": True}
    for _twice in range(2):
        stored.delete("a.webp")
    assert (stored.read("a.webp"), stored.read("b.webp")) == (None, b"another")


def test_a_wrong_secret_is_an_error_in_one_line(bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    storage._client.cache_clear()
    for use in (lambda: bucket.write("x", b"x"), lambda: bucket.read("x"), lambda: [*bucket.names()]):
        with pytest.raises(OSError, match=r"^[^\n]*403[^\n]*$"):
            use()


def test_a_bucket_without_the_package_for_it_is_refused_at_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(SettingsError, match=r"^BOOKSHOP_COVERS needs the package obstore .* pip install -e '\.\[s3\]'"):
        settings_from({"BOOKSHOP_SECRET_KEY": SECRET_KEY, "BOOKSHOP_COVERS": "s3://bucket"})


@pytest.mark.parametrize(("rest", "then"), [(storage.REST, "has just failed"), (0.0, b"a")])
def test_after_a_failure_the_server_is_left_alone_for_a_while(s3, bucket, monkeypatch, rest, then):
    monkeypatch.setattr(storage, "REST", rest)
    bucket.write("a.webp", b"a")
    s3.stop()
    with pytest.raises(OSError, match="error sending request"):
        bucket.read("a.webp")
    s3.start()
    if rest:
        with pytest.raises(OSError, match=then):
            bucket.read("a.webp")
    else:
        assert [bucket.read("a.webp") for _twice in range(2)] == [then, then]


@pytest.mark.usefixtures("credentials")
def test_staff_keep_covers_in_a_bucket(s3, shop, database_url, monkeypatch, caplog):
    monkeypatch.setattr(storage, "REST", 0.0)
    app = create_app(settings_for(database_url, covers=s3.url()))
    shop.staff(STAFF)
    browser, emma = WebClient(app, STAFF), shop.book("Emma")
    page = f"/admin/books/{emma}/cover"

    def upload(colour):
        return browser.submit(page, picture=(BytesIO(saved(plain(colour))), "cover.png")), cover()

    def cover():
        return shop.rows("SELECT cover FROM books")[0]

    def purged():
        with app.app_context():
            return Purge(pause=0).run()[PICTURE_FILES]

    answer, name = upload("red")
    shown = browser.get(f"/covers/{name}-large.webp")
    assert (answer.status_code, shown.status_code, "immutable" in shown.headers["Cache-Control"]) == (303, 200, True)
    again = browser.client.get(f"/covers/{name}-large.webp", headers={"If-None-Match": shown.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")

    s3.stop()
    refused, unchanged = upload("blue")
    unread = browser.get(f"/covers/{name}-large.webp")
    assert (refused.status_code, pictures.NOT_STORED in text_of(refused), unchanged) == (503, True, name)
    assert (unread.status_code, unread.headers["Cache-Control"], browser.get(page).status_code) == (
        503,
        "no-store",
        200,
    )
    s3.start()

    assert upload("blue")[1] != name
    monkeypatch.setattr("bookshop.retention.files.PICTURE_AGE", -3600)
    with app.app_context():
        assert Purge(pause=0).run()[PICTURE_FILES] == 2
    former, current = (browser.get(f"/covers/{one}-small.webp").status_code for one in (name, cover()))
    assert (former, current) == (404, 200)
