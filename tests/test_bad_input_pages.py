"""Bad input to the pages, in search text, headers and cookies: each case has one status on both databases."""

import io

import pytest

from tests.clients import Browser
from tests.stand import BOOK, ISBN, OTHER, PREBOOK, SCRIPT, Stand, assert_problem, send

HOSTILE = {"nul": "a\0b", "escape": "a\x1bb", "line break": "a\nb", "next line": "a\x85b", "damaged": "caf\ufffd"}
TOO_MUCH = "x" * 2**20
DEAR = {"title": "Persuasion", "authors": "Jane Austen", "price": "9.50"}
NUMBERS = ["abc", "\0", "true", "[]", "--1", "1e", "0x10", "\u2460", "9 9", SCRIPT]
PASSWORD = "three random words"


BOOK_FIELDS: dict[str, list[str]] = {
    **{name: ["", " ", "\t\r\n", *HOSTILE.values()] for name in ("title", "authors")},
    **{name: list(HOSTILE.values()) for name in ("publisher", "language")},
    "description": ["a\0b", "a\x1bb", "caf\ufffd", "x" * 10_001],
    "isbn": [*HOSTILE.values(), "9780141439519", "978014143951", "X141439518", "9" * 41, "nine", SCRIPT, ISBN],
    "published_year": [*NUMBERS, "1.5", "5.0", "1e3", "2101", "-3001", "2147483648", "9" * 5000],
    "price": [
        *NUMBERS, "", " ", "-1", "-0.01", "1.999", "1000000.01", "NaN", "sNaN", "Infinity", "-Infinity", "1e999999",
        "1e5000", "1e-999999", "9" * 5000, "1,000.00", "12,90,1", "$5", "9.50 EUR",
    ],
}  # fmt: skip
TOO_LONG = [("title", 501), ("authors", 1001), ("publisher", 201), ("language", 36)]
BOOK_CASES = [(name, value) for name, values in BOOK_FIELDS.items() for value in values]
BOOK_CASES += [(name, "x" * length) for name, length in TOO_LONG]


@pytest.mark.parametrize(("field", "value"), BOOK_CASES, ids=lambda value: ascii(value)[:25])
@pytest.mark.usefixtures("nothing_stored")
def test_a_book_form_with_a_field_that_cannot_be_right_is_shown_again(stand, field, value):
    answer = stand.staff_browser.post("/admin/books/new", csrf_token=stand.token, **{**DEAR, field: value})
    assert (answer.status_code, "invalid-feedback" in answer.text or "alert-danger" in answer.text) == (400, True)


@pytest.mark.parametrize(("field", "value"), [("title", "a\0b"), ("isbn", ISBN), ("price", "-1")])
@pytest.mark.usefixtures("nothing_stored")
def test_an_edit_form_with_a_field_that_cannot_be_right_is_shown_again(stand, field, value):
    form = {**DEAR, field: value}
    assert stand.staff_browser.post(f"/admin/books/{OTHER}/edit", csrf_token=stand.token, **form).status_code == 400


COPIES = ["", " ", *NUMBERS, "-1", "1.5", "5.0", "1e3", "1000001", "2147483648", "9223372036854775808", "9" * 5000]
STOCK_CASES = [
    *[("copies", value, 400) for value in [*COPIES, "0"]],
    *[("note", value, 400) for value in [*HOSTILE.values(), "x" * 501]],
    *[("change", value, 400) for value in ("theft", "sale", "import", "", "\0", "RECEIVED", SCRIPT)],
    *[("expected", value, 400) for value in ("", "abc", "1.5", "\0", "9" * 5000)],
    *[("expected", value, 409) for value in ("7", "-1", "2147483648", "9" * 4000)],
]


@pytest.mark.parametrize(("field", "value", "status"), STOCK_CASES, ids=lambda value: ascii(value)[:25])
@pytest.mark.usefixtures("nothing_stored")
def test_a_stock_form_with_a_field_that_cannot_be_right_is_shown_again(stand, field, value, status):
    fields = {"change": "received", "copies": "3", "expected": "0", field: value}
    answer = stand.staff_browser.post(f"/admin/books/{OTHER}/stock", csrf_token=stand.token, **fields)
    assert answer.status_code == status


