"""Bodies that are not JSON objects, or not sent as JSON: refused before validation, in a shop without a database."""

import pytest

from tests.support.bad_input import assert_problem
from tests.support.validation import send_raw, shop_without_database

NO_OBJECT, TOO_DEEP = "The body must be a JSON object.", "The JSON is nested too deeply."
NO_OBJECTS = {
    "a list": b"[]", "a list of objects": b'[{"book_id": 2}]', "null": b"null", "a text": b'"x"', "a number": b"5",
    "true": b"true", "NaN": b"NaN", "-Infinity": b"-Infinity",
}  # fmt: skip
DEEP = {
    "lists": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "lists without end": b"[" * 100_000,
}
BROKEN = {
    "nothing": b"", "blanks": b"  \r\n", "half an object": b'{"book_id": 2', "single quotes": b"{'book_id': 2}",
    "a comma too many": b'{"book_id": 2,}', "words after it": b'{"book_id": 2} please',
    "two objects": b'{"book_id": 2}{"book_id": 2}', "a comment": b'{"book_id": 2 /* Emma */}', "NUL": b"\0",
    "not UTF-8": b'{"book_id": "\xff\xfe"}', "a raw NUL in a text": b'{"book_id": "\0"}', "a form": b"book_id=2",
    "10**5000": b'{"book_id": 1' + b"0" * 5000 + b"}", "a leading zero": b'{"book_id": 02}',
    "hexadecimal": b'{"book_id": 0x2}',
}  # fmt: skip
NO_INTEGERS = {"1e400": b'{"book_id": 1e400}', "1.0": b'{"book_id": 2.0}'}
CONTENT_TYPES = [
    None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data", "garbage",
    "application/jsonx", "application/json, text/html", "text/html, application/json",
    "application/\xe4", "multipart/form-data; boundary=application/json",
]  # fmt: skip
REFUSED = [
    *[(body, [{"pointer": "#", "detail": NO_OBJECT}]) for body in NO_OBJECTS.values()],
    *[(body, [{"pointer": "#", "detail": TOO_DEEP}]) for body in DEEP.values()],
    *[(body, [{"pointer": "#/book_id", "detail": "Input should be a valid integer"}]) for body in NO_INTEGERS.values()],
]


@pytest.mark.parametrize(("body", "errors"), REFUSED, ids=[*NO_OBJECTS, *DEEP, *NO_INTEGERS])
def test_a_body_of_the_wrong_shape_is_refused_with_pointer_and_reason(body, errors):
    answer = send_raw(body)
    assert_problem(answer, 422, "VALIDATION_ERROR")
    assert answer.get_json()["errors"] == errors


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_not_json_is_refused(body):
    answer = send_raw(body)
    assert_problem(answer, 400, "HTTP_400")
    assert answer.get_json()["detail"] == "The body is not valid JSON."


@pytest.mark.parametrize("content_type", CONTENT_TYPES, ids=repr)
def test_json_with_another_content_type_is_refused(content_type):
    answer = send_raw(b'{"book_id": 2}', content_type)
    assert_problem(answer, 415, "HTTP_415")
    assert answer.get_json()["detail"] == "Send this as JSON, with `Content-Type: application/json`."


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_with_a_json_content_type_is_accepted(content_type):
    assert send_raw(b' {"book_id": 2} ', content_type).status_code == 200


def test_more_than_1_mib_is_refused():
    answer = send_raw(b'{"book_id": 2, "a": "' + b"x" * 2**20 + b'"}')
    assert_problem(answer, 413, "HTTP_413")
    assert answer.get_json()["detail"] == "This is too large. Send less at once."


TOO_MUCH = "x" * 2**20
PAGES = [
    *("/login", "/login/sent", "/admin/books/new", "/admin/books/2/edit", "/admin/books/2/stock"),
    *("/logout", "/books/2/reserve", "/reservations/1/cancel"),
]


@pytest.mark.parametrize("path", PAGES)
def test_a_form_of_more_than_1_mib_is_refused(path):
    answer = shop_without_database().test_client().post(path, data={"title": TOO_MUCH})
    assert (answer.status_code, answer.mimetype) == (413, "text/html")
