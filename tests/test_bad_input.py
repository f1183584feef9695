"""Bad input to the JSON face: each case has one status on both databases, is never a 500, and stores nothing."""

import json
from typing import Any

import pytest

from tests.stand import BOOK, ISBN, MEGABYTE, NEW_BOOK, OTHER, SCRIPT, assert_problem, send

RESERVE = ("ada", "POST", "/api/v1/prebookings")
CREATE = ("staff", "POST", "/api/v1/books")
CHANGE = ("staff", "PATCH", f"/api/v1/books/{OTHER}")
STOCK = ("staff", "PATCH", f"/api/v1/books/{OTHER}/stock")
CALLS = {"reserve": RESERVE, "create": CREATE, "change": CHANGE, "stock": STOCK}
GOOD: dict[str, dict[str, Any]] = {"reserve": {}, "create": NEW_BOOK, "change": {}, "stock": {}}

NO_INTEGERS: dict[str, Any] = {
    "text": "5", "empty": "", "float": 5.0, "fraction": 5.5, "true": True, "false": False, "list": [1], "object": {},
    "2**31": 2**31, "2**63": 2**63, "-2**63-1": -(2**63) - 1, "10**400": 10**400, "nan": float("nan"),
    "infinity": float("inf"), "-infinity": float("-inf"), "digits of another script": "\u0665",
}  # fmt: skip
INTEGERS = {
    "reserve": ["book_id"],
    "create": ["price_cents", "published_year"],
    "change": ["price_cents", "published_year"],
    "stock": ["quantity", "delta"],
}
NO_TEXTS: dict[str, Any] = {
    "number": 5, "float": 5.0, "true": True, "list": ["a"], "object": {"a": "b"}, "nan": float("nan"),
    "nul": "a\0b", "escape": "a\x1b[2Jb", "delete": "a\x7fb", "next line": "a\x85b", "high surrogate": "a\ud800b",
    "low surrogate": "\udfff", "surrogates the wrong way round": "\udc00\ud800", "replacement": "caf\ufffd",
    "1 MB": MEGABYTE,
}  # fmt: skip
TEXTS = {
    "create": ["title", "authors", "publisher", "language", "description", "isbn", "currency"],
    "change": ["title", "isbn", "currency"],
    "stock": ["note", "reason"],
}
BOOK_VALUES: dict[str, list[Any]] = {
    "price_cents": [-1, 100_000_001, None], "published_year": [2101, -3001, 10_000],
    "title": ["", "   ", "\t\r\n", "\u3000", "a\nb", "x" * 501, None],
    "authors": ["", " \u00a0 ", "a\u0085b", "x" * 1001, None],
    "publisher": ["a\nb", "x" * 201], "language": ["x" * 36], "description": ["x" * 10_001],
    "currency": ["", "eur", "EURO", "ZZZ", "\u20ac"],
    "isbn": [
        "", " ", "9780141439519", "978014143951", "97801414395180", "0141439517", "014143951X", "X141439518",
        "9771234567003", "978-0-14-143951-8-1", "nine", "\u0669\u0667\u0668\u0660\u0661\u0664\u0661\u0664",
        "9" * 100_000, "<script>",
    ],
}  # fmt: skip
OUT_OF_RANGE: list[tuple[str, str, Any]] = [
    ("reserve", "book_id", 0), ("reserve", "book_id", -1), ("reserve", "book_id", None),
    ("stock", "quantity", -1), ("stock", "quantity", 1_000_001), ("stock", "quantity", None),
    ("stock", "delta", -1), ("stock", "delta", 1_000_001), ("stock", "delta", -1_000_001), ("stock", "delta", None),
    ("stock", "reason", "theft"), ("stock", "reason", ""), ("stock", "note", "x" * 501), ("stock", "note", "a\nb"),
    *[(call, name, value) for call in ("create", "change") for name, values in BOOK_VALUES.items() for value in values],
]  # fmt: skip


def _fields(fields: dict[str, list[str]], values: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(call, name, value, id=f"{call}-{name}-{kind}")
        for call, names in fields.items()
        for name in names
        for kind, value in values.items()
    ]


FIELDS = [
    *_fields(INTEGERS, NO_INTEGERS),
    *_fields(TEXTS, NO_TEXTS),
    *[pytest.param(*case, id=f"{case[0]}-{case[1]}-{case[2]!r:.25}") for case in OUT_OF_RANGE],
]


@pytest.mark.parametrize(("call", "field", "value"), FIELDS)
@pytest.mark.usefixtures("nothing_stored")
def test_a_member_that_cannot_be_right_is_refused(stand, call, field, value):
    who, method, path = CALLS[call]
    good = {"quantity": 3} if field in ("note", "reason") else GOOD[call]
    answer = send(getattr(stand, who), method, path, {**good, field: value})
    assert_problem(answer, 422, "VALIDATION_ERROR")