ADDRESSES = [
    "", " ", "ada", "ada@", "@example.com", "ada@localhost", "ada@example", "a b@example.com", "ada@exa mple.com",
    "ada@@example.com", "ada@example..com", "ada@-example.com", ".ada@example.com", "ada.@example.com",
    "a\0@example.com", "a\n@example.com", "ada@example.com\r\nBcc: b@example.com", "ada@example.com, ben@example.com",
    "\ufffd@example.com", "a@" + "x." * 150 + "com", "ada@[127.0.0.1]", "<ada@example.com>",
    SCRIPT, "x" * 100_000, "\u202eada@example.com",
]  # fmt: skip
WORDS = ["", "short", "1234567", "x" * 129, "password", "PASSWORD", "12345678", "x" * 400_000, "\u0301" * 4]
LOGIN_CASES = [
    *[("/login", {"email": address, "password": PASSWORD}) for address in ADDRESSES],
    *[("/register", {"email": address, "password": PASSWORD}) for address in ADDRESSES],
    *[("/register", {"email": "new@example.com", "password": word}) for word in WORDS],
    *[("/login", {"email": "ada@example.com", "password": word}) for word in [*WORDS, PASSWORD + "\0", SCRIPT]],
    ("/login", {}), ("/register", {}), ("/login", {"email": "ada@example.com"}), ("/register", {"password": PASSWORD}),
]  # fmt: skip


@pytest.mark.parametrize(("page", "fields"), LOGIN_CASES, ids=lambda value: ascii(value)[:60])
@pytest.mark.usefixtures("nothing_stored")
def test_a_bad_address_or_password_is_refused_in_the_form(stand, page, fields):
    answer = stand.visitor.post(page, csrf_token=stand.visitors_token, **fields)
    assert answer.status_code == 400
    assert SCRIPT not in answer.text


GOOD_CHANGE = {"current": PASSWORD, "new": "three other words", "repeat": "three other words"}
PASSWORD_CASES = [{"current": word} for word in ("", "wrong", PASSWORD.upper(), "\0", "x" * 400_000)]
PASSWORD_CASES += [{"repeat": word} for word in ("", "three other word", "three other words ")]
PASSWORD_CASES += [{"new": word, "repeat": word} for word in WORDS]


@pytest.mark.parametrize("wrong", PASSWORD_CASES, ids=lambda wrong: ascii(wrong)[:50])
@pytest.mark.usefixtures("nothing_stored")
def test_a_bad_change_of_password_is_refused_in_the_form(stand, wrong):
    answer = stand.staff_browser.post("/account/password", csrf_token=stand.token, **{**GOOD_CHANGE, **wrong})
    assert answer.status_code == 400


STRANGE = {
    "a list": {"json": [1]}, "a number": {"json": 5}, "a text": {"json": "x"},
    "null": {"data": b"null", "content_type": "application/json"},
    "numbers as members": {"json": {"email": 5, "password": 5, "title": 5, "copies": 5}},
    "lists as members": {"json": {"email": ["a"], "title": ["a"], "copies": [5]}},
    "objects as members": {"json": {"email": {"a": 1}, "title": {"a": 1}, "copies": {"a": 1}}},
    "broken JSON": {"data": b"{", "content_type": "application/json"},
    "nested JSON": {"data": b"[" * 100_000, "content_type": "application/json"},
    "multipart without boundary": {"data": b"x", "content_type": "multipart/form-data"},
    "multipart without end": {"data": b"--x\r\nfoo", "content_type": "multipart/form-data; boundary=x"},
    "broken percents": {"data": b"email=%&title=%zz%", "content_type": "application/x-www-form-urlencoded"},
    "nothing": {"data": b""},
    "another type": {"data": b"email=a", "content_type": "text/plain"},
}  # fmt: skip
FORMS = ["/login", "/register", "/admin/books/new", f"/admin/books/{OTHER}/edit", f"/admin/books/{OTHER}/stock"]


@pytest.mark.parametrize("page", [*FORMS, "/account/password"])
@pytest.mark.parametrize("request_of", STRANGE.values(), ids=STRANGE)
@pytest.mark.usefixtures("nothing_stored")
def test_a_body_that_is_no_form_is_answered_with_the_form(stand, page, request_of):
    browser = stand.visitor if page in FORMS[:2] else stand.staff_browser
    answer = browser.client.post(page, headers={"X-CSRFToken": browser.csrf_token("/login")}, **request_of)
    assert answer.status_code == 400


FILES = [
    *[(page, field) for page in FORMS[:2] for field in ("email", "password")],
    *[("/admin/books/new", field) for field in ("title", "authors", "price")],
    (FORMS[4], "copies"), ("/account/password", "current"), ("/account/password", "new"),
]  # fmt: skip


