"""The owners' pages about staff and settings."""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from bookshop.accounts.models import User
from bookshop.extensions import db
from bookshop.kit.database import WRITES, now
from bookshop.web import jinja
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, press
from tests.support.mailbox import links
from tests.support.settings import SECRET_KEY

pytestmark = pytest.mark.one_postgresql_case

ADA, OWNER, STAFF = "ada@example.com", "owner@example.com", "staff@example.com"


@pytest.fixture
def owner(shop, web_client):
    shop.owner(OWNER)
    return web_client(OWNER)


def roles(shop):
    return dict(shop.rows("SELECT email, role FROM users"))


def change_role(client, user_id, role):
    return client.submit(f"/admin/staff/{user_id}", role=role)


def follow_invitation(shop, browser, mailbox, email):
    """Follow the link in the only invitation, and log in with a link; return the browser."""
    [message] = [message for message in mailbox.deliver() if message["To"] == email]
    assert message["Message-ID"].startswith("<invitation.")
    login_page, _shop = links(message)[0]
    browser.submit(urlsplit(login_page).path, email=email, link="yes")
    press(browser, delivered_link(mailbox))
    return browser


def test_a_customer_becomes_a_bookseller_and_keeps_reservations_and_orders(shop, owner, web_client, api_client):
    ada = shop.customer(ADA)
    shop.reserve(ada, shop.book("Emma"))
    order_id = shop.order(ada, {shop.book("Persuasion", stock=2): 1})
    browser, script = web_client(ADA), api_client(ADA)
    answer = owner.submit("/admin/staff", email="ADA@example.com", role="bookseller")
    assert "ADA@example.com is now a bookseller." in text_of(owner.get(answer.location))
    assert browser.get("/account").location.startswith("/login")
    assert script.get("/api/v1/prebookings").status_code == 401
    assert web_client(ADA).get("/admin").status_code == 200
    assert (shop.statuses(1), shop.rows("SELECT id FROM orders WHERE status = 'placed'")) == (["waiting"], [order_id])


def test_a_bookseller_becomes_a_customer_again_and_can_buy_but_not_use_the_desk(shop, owner, web_client):
    ada = shop.staff(ADA)
    browser = web_client(ADA)
    answer = change_role(owner, ada, "customer")
    assert f"{ADA} is now a customer" in text_of(owner.get(answer.location))
    assert browser.get("/admin").location.startswith("/login")
    customer = web_client(ADA)
    assert (customer.get("/admin").status_code, customer.get("/reservations").status_code) == (403, 200)


def test_someone_without_an_account_gets_one_and_an_invitation_and_logs_in_with_a_link(
    shop, owner, web_client, mailbox
):
    answer = owner.submit("/admin/staff", email="new@example.com", role="bookseller")
    assert "We've sent them an invitation" in text_of(owner.get(answer.location))
    assert follow_invitation(shop, web_client(), mailbox, "new@example.com").get("/admin").status_code == 200


def test_an_invited_person_has_a_confirmed_address_and_no_password(shop, owner, web_client):
    owner.submit("/admin/staff", email="new@example.com", role="bookseller")
    new = "SELECT email, password_hash, never_confirmed FROM users WHERE email_confirmed_at IS NOT NULL AND id = 2"
    assert shop.rows(new) == [("new@example.com", None, False)]
    assert web_client().log_in("new@example.com").status_code == 400
    assert shop.broken() == []


def test_a_stranger_who_signed_up_with_the_address_does_not_become_staff(shop, owner, web_client, mailbox):
    shop.customer(ADA)
    shop.execute("UPDATE users SET never_confirmed = true, email_confirmed_at = NULL WHERE email = :ada", ada=ADA)
    answer = owner.submit("/admin/staff", email=ADA, role="owner")
    assert "We've sent them an invitation" in text_of(owner.get(answer.location))
    assert (web_client().log_in(ADA).status_code, shop.broken()) == (400, [])
    assert follow_invitation(shop, web_client(), mailbox, ADA).get("/admin/staff").status_code == 200


def test_a_customer_who_becomes_staff_keeps_the_password_and_gets_no_invitation(shop, owner, web_client, mailbox):
    shop.customer(ADA)
    owner.submit("/admin/staff", email=ADA, role="bookseller")
    assert (mailbox.deliver(), web_client().log_in(ADA).status_code) == ([], 303)


def test_an_invited_person_who_was_removed_can_be_invited_again(shop, owner, web_client, mailbox):
    owner.submit("/admin/staff", email=ADA, role="bookseller")
    change_role(owner, shop.rows("SELECT max(id) FROM users")[0], "customer")
    owner.submit("/admin/staff", email=ADA, role="bookseller")
    assert follow_invitation(shop, web_client(), mailbox, ADA).get("/admin").status_code == 200


def test_adding_a_member_of_staff_again_does_not_change_the_role(shop, owner, web_client):
    shop.owner("grace@example.com")
    grace = web_client("grace@example.com")
    page = owner.submit("/admin/staff", email="grace@example.com", role="bookseller")
    assert (page.status_code, "is already an owner. Click the address" in text_of(page)) == (409, True)
    assert grace.get("/admin/staff").status_code == 200


def test_an_invited_owner_counts_as_one_only_after_the_first_login(shop, owner, web_client, mailbox):
    owner.submit("/admin/staff", email=ADA, role="owner")
    owner.submit("/account/delete", current=PASSWORD)
    assert "is the shop's last owner" in text_of(owner.get("/account"))
    follow_invitation(shop, web_client(), mailbox, ADA)
    assert owner.submit("/account/delete", current=PASSWORD).location == "/"


