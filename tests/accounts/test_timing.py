"""Known and unknown addresses take the same time, because they cause the same work: statements and password checks.

`make bench ARGS=timing` lets a classifier guess from the time of the answers.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from bookshop.accounts import passwords
from bookshop.extensions import db
from tests.support.factories import PASSWORD

NUMBER = re.compile(r"'[0-9]+'")
KNOWN, UNKNOWN, MEMBER = "known@example.com", "nobody@example.com", "member@example.com"
# The page of each form that takes an address, the path that it is sent to, and its other fields.
ENTRANCES = {
    "log in": ("/login", "/login", {"password": "not the password"}),
    "ask for a link": ("/login", "/login", {"link": "yes"}),
    "reserve": ("/books/1", "/books/1/reserve", {}),
    "change the address": ("/account/email", "/account/email", {"current": PASSWORD}),
    "correct the address": ("/login/sent", "/login/sent", {}),
}


@contextmanager
def work(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record the statements and the checks of passwords."""
    done: list[str] = []
    matches = passwords.password_matches

    def check(*values: Any) -> bool:
        done.append("check a password")
        return matches(*values)

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        done.append(NUMBER.sub("?", statement))  # the time that is left for the request differs

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    with monkeypatch.context() as patch:
        patch.setattr("bookshop.accounts.service.password_matches", check)
        try:
            yield done
        finally:
            event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_known_and_an_unknown_address_cause_the_same_work(app, shop, web_client, monkeypatch, entrance):
    page, path, fields = ENTRANCES[entrance]
    for address in (KNOWN, MEMBER):
        shop.customer(address)
    shop.book("Emma")
    works = []
    for address in (KNOWN, UNKNOWN):
        browser = web_client(MEMBER if page.startswith("/account") else None)
        if page == "/login/sent":
            browser.submit("/login", email="ada@gmial.com", link="yes")
        token = browser.csrf_token(page)
        with work(app, monkeypatch) as done:
            browser.post(path, csrf_token=token, email=address, **fields)
        works.append(done)
    assert works[0] == works[1]
    assert ("check a password" in works[0]) == (entrance in ("log in", "change the address"))


def test_a_device_that_knows_one_account_does_the_same_work_for_other_addresses(app, shop, web_client, monkeypatch):
    for address in (KNOWN, MEMBER):
        shop.customer(address)
    browser, works = web_client(), []
    browser.log_in(MEMBER)
    browser.submit("/logout", page="/")
    for address in (KNOWN, UNKNOWN):
        token = browser.csrf_token("/login")
        with work(app, monkeypatch) as done:
            browser.post("/login", csrf_token=token, email=address, link="yes")
        works.append(done)
    assert works[0] == works[1]