@pytest.mark.parametrize(("page", "field"), FILES)
@pytest.mark.usefixtures("nothing_stored")
def test_a_file_in_place_of_a_text_is_answered_with_the_form(stand, page, field):
    browser, token = stand.browsers["visitor" if page in FORMS[:2] else "staff"]
    fields = {"email": "new@example.com", "password": PASSWORD, **DEAR, "copies": "3", "expected": "0", **GOOD_CHANGE}
    file = (io.BytesIO(b"ada@example.com"), "ada.txt")
    assert browser.post(page, csrf_token=token, **{**fields, field: file}).status_code == 400


@pytest.mark.parametrize("page", [*FORMS, "/logout", f"/books/{OTHER}/reserve", f"/reservations/{PREBOOK}/cancel"])
@pytest.mark.usefixtures("nothing_stored")
def test_more_than_1_mib_is_refused(stand, page):
    assert stand.ada_browser.post(page, csrf_token=stand.adas_token, title=TOO_MUCH).status_code == 413


NEXTS = [
    "//evil.example", "/\t/evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
    "https:evil.example",
    "HTTP://localhost", "http:///evil.example", "///evil.example", "////evil.example", "javascript:alert(1)",
    "data:text/html,x", " //evil.example", "/%09/evil.example", "/%5Cevil.example", "/%2Fevil.example",
    "/\n/evil.example",
    "/books\r\nSet-Cookie: a=b", "evil.example", "books", "?page=2", "#content", "", "/nothing", "/api/v1/books",
    "/static/css/shop.css", "/logout", "/books/abc", "/@evil.example", "/\0", "/" + "x" * 3000,
    "/books?" + "x" * 3000, "/\u3000/evil.example", "/.//evil.example", "/..//evil.example", "\u2215\u2215evil.example",
    "/admin/books/1/put-back", SCRIPT, "@evil.example", "\ufffd", "/books\\..\\evil",
]  # fmt: skip


@pytest.mark.parametrize("target", NEXTS, ids=lambda target: ascii(target)[:30])
@pytest.mark.parametrize("where", ["field", "address"])
def test_login_leads_nowhere_but_to_our_own_pages(stand, target, where):
    browser = Browser(stand.app)
    token, fields = browser.csrf_token(), {"email": "ada@example.com", "password": PASSWORD}
    if where == "field":
        answer = browser.post("/login", csrf_token=token, next=target, **fields)
    else:
        answer = browser.client.post("/login", query_string={"next": target}, data={"csrf_token": token, **fields})
    assert (answer.status_code, answer.location) == (303, "/")


@pytest.mark.parametrize(("number", "target"), list(enumerate(NEXTS)), ids=lambda value: ascii(value)[:30])
def test_registration_leads_nowhere_but_to_our_own_pages(stand, number, target):
    answer = Browser(stand.app).submit("/register", email=f"n{number}@example.com", password=PASSWORD, next=target)
    assert (answer.status_code, answer.location) == (303, "/login")


@pytest.mark.parametrize(
    "target", ["/books?q=a%20b&page=2", f"/books/{BOOK}", "/reservations", "/books?q=%0d%0aX:y", "/admin"]
)
def test_login_leads_back_to_our_own_page(stand, target):
    assert Browser(stand.app, None).log_in("ada@example.com", next=target).location == target


NOT_FOUND = [
    ("visitor", "GET", "/books/{}"),
    ("ada", "POST", "/books/{}/reserve"),
    ("ada", "POST", "/reservations/{}/cancel"),
    *[("staff", "POST", f"/admin/books/{{}}/{page}") for page in ("edit", "stock", "withdraw", "put-back")],
    *[("staff", "GET", f"/admin/books/{{}}/{page}") for page in ("edit", "stock", "waiting", "movements", "withdraw")],
]
ODD_IDS = ["0", "-1", "2147483647", "2147483648", "9" * 5000, "abc", "%00", "1.0"]


@pytest.mark.parametrize("call", NOT_FOUND, ids=lambda call: f"{call[1]} {call[2]}")
@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: odd[:20])
@pytest.mark.usefixtures("nothing_stored")
def test_an_odd_or_unknown_id_has_no_page(stand, call, odd):
    who, method, path = call
    browser, token = stand.browsers[who]
    form = {"csrf_token": token, **DEAR, "change": "received", "copies": "3", "expected": "0"}
    answer = browser.client.open(path.format(odd), method=method, data=form if method == "POST" else None)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


