"""Malformed headers and cookies authenticate no one and never reach the database: there is none here."""

import pytest
from flask import request

from bookshop.web.access import bearer_token
from tests.support.bad_input import assert_problem
from tests.support.validation import shop_without_database

# An Authorization header, and the token that is read from it.
BEARERS = {
    "Bearer": "", "Bearer ": "", "Bearer x": "x", "bearer x": "x", "BEARER x y": "x y", "Bearer a=b": "",
    "Bearer \xe4\xf6": "\xe4\xf6", "Bearer ====": "====", "Bearer null": "null", "Bearer bookshop_": "bookshop_",
    f"Bearer {'x' * 50_000}": "x" * 50_000, "Bearer '; DROP TABLE users; --": "'; DROP TABLE users; --",
}  # fmt: skip
OTHERS = [
    *("", " ", "Basic", "Basic !!!", "Basic YTpi", "Basic ////", "Basic \xff", "Digest a", "Token x", "\xe4"),
    *(",", "Bearerx"),
]
BOOK = {"book_id": 2}


def short(text: str) -> str:
    return ascii(text)[:40]


def test_a_token_is_read_only_from_a_bearer_header():
    read = {}
    for header in [*BEARERS, *OTHERS]:
        with shop_without_database().test_request_context(headers={"Authorization": header}):
            read[header] = bearer_token(request)
    assert read == {**BEARERS, **dict.fromkeys(OTHERS)}


@pytest.mark.parametrize("header", OTHERS, ids=short)
def test_another_authorization_scheme_is_unauthorized(header):
    client, headers = shop_without_database().test_client(), {"Authorization": header}
    answer = client.post("/api/v1/prebookings", json=BOOK, headers=headers)
    assert_problem(answer, 401, "NOT_AUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/login", headers=headers).status_code == 200


@pytest.mark.parametrize("header", [header for header, token in BEARERS.items() if not token], ids=short)
def test_a_bearer_header_without_a_token_is_unauthorized(header):
    client, headers = shop_without_database().test_client(), {"Authorization": header}
    for path in ("/api/v1/prebookings", "/api/v1/books"):
        answer = client.get(path, headers=headers)
        assert_problem(answer, 401, "NOT_AUTHENTICATED")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


VALUES = [
    "", "x", "\xe4\xf6\xfc", "\xff\xfe", '"', '"\\377\\000"', "a.b.c", ".eJw", "." * 5000, "1|x", "\xc3\xa4|\xc3\xb6",
    "%00", "eyJfdXNlcl9pZCI6IjEifQ.aSHj1Q.forged", "x" * 50_000,
]  # fmt: skip
COOKIES = [f"{name}={value}" for name in ("bookshop", "remember_token", "session") for value in VALUES]


@pytest.mark.parametrize("cookie", [*COOKIES, ";;;", "=", "\xff", "bookshop", "bookshop=a; bookshop=b"], ids=short)
def test_a_garbage_cookie_is_not_logged_in(cookie):
    client, headers = shop_without_database().test_client(use_cookies=False), {"Cookie": cookie}
    assert client.get("/login", headers=headers).status_code == 200
    assert client.get("/reservations", headers=headers).location == "/login?next=/reservations"
    assert_problem(client.post("/api/v1/prebookings", json=BOOK, headers=headers), 401, "NOT_AUTHENTICATED")