def test_an_owner_with_a_password_who_has_never_logged_in_counts(shop, owner):
    shop.owner("grace@example.com")
    assert owner.submit("/account/delete", current=PASSWORD).location == "/"


@pytest.mark.parametrize(
    ("email", "status", "sentence"),
    [
        ("", 400, "Enter an e-mail address."),
        ("ada", 400, "This is not a valid e-mail address."),
        (STAFF, 409, f"{STAFF} is already a bookseller. Click the address"),
        (OWNER, 409, "You cannot change your own role."),
    ],
)
def test_an_address_that_cannot_be_added_is_refused_with_a_sentence(shop, owner, email, status, sentence):
    shop.staff(STAFF)
    page = owner.submit("/admin/staff", email=email, role="bookseller")
    assert (page.status_code, sentence in text_of(page)) == (status, True)
    assert roles(shop) == {OWNER: "owner", STAFF: "bookseller"}


def test_a_deactivated_account_must_be_reactivated_before_its_role_changes(shop, owner):
    ada = shop.staff(ADA)
    shop.deactivate(ADA)
    page = change_role(owner, ada, "owner")
    assert (page.status_code, "Reactivate the account first." in text_of(page)) == (409, True)


def test_an_owner_cannot_change_their_own_role(shop, owner):
    own = shop.rows("SELECT id FROM users")[0]
    shop.owner("grace@example.com")
    assert "Another owner can change your role" in text_of(owner.get(f"/admin/staff/{own}"))
    token = owner.csrf_token("/admin/staff")
    assert owner.post(f"/admin/staff/{own}", role="customer", csrf_token=token).status_code == 409
    assert roles(shop)[OWNER] == "owner"


def test_the_last_owner_can_delete_their_account_only_when_there_is_another(shop, owner):
    owner.submit("/account/delete", current=PASSWORD)
    assert "is the shop's last owner" in text_of(owner.get("/account"))
    shop.owner("grace@example.com")
    assert owner.submit("/account/delete", current=PASSWORD).location == "/"
    assert "owner" not in {role for email, role in roles(shop).items() if email == OWNER}


def test_the_list_shows_everyone_on_the_staff_and_nobody_else(shop, owner):
    shop.staff(STAFF)
    shop.customer(ADA)
    words = text_of(owner.get("/admin/staff"))
    assert f"{OWNER} Owner Off" in words
    assert f"{STAFF} Bookseller Off never Active" in words
    assert ADA not in words


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("2026-11-03T23:30:00+00:00", "today 0:30"),
        ("2026-11-03T22:30:00+00:00", "3 Nov"),
        ("2025-11-03T22:30:00+00:00", "3 Nov 2025"),
        (None, "never"),
    ],
)
def test_when_somebody_was_last_seen_is_said_in_the_zone_of_the_shop(shop, monkeypatch, seen, words):
    shop.describe(time_zone="Europe/Berlin")
    monkeypatch.setattr(jinja, "now", lambda: datetime.fromisoformat("2026-11-04T08:00:00+00:00"))
    with shop.app.app_context():
        assert jinja.seen(seen and datetime.fromisoformat(seen)) == words


def last_seen(shop):
    return shop.rows("SELECT email FROM users WHERE last_seen_at > '2026-01-01' ORDER BY email")


def test_staff_are_seen_on_any_page_and_customers_never(shop, owner, web_client):
    shop.staff(STAFF)
    shop.customer(ADA)
    for browser in (owner, web_client(STAFF), web_client(ADA)):
        assert browser.get("/books").status_code == 200
    assert last_seen(shop) == [OWNER, STAFF]
    words = text_of(owner.get("/admin/staff"))
    assert (f"{STAFF} Bookseller Off today" in words, "last seen: today" in text_of(owner.get("/admin/staff/2"))) == (
        True,
        True,
    )
    change_role(owner, shop.rows("SELECT id FROM users WHERE email = :staff", staff=STAFF)[0], "customer")
    assert last_seen(shop) == [OWNER]
    shop.owner("grace@example.com")
    owner.submit("/account/delete", current=PASSWORD)
    assert last_seen(shop) == []


@pytest.mark.parametrize(("minutes", "is_written"), [(9, False), (11, True)])
def test_seen_staff_are_recorded_once_in_ten_minutes(shop, owner, minutes, is_written):
    before = now() - timedelta(minutes=minutes)
    with shop.app.app_context():
        db.session.execute(update(User).values(last_seen_at=before))
        db.session.commit()
    owner.get("/books")
    with shop.app.app_context():
        assert len(db.session.scalars(select(User.id).where(User.last_seen_at > before)).all()) == is_written


def test_a_page_does_not_wait_to_record_that_somebody_was_seen(shop, owner):
    with shop.app.app_context():
        engine = db.engine
    with engine.connect().execution_options(**{WRITES: True}) as connection:
        connection.execute(update(User).values(email=User.email))
        assert owner.get("/books").status_code == 200
    assert last_seen(shop) == []


def test_booksellers_do_not_see_the_link_to_the_staff_page(shop, owner, web_client):
    shop.staff(STAFF)
    assert 'href="/admin/staff"' in owner.get("/admin").text
    assert 'href="/admin/staff"' not in web_client(STAFF).get("/admin").text


def test_the_settings_page_shows_values_but_no_secrets(owner):
    page = owner.get("/admin/settings/server")
    words = text_of(page)
    assert "BOOKSHOP_MAX_WAITING 50 (default)" in words
    assert "BOOKSHOP_SECRET_KEY set, but not shown" in words
    assert (SECRET_KEY in page.text, "postgresql" in page.text, "sqlite:" in page.text) == (False, False, False)
