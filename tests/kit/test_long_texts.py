"""Texts that would take minutes to normalise: every input checks their length first."""

import re
import unicodedata

import pytest

from bookshop.accounts import passwords
from bookshop.catalog.isbn import isbn13
from bookshop.inventory.delivery_note import read_note
from bookshop.kit.text import LONGEST_TEXT, MAX_MARKS, fold, problem_in, search_words, tidy
from tests.support.databases import empty
from tests.support.routes import PAGES, ROUTES, UNSAFE
from tests.support.validation import routes_with
from tests.web.test_bad_input_pages import FORMS

pytestmark = pytest.mark.one_postgresql_case

MARKS = "a" + "\u0301\u0316" * 40_000  # normalising it takes quadratic time: seconds


@pytest.fixture
def normalized(monkeypatch):
    """Record each text passed to Unicode normalisation."""
    texts, normalize = [], unicodedata.normalize

    def listen(form, text):
        texts.append(text)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", listen)
    return texts


@pytest.fixture
def restored_target(target):
    """Restore the target: some of these requests succeed."""
    yield target
    empty(target.app)
    target.reset()


def assert_not_normalized(normalized):
    assert [len(text) for text in normalized if len(text) > LONGEST_TEXT] == []
    assert [text[:40] for text in normalized if len(text) > passwords.LONGEST_TYPED and MARKS[1:200] in text] == []


@pytest.mark.parametrize("route", [route for route in FORMS if ROUTES[route][1]])
def test_no_page_field_is_normalised_before_its_length_is_checked(restored_target, normalized, route):
    for name in ROUTES[route][1]:
        answer = restored_target.send_form(route, {**ROUTES[route][1], name: MARKS})
        assert answer.status_code < 500
    assert_not_normalized(normalized)


@pytest.mark.parametrize("route", routes_with("json"))
def test_no_body_member_is_normalised_before_its_length_is_checked(restored_target, normalized, route):
    for name in routes_with("json")[route].model_fields:
        assert restored_target.send_json(route, {**ROUTES[route][1], name: MARKS}).status_code == 422
    if "lines" in ROUTES[route][1]:
        for line in ({"isbn": MARKS}, {"book_id": 1, "note": MARKS}):
            assert restored_target.send_json(route, {"lines": [{**line, "quantity": 1}]}).status_code == 422
    assert_not_normalized(normalized)


@pytest.mark.parametrize("path", ["/books", "/", "/admin/orders", "/admin/users", "/admin", "/login", "/api/v1/books"])
def test_no_query_is_normalised_before_its_length_is_checked(target, normalized, path):
    for name in ("q", "next", "cursor", "status"):
        assert target.web_clients["staff"].client.get(path, query_string={name: MARKS}).status_code < 500
    assert_not_normalized(normalized)


@pytest.mark.parametrize("header", ["User-Agent", "If-Match", "If-None-Match", "Authorization", "Idempotency-Key"])
def test_no_header_is_normalised_before_its_length_is_checked(target, normalized, header):
    value = MARKS.encode().decode("latin-1")
    for path in ("/login", "/api/v1/books"):
        assert target.web_clients["nobody"].client.get(path, headers={header: value}).status_code < 500
    assert_not_normalized(normalized)


def test_every_page_with_a_form_is_tried():
    assert {route for route in PAGES if route in UNSAFE and ROUTES[route][1]} - set(FORMS) <= {
        route for route in PAGES if re.search("mail|orders|unsubscribe|reserve", route)
    }


def test_an_import_line_is_unicode_normalised_only_if_short_enough(shop, normalized, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text(f"title,authors,isbn\n{MARKS},Jane Austen,\nEmma,Jane Austen,{MARKS}\n")
    output = shop.app.test_cli_runner().invoke(args=["books", "import", str(path)]).output
    assert ("0 added" in output, shop.rows("SELECT id FROM books")) == (True, [])
    assert_not_normalized(normalized)


def test_an_overlong_password_is_wrong_without_being_normalised(normalized):
    good = "three random words"
    known = passwords.hash_password(good)
    assert passwords.password_matches(known, good)
    normalized.clear()
    assert not passwords.password_matches(known, good + MARKS)
    assert f"this one has {len(MARKS)}." in (passwords.problem_in_password(MARKS) or "")
    assert normalized == []


def test_a_password_that_is_long_only_before_normalisation_is_accepted():
    typed = "a\u0323\u0302" * passwords.PASSWORD_MAX  # ậ, three characters that normalise to one
    assert passwords.problem_in_password(typed) is None
    assert passwords.password_matches(passwords.hash_password(typed), typed)


@pytest.mark.parametrize("marks", ["\u0301", "\u0301\u0316", "\u0f73", "\u0344", "\u0e31"])
def test_excessive_combining_marks_are_refused_and_not_normalised(normalized, marks):
    most = ("q" + marks * MAX_MARKS)[: MAX_MARKS + 1]
    assert (problem_in(most), problem_in(f"{most} {most}")) == (None, None)
    stacked = f"Em{most}{marks}ma"
    assert (tidy(stacked), normalized) == (stacked, [])
    assert problem_in(stacked) == "must not have more than 30 accents on one letter"


def test_a_text_longer_than_any_field_is_not_normalised(normalized):
    long = "e\u0301" * (LONGEST_TEXT // 2 + 1)
    assert (tidy(long), normalized) == (long, [])
    assert tidy(long[:LONGEST_TEXT]) == "\N{LATIN SMALL LETTER E WITH ACUTE}" * (LONGEST_TEXT // 2)


def test_a_long_text_is_never_an_isbn():
    with pytest.raises(ValueError, match="needs 10 or 13 digits"):
        isbn13("9780141439587" + " " * 50 + "x")
    assert [line.problem != "" for line in read_note("9" + " " * 10_000 + "7\n9780141439587 x2")] == [True, False]


def test_sorted_and_searched_text_is_limited_in_length(normalized):
    assert (len(fold("\ufdfa" * 10_000)), normalized) == (500, [])
    assert max(map(len, search_words("x" * 10_000).split())) == 64
