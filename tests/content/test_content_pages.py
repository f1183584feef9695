"""Owners write pages in Markdown, and visitors read them; a new shop starts with texts that nobody has reviewed."""

import re

import pytest

from bookshop.config import Settings
from bookshop.content.markdown import to_html
from bookshop.content.starters import TITLES
from bookshop.kit.exceptions import Conflict
from bookshop.web import services
from tests.support.clients import text_of

EVENTS = {"title": "Events", "body": "## Readings\n\nEvery **Friday** at {name}.", "state": "published", "version": "0"}
NOT_REVIEWED = "the shop has not reviewed it yet"


@pytest.fixture
def owner(shop, web_client):
    shop.owner()
    return web_client("owner@example.com")


def test_a_page_is_linked_from_every_page_and_shows_the_details_of_the_shop(owner, shop, web_client):
    shop.describe(name="Corner *Books*")
    assert owner.submit("/admin/pages/new", **EVENTS).status_code == 303
    assert '<a href="/pages/events">Events</a>' in web_client().get("/").text
    page = web_client().get("/pages/events")
    assert "<h2>Readings</h2>" in page.text
    assert "Every Friday at Corner *Books*." in text_of(page)


def test_a_preview_shows_the_text_and_saves_nothing(owner, shop):
    page = owner.submit("/admin/pages/new", **EVENTS, preview="Preview")
    assert (page.status_code, "Preview: Events Readings Every Friday" in text_of(page)) == (200, True)
    assert "Every **Friday** at {name}." in page.text
    assert shop.rows("SELECT slug FROM content_pages") == []


def test_a_draft_is_read_by_owners_only(owner, web_client):
    owner.submit("/admin/pages/new", **{**EVENTS, "state": "draft"})
    assert (web_client().get("/pages/events").status_code, "/pages/events" in web_client().get("/").text) == (
        404,
        False,
    )
    assert "Events Draft" in text_of(owner.get("/admin/pages"))
    assert owner.get("/admin/pages/events").status_code == 200


@pytest.mark.parametrize("slug", TITLES)
def test_a_new_shop_has_texts_that_say_that_nobody_has_reviewed_them(shop, web_client, slug):
    shop.describe(name="Corner Books", street="12 High Street", city="Oxford", email="hello@example.com")
    page = text_of(web_client().get(f"/pages/{slug}"))
    assert (TITLES[slug] in page, NOT_REVIEWED in page, "{" in page) == (True, True, False)
    assert "Corner Books" in page


def test_the_text_about_privacy_says_how_long_backups_are_kept(web_client):
    kept = Settings.model_fields["keep_backups"].default
    assert f"We keep the last {kept}. What you delete stays in them" in text_of(web_client().get("/pages/privacy"))


def test_what_the_shop_has_not_entered_is_said_to_be_missing(web_client):
    assert "The Bookshop (not entered yet)" in text_of(web_client().get("/pages/imprint"))


def test_an_owner_confirms_a_text_by_saving_it(owner, shop, web_client):
    assert "Terms Please review" in text_of(owner.get("/admin/pages"))
    body = "We sell books."
    assert owner.submit("/admin/pages/terms", **{**EVENTS, "title": "Terms", "body": body}).status_code == 303
    page = text_of(web_client().get("/pages/terms"))
    assert (body in page, NOT_REVIEWED in page) == (True, False)
    assert "Terms Published" in text_of(owner.get("/admin/pages"))
    owner.post("/admin/pages/terms/delete", csrf_token=owner.csrf_token("/admin/pages/terms"))
    assert NOT_REVIEWED in text_of(web_client().get("/pages/terms"))


def test_a_change_of_another_version_is_refused_and_keeps_what_was_typed(owner, shop):
    owner.submit("/admin/pages/new", **EVENTS)
    assert owner.submit("/admin/pages/events", **{**EVENTS, "version": "1", "body": "First"}).status_code == 303
    answer = owner.submit("/admin/pages/events", **{**EVENTS, "version": "1", "body": "Second"})
    assert (answer.status_code, "Second" in answer.text) == (409, True)
    assert "Somebody else has changed this page meanwhile" in text_of(answer)
    assert shop.rows("SELECT body, version FROM content_pages") == [("First", 2)]


@pytest.mark.parametrize("title", ["Events", "events!", "Terms", "New", "!!"])
def test_a_title_is_taken_once(owner, title):
    owner.submit("/admin/pages/new", **EVENTS)
    answer = owner.submit("/admin/pages/new", **{**EVENTS, "title": title})
    assert (answer.status_code, "Choose another one." in text_of(answer)) == (409, True)


@pytest.mark.parametrize("title", ["x" * 80, "\u66f8" * 40, "Events (2026)"])
def test_any_title_has_an_address(owner, web_client, title):
    assert owner.submit("/admin/pages/new", **{**EVENTS, "title": title}).status_code == 303
    paths = set(re.findall('href="(/pages/[^"]+)"', web_client().get("/").text))
    (path,) = paths - {f"/pages/{slug}" for slug in TITLES}
    assert web_client().get(path).status_code == 200


@pytest.mark.parametrize("slug", ["%00", "x" * 200, "EVENTS", "%ff", "no-such-page"])
def test_a_page_that_does_not_exist_is_404(owner, web_client, slug):
    for path in (f"/pages/{slug}", f"/admin/pages/{slug}", f"/admin/pages/{slug}/delete"):
        assert owner.get(path).status_code == 404


def test_changes_are_in_the_audit_log_without_the_texts(owner, shop):
    owner.submit("/admin/pages/new", **EVENTS)
    owner.submit("/admin/pages/events", **{**EVENTS, "version": "1", "state": "draft"})
    owner.post("/admin/pages/events/delete", csrf_token=owner.csrf_token("/admin/pages/events"))
    found = shop.rows("SELECT action FROM audit_entries WHERE action LIKE 'page.%' ORDER BY id")
    assert found == ["page.created", "page.changed", "page.deleted"]
    assert "Friday" not in str(shop.rows("SELECT before, after FROM audit_entries"))


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](https://example.com)", '<p><a href="https://example.com" rel="noopener">x</a></p>'),
        ("![x](https://example.com/a.png)", "<p></p>"),
        ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
        ("# One\n\n## Two\n\n### Three", "<h2>One</h2>\n<h2>Two</h2>\n<h3>Three</h3>"),
        ("{name} {unknown} {NAME}", "<p>&lt;b&gt; *A* {unknown} {NAME}</p>"),
        ("a\n\n- b\n- c", "<p>a</p>\n<ul>\n<li>b</li>\n<li>c</li>\n</ul>"),
    ],
)
def test_a_text_is_safe_html(body, html):
    assert to_html(body, {"name": "<b> *A*"}).strip() == html


def test_a_shop_has_a_limited_number_of_pages(shop):
    values = {"body": "x", "state": "published"}
    for number in range(30):
        shop.commit(lambda number=number: services.content().add({**values, "title": f"Page {number}"}))
    with pytest.raises(Conflict, match="A shop can have 30 pages"):
        shop.commit(lambda: services.content().add({**values, "title": "One more"}))
