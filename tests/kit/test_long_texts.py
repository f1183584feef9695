"""Texts that would take minutes to compose: every entrance checks their length before it does anything with them."""

import re
import unicodedata

import pytest

from bookshop.accounts import passwords
from bookshop.catalog.isbn import isbn13
from bookshop.inventory.delivery_note import read_note
from bookshop.kit.text import LONGEST_TEXT, MOST_MARKS, fold, problem_in, search_words, tidy
from tests.support.databases import empty
from tests.support.shapes import routes_with
from tests.support.world import PAGES, ROUTES, UNSAFE
from tests.web.test_bad_input_pages import FORMS

pytestmark = pytest.mark.one_postgresql_case

MARKS = "a" + "\u0301\u0316" * 40_000  # composing it takes its length squared: seconds


@pytest.fixture
def composed(monkeypatch):
    """What is composed: each text that is handed to Unicode's normalisation."""
    texts, normalize = [], unicodedata.normalize

    def listen(form, text):
        texts.append(text)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", listen)
    return texts


@pytest.fixture
def again(target):
    """The target, put back as it was: some of these requests do what they ask for."""
    yield target
    empty(target.app)
    target.begin_again()


def assert_cheap(composed):
    assert [len(text) for text in composed if len(text) > LONGEST_TEXT] == []
    assert [text[:40] for text in composed if len(text) > passwords.LONGEST_TYPED and MARKS[1:200] in text] == []


@pytest.mark.parametrize("route", [route for route in FORMS if ROUTES[route][1]])
def test_no_field_of_a_page_is_composed_before_its_length_is_known(again, composed, route):
    for name in ROUTES[route][1]:
        answer = again.send_form(route, {**ROUTES[route][1], name: MARKS})
        assert answer.status_code < 500
    assert_cheap(composed)


@pytest.mark.parametrize("route", routes_with("json"))
def test_no_member_of_a_body_is_composed_before_its_length_is_known(again, composed, route):
    for name in routes_with("json")[route].model_fields:
        assert again.send_json(route, {**ROUTES[route][1], name: MARKS}).status_code == 422
    if "lines" in ROUTES[route][1]:
        for line in ({"isbn": MARKS}, {"book_id": 1, "note": MARKS}):
            assert again.send_json(route, {"lines": [{**line, "quantity": 1}]}).status_code == 422
    assert_cheap(composed)


@pytest.mark.parametrize("path", ["/books", "/", "/admin/orders", "/admin/users", "/admin", "/login", "/api/v1/books"])
def test_no_query_is_composed_before_its_length_is_known(target, composed, path):
    for name in ("q", "next", "cursor", "status"):
        assert target.browsers["staff"].client.get(path, query_string={name: MARKS}).status_code < 500
    assert_cheap(composed)


@pytest.mark.parametrize("header", ["User-Agent", "If-Match", "If-None-Match", "Authorization", "Idempotency-Key"])
def test_no_header_is_composed_before_its_length_is_known(target, composed, header):
    value = MARKS.encode().decode("latin-1")
    for path in ("/login", "/api/v1/books"):
        assert target.browsers["nobody"].client.get(path, headers={header: value}).status_code < 500
    assert_cheap(composed)


def test_every_page_with_a_form_is_tried():
    assert {route for route in PAGES if route in UNSAFE and ROUTES[route][1]} - set(FORMS) <= {
        route for route in PAGES if re.search("mail|orders|unsubscribe", route)
    }


def test_a_line_of_an_import_is_composed_only_if_it_is_short_enough(shop, composed, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text(f"title,authors,isbn\n{MARKS},Jane Austen,\nEmma,Jane Austen,{MARKS}\n")
    said = shop.app.test_cli_runner().invoke(args=["books", "import", str(path)]).output
    assert ("0 added" in said, shop.rows("SELECT id FROM books")) == (True, [])
    assert_cheap(composed)


def test_a_password_of_any_length_is_wrong_without_being_composed(composed):
    good = "three random words"
    known = passwords.hash_password(good)
    assert passwords.password_matches(known, good)
    composed.clear()
    assert not passwords.password_matches(known, good + MARKS)
    assert f"this one has {len(MARKS)}." in (passwords.problem_in_password(MARKS) or "")
    assert composed == []


def test_a_password_that_is_long_only_until_it_is_composed_is_still_right():
    typed = "a\u0323\u0302" * passwords.PASSWORD_MAX  # ậ, three characters that compose to one
    assert passwords.problem_in_password(typed) is None
    assert passwords.password_matches(passwords.hash_password(typed), typed)


@pytest.mark.parametrize("marks", ["\u0301", "\u0301\u0316", "\u0f73", "\u0344", "\u0e31"])
def test_more_marks_on_a_letter_than_any_language_needs_are_refused_and_not_composed(composed, marks):
    most = ("q" + marks * MOST_MARKS)[: MOST_MARKS + 1]
    assert (problem_in(most), problem_in(f"{most} {most}")) == (None, None)
    stacked = f"Em{most}{marks}ma"
    assert (tidy(stacked), composed) == (stacked, [])
    assert problem_in(stacked) == "must not have more than 30 accents on one letter"


def test_a_text_longer_than_any_field_is_not_composed(composed):
    long = "e\u0301" * (LONGEST_TEXT // 2 + 1)
    assert (tidy(long), composed) == (long, [])
    assert tidy(long[:LONGEST_TEXT]) == "\N{LATIN SMALL LETTER E WITH ACUTE}" * (LONGEST_TEXT // 2)


def test_a_long_text_is_no_isbn_whatever_it_begins_with():
    with pytest.raises(ValueError, match="needs 10 or 13 digits"):
        isbn13("9780141439587" + " " * 50 + "x")
    assert [line.problem != "" for line in read_note("9" + " " * 10_000 + "7\n9780141439587 x2")] == [True, False]


def test_what_is_sorted_and_searched_by_is_short(composed):
    assert (len(fold("\ufdfa" * 10_000)), composed) == (500, [])
    assert max(map(len, search_words("x" * 10_000).split())) == 64
