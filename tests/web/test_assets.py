"""Static files: hashed names, caching and compression; and the security headers of every response."""

import gzip
import re

import brotli
import pytest

from bookshop import create_app
from bookshop.web.assets import ICONS, assets
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["css/shop.css", "css/bootstrap.css", "icons.svg", "favicon.svg", "touch-icon.svg"])
def test_a_static_file_is_cached_indefinitely_under_its_hashed_name(web_client, name):
    address = assets()[name].address
    answer = web_client().get(address)
    assert (answer.status_code, answer.data) == (200, assets()[name].content)
    assert answer.headers["Cache-Control"] == IMMUTABLE
    assert re.fullmatch(r"/static/(css/)?\w+(-icon)?\.[0-9a-f]{12}\.(css|svg)", address)


@pytest.mark.parametrize("address", ["/static/css/shop.css", "/static/css/shop.0123456789ab.css", "/favicon.ico"])
def test_a_renamed_static_file_is_requested_again(web_client, address):
    answer = web_client().get(address)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, no-cache")


@pytest.mark.parametrize(
    "address", ["/static/../setup.cfg", "/static/css", "/static/", "/static/%2e%2e/wsgi.py", "/static/css/shop.css.map"]
)
def test_other_files_are_not_served(web_client, address):
    assert web_client().get(address).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "encoding", "plain"),
    [
        ("br, gzip", "br", brotli.decompress),
        ("gzip", "gzip", gzip.decompress),
        ("", None, bytes),
        ("identity", None, bytes),
    ],
)
def test_a_static_file_is_compressed_as_the_browser_accepts(web_client, accepted, encoding, plain):
    asset = assets()["css/bootstrap.css"]
    answer = web_client().get(asset.address, headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("Content-Encoding"), plain(answer.data)) == (encoding, asset.content)
    assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
def test_an_unchanged_page_is_not_sent_again(web_client, encoding):
    address, headers = assets()["css/shop.css"].address, {"Accept-Encoding": encoding}
    known = web_client().get(address, headers=headers).headers["ETag"]
    again = web_client().get(address, headers={**headers, "If-None-Match": known})
    assert (again.status_code, again.data) == (304, b"")


def test_pages_are_compressed_too(shop, web_client):
    shop.book("Emma")
    answer = web_client().get("/books", headers={"Accept-Encoding": "br"})
    assert answer.headers["Content-Encoding"] == "br"
    assert b"Emma" in brotli.decompress(answer.data)


CHOSEN_BY_KIND = {"check-circle", "exclamation-triangle", "info-circle"}  # icons of flashed messages


def test_exactly_the_used_icons_are_served(repository_root):
    templates = "".join(path.read_text() for path in (repository_root / "templates").rglob("*.html"))
    used = set(re.findall(r"icon\('([\w-]+)'\)", templates)) | CHOSEN_BY_KIND
    served = set(re.findall(r'id="([\w-]+)"', assets()["icons.svg"].content.decode()))
    assert served == set(ICONS) == used


def test_every_class_of_our_stylesheets_is_used_and_described(repository_root):
    written = "".join((repository_root / f"static/css/{name}.css").read_text() for name in ("shop", "staff"))
    css = re.sub(r"/\*.*?\*/|url\(.*?\)", "", written, flags=re.DOTALL)
    ours = {name for name in re.findall(r"\.([a-z][\w-]+)", css) if not name.startswith(BOOTSTRAPS)}
    sources = [*(repository_root / "templates").rglob("*.html"), repository_root / "static/js/shop.js"]
    pages = "".join(path.read_text() for path in sources)
    assert {name for name in ours if not re.search(rf"\b{name}\b", pages)} == set()
    design = (repository_root / "docs/design.md").read_text()
    assert {name for name in ours if not re.search(rf"\b{name}\b", design)} == set()


BOOTSTRAPS = ("alert", "badge", "btn", "card", "container", "form-", "invalid-", "d-", "table", "text-", "visually-")


def test_pages_for_customers_have_one_small_script_and_those_for_staff_none(shop, web_client):
    shop.staff()
    shop.book("Emma", stock=1)
    script = re.compile(r'<script type="module" src="(/static/[^"]+)"></script>')
    staff = web_client("staff@example.com")
    assert [script.findall(staff.get(page).text) for page in ("/admin", "/admin/books")] == [[], []]
    for page in ("/", "/books", "/books/1/emma", "/cart", "/login", "/nothing"):
        (address,) = script.findall(web_client().get(page).text)
        sent = web_client().get(address, headers={"Accept-Encoding": "gzip"})
        assert (sent.mimetype, len(sent.data) < 4_000) == ("text/javascript", True)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "address", ["/", "/books", "/login", "/nothing", "/api/v1/books", "/static/css/shop.css", "/robots.txt"]
)
def test_every_response_has_the_security_headers(web_client, address):
    headers = web_client().get(address).headers
    policy = headers["Content-Security-Policy"]
    assert ("default-src 'none'" in policy, "frame-ancestors 'none'" in policy, "unsafe" in policy) == (
        True,
        True,
        False,
    )
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "same-origin")
    assert "Strict-Transport-Security" not in headers


def test_hsts_is_sent_over_https(database_url):
    answer = create_app(settings_for(database_url)).test_client().get("/login", base_url="https://localhost")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_bug_is_answered_with_the_same_headers(database_url):
    app = create_app(settings_for(database_url))
    app.add_url_rule("/broken", "broken", lambda: str(1 / 0))
    answer = app.test_client().get("/broken")
    assert (answer.status_code, "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]) == (500, True)
    assert answer.headers["Cache-Control"] == "no-cache"


def test_changing_content_is_revalidated(shop, web_client):
    shop.book()
    assert web_client().get("/books").headers["Cache-Control"] == "no-cache"


def test_no_page_loads_anything_from_outside(shop, web_client):
    shop.book("Emma")
    outside = re.compile(r'(?:src|href|action)="(?!/|#|http://127.0.0.1:5000/)([^"]*)"')
    for address in ("/", "/books", "/books/1", "/login"):
        assert [found for found in outside.findall(web_client().get(address).text) if found] == []


def test_the_favicon_is_an_image(web_client):
    assert web_client().get("/favicon.ico").mimetype == "image/svg+xml"