OBJECTS: list[tuple[str, dict[str, Any]]] = [
    ("reserve", {}),
    ("reserve", {"book_id": OTHER, "user_id": 1}),
    ("reserve", {"book_id": OTHER, "": 1}),
    ("reserve", {"book_id": OTHER, "status": "notified"}),
    ("reserve", {"book": OTHER}),
    ("reserve", {"BOOK_ID": OTHER}),
    ("reserve", {"book_id": OTHER, "\ud800": 1}),
    ("reserve", {"book_id": OTHER, "a/b~c\0": 1}),
    ("create", {}),
    ("create", {"title": "Emma", "authors": "Jane Austen"}),
    ("create", {"title": "Emma", "price_cents": 1}),
    ("create", {"authors": "Jane Austen", "price_cents": 1}),
    ("create", {**NEW_BOOK, "stock_quantity": 3}),
    ("create", {**NEW_BOOK, "id": 77}),
    ("create", {**NEW_BOOK, "title_key": "emma"}),
    ("create", {**NEW_BOOK, "title": json.loads("[" * 900 + "]" * 900)}),
    ("change", {"stock_quantity": 3}),
    ("change", {"withdrawn_at": None}),
    ("change", {"id": 77}),
    ("change", {"title": "Emma", "in_stock": True}),
    ("stock", {}),
    ("stock", {"quantity": 1, "delta": 1}),
    ("stock", {"quantity": None, "delta": None}),
    ("stock", {"reason": "received"}),
    ("stock", {"quantity": 1, "user_id": 1}),
    ("stock", {"quantity": 1, "expected": 0}),
    ("stock", {"stock_quantity": 1}),
]


@pytest.mark.parametrize(("call", "body"), OBJECTS, ids=lambda value: str(value)[:60])
@pytest.mark.usefixtures("nothing_stored")
def test_an_object_with_members_missing_unknown_or_at_odds_is_refused(stand, call, body):
    who, method, path = CALLS[call]
    assert_problem(send(getattr(stand, who), method, path, body), 422, "VALIDATION_ERROR")


