"""The owners' pages about staff and settings."""

from urllib.parse import urlsplit

import pytest

from tests.support.clients import text_of
from tests.support.factories import PASSWORD
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


def choose_password(browser, mailbox, email):
    """Follow the link in the invitation, choose a password and log in; return the browser."""
    [message] = [message for message in mailbox.deliver() if message["To"] == email]
    link = next(link for link in links(message)[0] if "/password/reset/" in link)
    browser.submit(urlsplit(link).path, new="three other words", repeat="three other words")
    browser.log_in(email, "three other words")
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


def test_someone_without_an_account_gets_one_and_a_link_to_choose_a_password(shop, owner, web_client, mailbox):
    answer = owner.submit("/admin/staff", email="new@example.com", role="bookseller")
    assert "We've sent them a link to choose a password." in text_of(owner.get(answer.location))
    assert choose_password(web_client(), mailbox, "new@example.com").get("/admin").status_code == 200


def test_a_stranger_who_signed_up_with_the_address_does_not_become_staff(shop, owner, web_client, mailbox):
    shop.customer(ADA)
    shop.execute("UPDATE users SET email_confirmed_at = NULL WHERE email = :ada", ada=ADA)
    stranger = web_client(ADA)
    answer = owner.submit("/admin/staff", email=ADA, role="owner")
    assert "We've sent them a link to choose a password." in text_of(owner.get(answer.location))
    assert stranger.get("/admin").location.startswith("/login")
    assert web_client().log_in(ADA).status_code == 400
    assert choose_password(web_client(), mailbox, ADA).get("/admin/staff").status_code == 200


def test_an_invited_person_who_was_removed_can_be_invited_again(shop, owner, web_client, mailbox):
    owner.submit("/admin/staff", email=ADA, role="bookseller")
    change_role(owner, shop.rows("SELECT max(id) FROM users")[0], "customer")
    shop.execute("DELETE FROM messages")
    owner.submit("/admin/staff", email=ADA, role="bookseller")
    assert choose_password(web_client(), mailbox, ADA).get("/admin").status_code == 200


def test_adding_a_member_of_staff_again_does_not_change_the_role(shop, owner, web_client):
    shop.owner("grace@example.com")
    grace = web_client("grace@example.com")
    page = owner.submit("/admin/staff", email="grace@example.com", role="bookseller")
    assert (page.status_code, "is already an owner. Click the address" in text_of(page)) == (409, True)
    assert grace.get("/admin/staff").status_code == 200


def test_an_invited_owner_who_has_no_password_yet_does_not_count_as_an_owner(shop, owner):
    owner.submit("/admin/staff", email="tpyo@example.com", role="owner")
    owner.submit("/account/delete", current=PASSWORD)
    assert "is the shop's last owner" in text_of(owner.get("/account"))


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
    assert f"{STAFF} Bookseller Off Never Active" in words
    assert ADA not in words


def test_booksellers_do_not_see_the_link_to_the_staff_page(shop, owner, web_client):
    shop.staff(STAFF)
    assert 'href="/admin/staff"' in owner.get("/admin").text
    assert 'href="/admin/staff"' not in web_client(STAFF).get("/admin").text


def test_the_settings_page_shows_values_but_no_secrets(owner):
    page = owner.get("/admin/settings")
    words = text_of(page)
    assert "BOOKSHOP_MAX_WAITING 50 (default)" in words
    assert "BOOKSHOP_SECRET_KEY set, but not shown" in words
    assert (SECRET_KEY in page.text, "postgresql" in page.text, "sqlite:" in page.text) == (False, False, False)