ODD_TEXTS = [
    "'", '"', '""', '"emma', "' OR '1'='1", "'; DROP TABLE books; --", "%", "_", "%%%", "100%", "\\", "\\'", "a\\", "*",
    "a*", "**", "^emma", "-emma", "- -", "NEAR", "NEAR(a b, 2)", "AND", "OR", "NOT", "emma AND", "emma OR", "OR NOT",
    "(", ")", "((emma)", "title:emma", "search_title:", ":", "a:b", ":*", "emma:*", "emma:*AB", "&", "|", "!", "!emma",
    "a & b", "a & ", "a <-> b", "<->", "<1>", "a <2147483648> b", "{a b}", "+", "a + b", "\0", "em\0ma", "\x01\x1f",
    "\ufffd", "\u202eamme", "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627", "\U0001f4da", "\u200b",
    "\u00df",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0130", "\ufdfd" * 50, "e\u0301" * 50, "!!!???", "x" * 60_000,
    "a " * 30_000, "a\tb\nc", "9780141439518 OR 1", "1e400", "NULL", "\u3000", SCRIPT,
]  # fmt: skip


@pytest.mark.parametrize("typed", ODD_TEXTS, ids=lambda typed: ascii(typed)[:30])
def test_odd_search_text_finds_books_or_none_but_is_no_error(stand, typed):
    for member in ("q", "author"):
        found = stand.nobody.get("/api/v1/books", **{member: typed})
        assert (found.status_code, found.json["total"] <= 2) == (200, True)
    for browser, page in ((stand.visitor, "/"), (stand.staff_browser, "/admin/books")):
        shown = browser.get(page, query_string={"q": typed})
        assert (shown.status_code, SCRIPT in shown.text) == (200, False)


LISTS = ["/reservations", "/admin", "/admin/books", f"/admin/books/{BOOK}/waiting", f"/admin/books/{BOOK}/movements"]
PAGING = [f"page={value}" for value in ("0", "-1", "", "abc", "%00", "9" * 5000, "9223372036854775808")] + ["%00=%00"]
SEARCHES = [
    "page=1.5", "page=true", "page=1&page=2", "unknown=1", "=", "&&&", "%FF=%FF", "endpoint=x", "_method=POST",
    "sort=best", "dir=up", "size=0", "size=9223372036854775808", "in_stock=maybe", "language=%00",
    "language=" + "x" * 9999, "min_price=abc", "min_price=-1", "min_price=NaN", "min_price=sNaN", "min_price=Infinity",
    "min_price=1e5000", "min_price=1e999999", "max_price=1e999990", "max_price=1e-999999", "max_price=" + "9" * 5000,
    "max_price=0,001", "min_price_cents=abc", "max_price_cents=9223372036854775808", "min_price=%00",
]  # fmt: skip
ODD_QUERIES = [(page, query) for page in LISTS for query in PAGING] + [
    ("/books", query) for query in [*PAGING, *SEARCHES]
]


def _of(stand: Stand, page: str) -> Browser:
    """The browser of somebody who may see this page."""
    return {"/books": stand.visitor, "/reservations": stand.ada_browser}.get(page, stand.staff_browser)


@pytest.mark.parametrize(("page", "query"), ODD_QUERIES, ids=lambda value: value[:40])
def test_an_odd_query_of_a_page_is_passed_over(stand, page, query):
    assert _of(stand, page).follow(f"{page}?{query}").status_code == 200


TURNED = [
    "page=99", "page=2147483647", "page=99&endpoint=x", "page=99&_method=POST", "page=99&_external=1", "page=99&self=1",
    "page=99&_scheme=javascript&_external=1", "page=99&_anchor=x", "page=99&q=%0D%0AX:1", "page=99&%00=1",
]  # fmt: skip


@pytest.mark.parametrize("page", ["/books", "/reservations"])
@pytest.mark.parametrize("query", TURNED)
def test_a_page_behind_the_last_leads_to_the_last_whatever_else_is_asked(stand, page, query):
    answer = _of(stand, page).get(f"{page}?{query}")
    assert (answer.status_code, answer.location.partition("?")[0]) == (302, page)


SHOWN = [
    *[("visitor", path) for path in ("/", "/books?q=script", f"/books/{BOOK}", "/books?language={}")],
    *[("visitor", path) for path in ("/books?min_price={}&sort={}", "/books?q={}", "/books?author={}")],
    *[("visitor", path) for path in ("/login?next={}", "/register?next={}", "/{}", "/books/{}", "/static/{}")],
    *[("ada", path) for path in ("/", f"/books/{BOOK}", "/reservations", "/reservations?page={}")],
    *[("staff", path) for path in ("/", f"/books/{BOOK}", "/admin", "/admin/books", "/admin/books?q={}", "/admin/{}")],
    *[("staff", f"/admin/books/{BOOK}/{page}") for page in ("edit", "stock", "withdraw", "waiting", "movements")],
]