BODIES = {
    "a list": (b"[]", 422), "a list of objects": (b'[{"book_id": 2}]', 422), "null": (b"null", 422),
    "a text": (b'"x"', 422), "a number": (b"5", 422), "true": (b"true", 422), "NaN": (b"NaN", 422),
    "-Infinity": (b"-Infinity", 422), "lists too deep": (b"[" * 100_000 + b"]" * 100_000, 422),
    "objects too deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 422), "lists without end": (b"[" * 100_000, 422),
    "nothing": (b"", 400), "blanks": (b"  \r\n", 400), "half an object": (b'{"book_id": 2', 400),
    "single quotes": (b"{'book_id': 2}", 400), "a comma too many": (b'{"book_id": 2,}', 400),
    "words after it": (b'{"book_id": 2} please', 400), "two objects": (b'{"book_id": 2}{"book_id": 2}', 400),
    "a comment": (b'{"book_id": 2 /* Emma */}', 400), "NUL": (b"\0", 400),
    "not UTF-8": (b'{"book_id": "\xff\xfe"}', 400),
    "a raw NUL in a text": (b'{"book_id": "\0"}', 400), "a form": (b"book_id=2", 400),
    "10**5000": (b'{"book_id": 1' + b"0" * 5000 + b"}", 400), "1e400": (b'{"book_id": 1e400}', 422),
    "1.0": (b'{"book_id": 2.0}', 422), "a leading zero": (b'{"book_id": 02}', 400),
    "hexadecimal": (b'{"book_id": 0x2}', 400),
    "more than 1 MiB": (b'{"book_id": 2, "a": "' + b"x" * 2**20 + b'"}', 413),
}  # fmt: skip
CODES = {400: "HTTP_400", 404: "HTTP_404", 413: "HTTP_413", 415: "HTTP_415", 422: "VALIDATION_ERROR"}


@pytest.mark.parametrize("call", ["reserve", "stock"])
@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
@pytest.mark.usefixtures("nothing_stored")
def test_a_body_that_is_no_json_object_is_refused(stand, call, body, status):
    who, method, path = CALLS[call]
    body = body.replace(b"book_id", b"quantity") if call == "stock" else body
    assert_problem(send(getattr(stand, who), method, path, body), status, CODES[status])


CONTENT_TYPES = [
    None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data", "garbage",
    "application/jsonx", "application/json, text/html", "text/html, application/json",
    "application/\xe4", "multipart/form-data; boundary=application/json",
]  # fmt: skip


@pytest.mark.parametrize("call", ["reserve", "create", "change", "stock"])
@pytest.mark.parametrize("content_type", CONTENT_TYPES, ids=repr)
@pytest.mark.usefixtures("nothing_stored")
def test_json_with_another_content_type_is_refused(stand, call, content_type):
    who, method, path = CALLS[call]
    good = {"reserve": {"book_id": OTHER}, "create": NEW_BOOK, "change": {"title": "A"}, "stock": {"quantity": 1}}
    assert_problem(send(getattr(stand, who), method, path, good[call], content_type), 415, "HTTP_415")


@pytest.mark.parametrize("isbn", [ISBN, "978-0-14-143951-8", " 0141439513 ", "0-14-143951-3"])
@pytest.mark.usefixtures("nothing_stored")
def test_an_isbn_that_another_book_has_is_a_conflict_however_it_is_written(stand, isbn):
    assert_problem(send(stand.staff, *CREATE[1:], {**NEW_BOOK, "isbn": isbn}), 409, "BOOK_ISBN_CONFLICT")
    assert_problem(send(stand.staff, *CHANGE[1:], {"isbn": isbn}), 409, "BOOK_ISBN_CONFLICT")


PAGES = ["page=" + value for value in (
    "0", "-1", "", "%20", "abc", "1.5", "1e3", "0x1", "%00", "1%00", "2147483648", "9223372036854775808", "9" * 5000,
    "true", "null", "[]", "1&page=2", "1;size=5", "%FF",
)] + ["size=0", "size=101", "size=-1", "size=", "size=all", "size=9223372036854775808", "unknown=1", "=1", "PAGE=1",
      "page[]=1", "%00=1", "user_id=1"]  # fmt: skip
BOOK_QUERIES = [
    "sort=best", "sort=", "sort=TITLE", "sort=title;DROP TABLE books", "dir=up", "dir=", "dir=asc&dir=desc",
    "in_stock=maybe", "in_stock=", "in_stock=2", "in_stock=%00", "min_price_cents=-1", "min_price_cents=1.5",
    "min_price_cents=cheap", "min_price_cents=", "min_price_cents=100000001", "max_price_cents=9223372036854775808",
    "max_price_cents=NaN", "max_price_cents=1e2", "language=%00", "language=a%0Ab", "min_price=5",
    "q=emma&q=austen", "withdrawn=true",
]  # fmt: skip
PREBOOK_QUERIES = ["status=gone", "status=", "status=WAITING", "status=waiting&status=notified", "status=%00", "q=emma"]
QUERIES = [
    *[("nobody", "/api/v1/books", query) for query in [*PAGES, *BOOK_QUERIES]],
    *[("ada", "/api/v1/prebookings", query) for query in [*PAGES, *PREBOOK_QUERIES]],
    *[("staff", f"/api/v1/books/{BOOK}/movements", query) for query in PAGES],
]


@pytest.mark.parametrize(("who", "path", "query"), QUERIES, ids=lambda value: value[:50])
def test_an_odd_query_of_a_list_is_refused(stand, who, path, query):
    assert_problem(
        getattr(stand, who).client.get(f"{path}?{query}", headers=getattr(stand, who).headers), 422, CODES[422]
    )


ODD_IDS = ["-1", "2147483648", "9223372036854775808", "9" * 5000, "abc", "%00", "1%00", "1.0", "1e0", "+1", "%201", "",
           "1;DROP", "..", "%FF", "\U0001f4da", "null", "true"]  # fmt: skip
BY_ID = [
    ("nobody", "GET", "/api/v1/books/{}", "BOOK_NOT_FOUND"),
    ("staff", "PATCH", "/api/v1/books/{}", "BOOK_NOT_FOUND"),
    ("staff", "PATCH", "/api/v1/books/{}/stock", "BOOK_NOT_FOUND"),
    ("staff", "GET", "/api/v1/books/{}/movements", "BOOK_NOT_FOUND"),
    ("ada", "GET", "/api/v1/prebookings/{}", "PREBOOK_NOT_FOUND"),
    ("ada", "DELETE", "/api/v1/prebookings/{}", "PREBOOK_NOT_FOUND"),
]
UNKNOWN_IDS = ["0", "00", "2147483647"]


@pytest.mark.parametrize("call", BY_ID, ids=lambda call: f"{call[1]} {call[2][8:]}")
@pytest.mark.parametrize("odd", [*ODD_IDS, *UNKNOWN_IDS], ids=lambda odd: odd[:20])
@pytest.mark.usefixtures("nothing_stored")
def test_an_odd_or_unknown_id_is_not_found(stand, call, odd):
    who, method, path, code = call
    body = {"quantity": 3} if path.endswith("stock") else {"title": "Changed"}
    answer = send(getattr(stand, who), method, path.format(odd), body)
    assert_problem(answer, 404, code if odd in UNKNOWN_IDS or code in answer.text else "HTTP_404")


ODD_ISBNS = [
    "0",
    "abc",
    "9780141439519",
    "97801414395",
    "%00",
    "%FF",
    "978\u0660141439518",
    "9" * 5000,
    "' OR 1=1 --",
    "%25",
]


@pytest.mark.parametrize("isbn", ODD_ISBNS, ids=lambda isbn: isbn[:20])
def test_an_odd_isbn_is_not_found(stand, isbn):
    assert_problem(stand.nobody.get(f"/api/v1/books/isbn/{isbn}"), 404, "BOOK_NOT_FOUND")


def test_scripts_in_texts_are_data_in_json(stand):
    found = stand.nobody.get("/api/v1/books", q="script alert")
    assert (found.mimetype, found.json["items"][0]["title"]) == ("application/json", SCRIPT)
