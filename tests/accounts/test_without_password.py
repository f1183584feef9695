"""Accounts without a password, or whose password is forgotten: a fresh link does what a password does elsewhere."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import update

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.models import LoginSession
from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.web import services
from tests.support import races
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.mailbox import path_in

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN, NEW = "ada@example.com", "ben@example.com", "ada.new@example.com"
LOGIN, CONFIRM = "/login/link/", "/address/confirm/"
SET = {"new": PASSWORD, "repeat": PASSWORD}


@pytest.fixture
def press(mailbox):
    """A function that opens the page behind the link in the last e-mails and presses its button."""
    return lambda browser, start=LOGIN, **fields: browser.submit(
        path_in(mailbox.deliver(), start), key="k" * 22, **fields
    )


@pytest.fixture
def ada(web_client, press):
    """A browser in which Ada, user 1, has signed up with a link."""
    browser = web_client()
    browser.submit("/login", email=ADA)
    assert press(browser).status_code == 303
    return browser


def go_stale(shop):
    """Make it 16 minutes since every login was confirmed."""
    with shop.app.app_context():
        db.session.execute(update(LoginSession).values(confirmed_at=now() - timedelta(minutes=16)))
        db.session.commit()


def is_logged_in(browser):
    return browser.get("/account").status_code == 200


# ---------------------------------------------------------------- setting a password


def test_the_account_page_says_that_a_link_is_enough_and_offers_a_password(ada):
    page = text_of(ada.get("/account"))
    assert "To log in, a link that we e-mail you is enough." in page
    assert ("Set a password" in page, "Change password" in page) == (True, False)


def test_a_first_password_is_set_without_an_old_one_and_logs_in(ada, web_client):
    assert 'name="current"' not in ada.get("/account/password").text
    assert ada.submit("/account/password", **SET).location == "/account"
    assert "Your password has been saved." in text_of(ada.get("/account"))
    assert web_client().log_in(ADA).status_code == 303


def test_a_new_password_after_a_link_ends_all_other_logins_and_tokens_and_says_so(shop, ada, web_client):
    other = web_client(ADA)
    shop.token(ADA)
    ada.submit("/account/password", **SET)
    assert "1 other device was logged out, and 1 API token was revoked." in text_of(ada.get("/account"))
    assert (is_logged_in(ada), is_logged_in(other)) == (True, False)


@pytest.mark.parametrize("new", ["short", "password"])
def test_a_weak_password_is_refused(shop, ada, new):
    assert ada.submit("/account/password", new=new, repeat=new).status_code == 400
    assert shop.rows("SELECT password_hash FROM users") == [None]


def test_a_forgotten_password_is_replaced_after_a_link_from_the_password_page(shop, web_client, press):
    shop.customer(BEN)
    ben = web_client(BEN)
    sent = ben.submit("/account/confirm-login/link?next=/account/password", page="/account/password")
    assert "We've sent a link to ben@example.com." in text_of(sent)
    assert 'name="current"' in ben.get("/account/password").text
    assert press(ben).location == "/account/password"
    assert ben.submit("/account/password", new="three other words", repeat="three other words").location == "/account"
    assert web_client().log_in(BEN, "three other words").status_code == 303


def test_a_link_replaces_the_current_password_for_15_minutes_only(shop, ada):
    ada.submit("/account/password", **SET)
    assert 'name="current"' not in ada.get("/account/password").text
    go_stale(shop)
    assert 'name="current"' in ada.get("/account/password").text
    assert "Enter your current password." in text_of(ada.submit("/account/password", **SET))


# ---------------------------------------------------------------- changing the address and deleting the account


def test_the_address_changes_without_a_password(shop, ada, press):
    assert 'name="current"' not in ada.get("/account/email").text
    assert ada.submit("/account/email", email=NEW).location == "/account"
    assert press(ada, CONFIRM).location == "/account"
    assert shop.rows("SELECT email FROM users") == [NEW]


def test_the_account_is_deleted_without_a_password(shop, ada):
    page = text_of(ada.get("/account/delete"))
    assert "If you press the button:" in page
    assert ada.submit("/account/delete").location == "/"
    assert shop.rows("SELECT email FROM users") == ["deleted-1"]
    assert "@example.com" not in str(shop.everything())


@pytest.mark.parametrize("page", ["email", "password", "delete"])
def test_a_login_that_is_not_fresh_has_to_be_confirmed_by_a_link_first(shop, ada, page):
    token = ada.csrf_token("/account")
    go_stale(shop)
    before = shop.everything()
    assert ada.get(f"/account/{page}").location == f"/account/confirm-login?next=/account/{page}"
    asked = ada.post(f"/account/{page}", csrf_token=token, email=NEW, current=PASSWORD, **SET)
    assert (asked.status_code, "Confirm that it's you" in text_of(asked)) == (403, True)
    assert f'<input type="hidden" name="email" value="{NEW}">' in asked.text
    assert shop.everything() == before


@pytest.fixture
def thief(app, shop, ada):
    """Send the form that deletes Ada's account, while she ends this login elsewhere."""
    csrf_token = ada.csrf_token("/account/delete")
    end = partial(races.result_or_code, app, lambda: services.accounts().end_other_logins(1, None))
    send = partial(ada.post, "/account/delete", csrf_token=csrf_token)
    return lambda: races.interleave((Authentication, "by_login"), send, end)[0]


@pytest.mark.every_case
def test_a_login_that_has_just_ended_deletes_no_account(shop, thief):
    assert thief().location.startswith("/login")
    assert shop.rows("SELECT email FROM users") == [ADA]


@pytest.mark.every_case
def test_without_looking_for_the_login_again_a_thief_deletes_the_account(shop, thief, monkeypatch):
    monkeypatch.setattr(Authentication, "lock_login", lambda _authentication, _me: None)
    assert thief().location == "/"
    assert shop.rows("SELECT email FROM users") == ["deleted-1"]


# ---------------------------------------------------------------- the download


def test_the_download_has_the_links_and_what_was_started_but_no_secrets(shop, ada, web_client):
    emma = shop.book("Emma")
    ada.submit("/account/email", email=NEW)
    web_client().submit(f"/books/{emma}/reserve", page=f"/books/{emma}", email=ADA)
    data = ada.get("/account/data.json").json
    assert [(link["purpose"], link["email"]) for link in data["links"]] == [("address", NEW), ("login", ADA)]
    assert [(one["kind"], one["book_id"], one["details"]) for one in data["started"]] == [("reserve", emma, {})]
    secrets = shop.rows("SELECT nonce FROM login_links") + shop.rows("SELECT token_hash FROM login_links")
    assert [secret for secret in secrets if secret in str(data)] == []