@pytest.mark.parametrize(("who", "path"), SHOWN)
def test_a_script_in_a_text_or_an_address_is_never_part_of_the_page(stand, who, path):
    shown = stand.browsers[who][0].get(path.replace("{}", "%22%27%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"))
    assert "<script" not in shown.text.replace('<script type="application/ld+json">', "")
    assert "&lt;script&gt;" in shown.text or "{}" in path


def test_a_script_that_was_typed_is_escaped_in_the_form_and_in_the_refusal(stand):
    typed = stand.staff_browser.post("/admin/books/new", csrf_token=stand.token, title=SCRIPT, price="-1")
    stale = {"change": "received", "copies": "1", "note": SCRIPT, "expected": "7"}
    refused = stand.staff_browser.post(f"/admin/books/{BOOK}/stock", csrf_token=stand.token, **stale)
    for page in (typed, refused):
        assert ("<script" in page.text, "&lt;script&gt;" in page.text) == (False, True)


BEARERS = [
    "Bearer", "Bearer ", "Bearer x", "bearer x", "BEARER x y", "Bearer a=b", "Bearer \xe4\xf6", "Bearer ====",
    "Bearer null", "Bearer bookshop_", "Bearer " + "x" * 50_000, "Bearer '; DROP TABLE users; --",
]  # fmt: skip
OTHERS = [
    "",
    " ",
    "Basic",
    "Basic !!!",
    "Basic YTpi",
    "Basic ////",
    "Basic \xff",
    "Digest a",
    "Token x",
    "\xe4",
    ",",
    "Bearerx",
]


@pytest.mark.parametrize("header", [*BEARERS, *OTHERS], ids=lambda header: ascii(header)[:30])
@pytest.mark.usefixtures("nothing_stored")
def test_a_bad_authorization_lets_nobody_in(stand, header):
    headers = {"Authorization": header}
    answer = stand.nobody.client.post("/api/v1/prebookings", json={"book_id": OTHER}, headers=headers)
    assert_problem(answer, 401, "NOT_AUTHENTICATED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", [*BEARERS, *OTHERS], ids=lambda header: ascii(header)[:30])
def test_a_bad_token_is_said_to_be_so_where_none_is_needed_and_other_schemes_are_ignored(stand, header):
    client, headers = stand.nobody.client, {"Authorization": header}
    assert client.get("/api/v1/books", headers=headers).status_code == (401 if header in BEARERS else 200)
    assert client.get("/", headers=headers).status_code == 200


COOKIES = [f"{name}={value}" for name in ("bookshop", "remember_token", "session") for value in (
    "", "x", "\xe4\xf6\xfc", "\xff\xfe", '"', '"\\377\\000"', "a.b.c", ".eJw", "." * 5000, "1|x", "\xc3\xa4|\xc3\xb6",
    "%00", "eyJfdXNlcl9pZCI6IjEifQ.aSHj1Q.forged", "x" * 50_000,
)] + [";;;", "=", "\xff", "bookshop", "bookshop=a; bookshop=b"]  # fmt: skip


@pytest.mark.parametrize("cookie", COOKIES, ids=lambda cookie: ascii(cookie)[:40])
@pytest.mark.usefixtures("nothing_stored")
def test_a_garbage_cookie_is_nobodys(stand, cookie):
    client, headers = stand.nobody.client, {"Cookie": cookie}
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/reservations", headers=headers).location.startswith("/login?")
    answer = client.post("/api/v1/prebookings", json={"book_id": OTHER}, headers=headers)
    assert_problem(answer, 401, "NOT_AUTHENTICATED")


EMOJI = "".join(chr(code) for code in [*range(0x1F300, 0x1F440), *range(0x1F600, 0x1F6B4)])
LONG_ADDRESS = f"{chr(0x390) * 60}@{'a' * 60}.{'b' * 60}.example.com"


def test_a_title_of_500_emoji_is_stored(stand):
    body = {"title": EMOJI, "authors": "Jane Austen", "price_cents": 1}
    assert send(stand.staff, "POST", "/api/v1/books", body).status_code == 201


def test_an_address_that_grows_too_long_when_its_case_is_folded_is_refused(stand):
    assert Browser(stand.app).submit("/register", email=LONG_ADDRESS, password=PASSWORD).status_code == 400
