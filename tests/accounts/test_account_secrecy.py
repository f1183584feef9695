"""Registration and password resets do not reveal which addresses have accounts."""

import re

import pytest

from bookshop.mailer.worker import MailWorker
from tests.support.clients import text_of
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.one_postgresql_case

ADA, OTHER = "ada@example.com", "three other words"


def register(browser, email=ADA, password=PASSWORD, **fields):
    return browser.submit("/register", email=email, password=password, **fields)


def request_reset(browser, email=ADA):
    return browser.submit("/password/forgot", email=email)


def queued(shop):
    return shop.rows("SELECT kind, recipient FROM messages WHERE state = 'queued' ORDER BY id")


def can_log_in(web_client, password):
    return web_client().log_in(ADA, password).status_code == 303


def full_response(browser, answer):
    """Return the response without its variable parts, and the page it redirects to."""
    differs = {"X-Request-Id", "Set-Cookie", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    cookies = [cookie.partition(";")[2] for cookie in answer.headers.getlist("Set-Cookie")]
    with browser.client.session_transaction() as session:
        kept = {name: value for name, value in session.items() if name != "csrf_token"}
    led = re.sub(r'(name="(?:csrf_token|once|key)"[^>]*value=")[^"]*', r"\1", browser.get(answer.location).text)
    headers = {name: value for name, value in answer.headers.items() if name not in differs}
    return answer.status_code, headers, cookies, kept, answer.text, led


@pytest.mark.parametrize("typed", [ADA, "ADA@example.com", "  Ada@EXAMPLE.com "])
def test_registering_gets_the_same_response_for_known_and_unknown_addresses(shop, web_client, typed):
    answers = []
    for _turn in ("new", "known", "deactivated"):
        browser = web_client()
        answers.append(full_response(browser, register(browser, typed, next="/reservations")))
        if _turn == "known":
            shop.deactivate(ADA)
    assert (answers[0][0], answers[0][1]["Location"]) == (303, "/login?next=/reservations")
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


@pytest.mark.parametrize("password", ["short", "password"])
def test_a_bad_password_is_refused_alike_for_known_and_unknown_addresses(shop, web_client, password):
    new = register(web_client(), password=password)
    shop.customer(ADA)
    known = register(web_client(), password=password)
    assert (new.status_code, known.status_code) == (400, 400)
    assert text_of(known) == text_of(new)


def test_a_new_address_is_asked_to_confirm_and_the_owner_of_a_known_one_is_warned(shop, web_client):
    register(web_client())
    register(web_client(), "Ada@Example.com", OTHER)
    assert queued(shop) == [("confirmation", ADA), ("known_address", ADA)]
    assert shop.rows("SELECT email FROM users") == [ADA]
    assert (can_log_in(web_client, PASSWORD), can_log_in(web_client, OTHER)) == (True, False)


def test_repeated_registrations_send_one_message_in_five_minutes(shop, web_client):
    shop.customer(ADA)
    for _time in range(3):
        register(web_client())
    assert 1 <= len(queued(shop)) <= 2  # two if a five-minute limit ends in between


def test_a_deactivated_owner_gets_no_message(app, shop, web_client):
    shop.customer(ADA)
    shop.deactivate(ADA)
    register(web_client())
    request_reset(web_client())
    with app.app_context():
        assert MailWorker().run_once()
    assert shop.rows("SELECT DISTINCT state FROM messages") == ["suppressed"]


def answer_to(browser, email):
    return full_response(browser, request_reset(browser, email))


@pytest.mark.parametrize("typed", [ADA, "Ada@EXAMPLE.com", "gone@example.com", "ada"])
def test_a_forgotten_password_gets_the_same_response_for_every_address(shop, web_client, typed):
    for email in (ADA, "gone@example.com"):
        shop.customer(email)
    shop.deactivate("gone@example.com")
    assert answer_to(web_client(), typed) == answer_to(web_client(), "nobody@example.com")
    assert len(queued(shop)) == (typed != "ada")
