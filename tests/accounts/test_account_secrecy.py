"""Registering and asking for a new password: whoever tries does not learn which addresses have accounts."""

import re

import pytest

from bookshop.letters.worker import Worker
from tests.support.clients import text_of
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.one_postgresql_case

ADA, OTHER = "ada@example.com", "three other words"


def register(browser, email=ADA, password=PASSWORD, **fields):
    return browser.submit("/register", email=email, password=password, **fields)


def forget(browser, email=ADA):
    return browser.submit("/password/forgot", email=email)


def queued(shop):
    return shop.rows("SELECT kind, recipient FROM messages WHERE state = 'queued' ORDER BY id")


def can_log_in(visitor, password):
    return visitor().log_in(ADA, password).status_code == 303


def whole(browser, answer):
    """All that an answer says, but for what is different each time; and the page to which it leads."""
    differs = {"X-Request-Id", "Set-Cookie", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    cookies = [cookie.partition(";")[2] for cookie in answer.headers.getlist("Set-Cookie")]
    with browser.client.session_transaction() as session:
        kept = {name: value for name, value in session.items() if name != "csrf_token"}
    led = re.sub(r'(name="(?:csrf_token|once|key)"[^>]*value=")[^"]*', r"\1", browser.get(answer.location).text)
    headers = {name: value for name, value in answer.headers.items() if name not in differs}
    return answer.status_code, headers, cookies, kept, answer.text, led


@pytest.mark.parametrize("typed", [ADA, "ADA@example.com", "  Ada@EXAMPLE.com "])
def test_registering_is_answered_the_same_whether_the_address_is_known_or_not(shop, visitor, typed):
    answers = []
    for _turn in ("new", "known", "deactivated"):
        browser = visitor()
        answers.append(whole(browser, register(browser, typed, next="/reservations")))
        if _turn == "known":
            shop.deactivate(ADA)
    assert (answers[0][0], answers[0][1]["Location"]) == (303, "/login?next=/reservations")
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


@pytest.mark.parametrize("password", ["short", "password"])
def test_a_bad_password_is_refused_the_same_whether_the_address_is_known_or_not(shop, visitor, password):
    new = register(visitor(), password=password)
    shop.customer(ADA)
    known = register(visitor(), password=password)
    assert (new.status_code, known.status_code) == (400, 400)
    assert text_of(known) == text_of(new)


def test_a_new_address_is_asked_to_confirm_and_the_owner_of_a_known_one_is_told(shop, visitor):
    register(visitor())
    register(visitor(), "Ada@Example.com", OTHER)
    assert queued(shop) == [("confirmation", ADA), ("known_address", ADA)]
    assert shop.rows("SELECT email FROM users") == [ADA]
    assert (can_log_in(visitor, PASSWORD), can_log_in(visitor, OTHER)) == (True, False)


def test_who_registers_many_times_is_written_to_once_in_five_minutes(shop, visitor):
    shop.customer(ADA)
    for _time in range(3):
        register(visitor())
    assert 1 <= len(queued(shop)) <= 2  # two where five minutes end between


def test_nothing_is_sent_to_a_known_owner_who_is_deactivated(app, shop, visitor):
    shop.customer(ADA)
    shop.deactivate(ADA)
    register(visitor())
    forget(visitor())
    with app.app_context():
        assert Worker().run_once()
    assert shop.rows("SELECT DISTINCT state FROM messages") == ["suppressed"]


def answer_to(browser, email):
    return whole(browser, forget(browser, email))


@pytest.mark.parametrize("typed", [ADA, "Ada@EXAMPLE.com", "gone@example.com", "ada"])
def test_who_forgot_is_answered_the_same_whatever_the_address(shop, visitor, typed):
    for email in (ADA, "gone@example.com"):
        shop.customer(email)
    shop.deactivate("gone@example.com")
    assert answer_to(visitor(), typed) == answer_to(visitor(), "nobody@example.com")
    assert len(queued(shop)) == (typed != "ada")
