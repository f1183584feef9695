"""The pages behind e-mail links, each reached by the link really sent, and the pages that request them."""

import re
from email import message_from_bytes, policy

import pytest

from bookshop.accounts import signed_links
from bookshop.extensions import settings
from bookshop.mailer.transport import message_path
from bookshop.mailer.worker import MailWorker
from tests.support.clients import text_of
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.one_postgresql_case

ADA, NEW = "ada@example.com", "ada.new@example.com"
OTHER = "three other words"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada, who registered by the form, is logged in."""
    web_client().submit("/register", email=ADA, password=PASSWORD)
    return web_client(ADA)


@pytest.fixture
def link(app, shop):
    """A function that sends what is queued and returns the path of the first link in the latest message of a kind."""

    def latest(kind):
        sent = "SELECT message_id FROM messages WHERE kind = :kind AND state = 'sent' ORDER BY id DESC"
        with app.app_context():
            assert MailWorker().run_once()
            path, base = message_path(settings().mail_folder, shop.rows(sent, kind=kind)[0]), settings().base_url
        written = message_from_bytes(path.read_bytes(), policy=policy.default)
        [text] = [part.get_content() for part in written.walk() if part.get_content_type() == "text/plain"]
        return re.findall(rf"^{base}(/\S+)\r?$", text, re.MULTILINE)

    return latest


def queued(shop):
    return shop.rows("SELECT kind, recipient FROM messages WHERE state = 'queued' ORDER BY id")


def is_confirmed(shop):
    return shop.rows("SELECT count(*) FROM users WHERE email_confirmed_at IS NOT NULL") == [1]


def gets_alerts(shop):
    return shop.rows("SELECT count(*) FROM users WHERE unsubscribed_at IS NULL") == [1]


def can_log_in(web_client, password):
    return web_client().log_in(ADA, password).status_code == 303


def request_reset(web_client, email=ADA):
    return web_client().submit("/password/forgot", email=email)


def reset(browser, path, new=OTHER, repeat=None):
    return browser.submit(path, page="/login", new=new, repeat=repeat or new)


# ---------------------------------------------------------------- confirming


def test_opening_the_link_confirms_nothing_until_the_button_is_pressed(shop, ada, link, web_client):
    path = link("confirmation")[0]
    assert "Is ada@example.com your address?" in text_of(web_client().get(path))
    assert not is_confirmed(shop)
    phone = web_client()
    assert phone.submit(path).location == "/"
    assert "Thank you. Your e-mail address is confirmed." in text_of(phone.get("/"))
    assert is_confirmed(shop)


def test_a_used_link_explains_that_there_is_nothing_left_to_do(shop, ada, link, web_client):
    path = link("confirmation")[0]
    web_client().submit(path)
    before = shop.everything()
    assert "Your e-mail address is confirmed" in text_of(web_client().get(path))
    assert web_client().submit(path, page="/login").status_code == 303
    assert shop.everything() == before


def test_without_the_csrf_token_nothing_is_confirmed(shop, ada, link):
    assert ada.post(link("confirmation")[0]).status_code == 400
    assert not is_confirmed(shop)


def test_the_account_shows_that_the_address_is_unconfirmed_and_resends_the_message(shop, ada):
    words = text_of(ada.get("/account"))
    assert "not confirmed" in words
    assert "Until then, we can't e-mail you when a reserved book is back in stock." in words
    shop.execute("DELETE FROM messages")
    assert ada.submit("/account/confirm", page="/account").location == "/account"
    assert "We've sent a message to ada@example.com, unless" in text_of(ada.get("/account"))
    assert queued(shop) == [("confirmation", ADA)]


def test_a_confirmed_user_gets_no_second_confirmation(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    assert "Resend the message" not in text_of(browser.get("/account"))
    browser.submit("/account/confirm", page="/account")
    assert "Your e-mail address is already confirmed." in text_of(browser.get("/account"))
    assert queued(shop) == []


def test_a_new_address_must_be_confirmed_and_the_old_link_does_not_work(shop, ada, link, web_client):
    old = link("confirmation")[0]
    web_client().submit(old)
    ada.submit("/account/email", email=NEW, current=PASSWORD)
    assert not is_confirmed(shop)
    for answer in (web_client().get(old), web_client().submit(old, page="/login")):
        assert answer.status_code == 404
        assert "This link is for an e-mail address that the account no longer has." in text_of(answer)
    assert queued(shop) == [("address_changed", ADA), ("confirmation", NEW)]
    assert web_client().submit(link("confirmation")[0]).status_code == 303
    assert is_confirmed(shop)


def test_a_confirmed_address_stays_confirmed_in_another_case(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    browser.submit("/account/email", email="ADA@example.com", current=PASSWORD)
    assert (is_confirmed(shop), queued(shop)) == (True, [])
    words = text_of(browser.get("/account"))
    assert "Your e-mail address is now ADA@example.com. Use it to log in" in words
    assert "We've sent a message" not in words


# ---------------------------------------------------------------- whose link it is


def sign(app, purpose, content):
    with app.app_context():
        return signed_links.sign(purpose, content)


TAMPERED = ["x", "x.y", ".", "é", "%00", "a" * 5000, "WzEsImFkYUBleGFtcGxlLmNvbSJd.", "..%2f..", "%ff"]


@pytest.mark.parametrize("token", TAMPERED, ids=lambda token: token[:20])
@pytest.mark.parametrize("page", ["confirm", "unsubscribe", "password/reset"])
def test_a_forged_link_leads_nowhere(shop, ada, page, token):
    before = shop.everything()
    answers = [ada.get(f"/{page}/{token}"), ada.submit(f"/{page}/{token}", page="/", new=OTHER, repeat=OTHER)]
    assert [answer.status_code for answer in answers] == [404, 404]
    words = text_of(answers[0])
    assert "is incomplete" in words or "nothing at this address" in words
    assert ("Or log in: your account page can send the message again" in words) is ("copy all of it" in words)
    assert shop.everything() == before


def test_a_link_works_only_for_its_purpose(app, shop, ada):
    confirm, unsubscribe = sign(app, signed_links.CONFIRM, [1, ADA]), sign(app, signed_links.UNSUBSCRIBE, 1)
    before = shop.everything()
    for path in (f"/unsubscribe/{confirm}", f"/confirm/{unsubscribe}", f"/password/reset/{confirm}"):
        assert ada.get(path).status_code == 404
        assert ada.submit(path, page="/", new=OTHER, repeat=OTHER).status_code == 404
    assert shop.everything() == before


def test_a_session_cookie_signature_does_not_make_a_valid_link(app, ada):
    cookie = ada.client.get_cookie("bookshop").value
    assert [ada.get(f"/{page}/{cookie}").status_code for page in ("confirm", "unsubscribe")] == [404, 404]


# ---------------------------------------------------------------- password links


def test_a_forgotten_password_gets_a_link_for_a_new_one(shop, ada, link, web_client):
    assert 'href="/password/forgot"' in web_client().get("/login").text
    assert request_reset(web_client).location == "/login"
    phone, path = web_client(), link("password_reset")[0]
    assert reset(phone, path).location == "/login"
    assert "Log in with the new one." in text_of(phone.get("/login"))
    assert (can_log_in(web_client, PASSWORD), can_log_in(web_client, OTHER)) == (False, True)
    assert is_confirmed(shop)


def test_a_new_password_ends_all_logins_of_its_user_only(shop, ada, link, web_client):
    shop.customer("ben@example.com")
    ben, phone = web_client("ben@example.com"), web_client(ADA)
    request_reset(web_client)
    reset(web_client(), link("password_reset")[0])
    assert [browser.get("/account").status_code for browser in (ada, phone, ben)] == [303, 303, 200]


def test_a_password_link_works_once(ada, link, web_client):
    request_reset(web_client)
    path = link("password_reset")[0]
    reset(web_client(), path)
    for answer in (web_client().get(path), reset(web_client(), path, "three more words")):
        assert answer.status_code == 404
        assert "This link has been used, is older than 30 minutes" in text_of(answer)
    assert can_log_in(web_client, OTHER)


@pytest.mark.parametrize(("new", "repeat"), [("short", "short"), ("password", "password"), (OTHER, "other words")])
def test_an_invalid_form_does_not_use_up_the_link(ada, link, web_client, new, repeat):
    request_reset(web_client)
    path = link("password_reset")[0]
    assert reset(web_client(), path, new, repeat).status_code == 400
    assert reset(web_client(), path).status_code == 303


def test_without_the_csrf_token_no_password_is_changed(ada, link, web_client):
    request_reset(web_client)
    path = link("password_reset")[0]
    assert web_client().post(path, new=OTHER, repeat=OTHER).status_code == 400
    assert reset(web_client(), path).status_code == 303


def test_the_page_with_a_secret_address_is_not_cached_and_sends_no_referrer(ada, link, web_client):
    request_reset(web_client)
    answer = web_client().get(link("password_reset")[0])
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "same-origin")
    assert "http" not in "".join(re.findall(r'(?:href|src|action)="([^"]*)', answer.text))


def test_the_secret_is_not_stored_in_the_database(shop, ada, link, web_client):
    request_reset(web_client)
    secret = link("password_reset")[0].rpartition("/")[2]
    assert len(shop.rows("SELECT token_hash FROM password_resets")) == 1
    assert secret not in str(shop.everything())


def change_the_password(browser):
    return browser.submit("/account/password", current=PASSWORD, new="one two three four", repeat="one two three four")


def change_the_address(browser):
    return browser.submit("/account/email", email=NEW, current=PASSWORD)


def delete_account(browser):
    return browser.submit("/account/delete", current=PASSWORD)


@pytest.mark.parametrize("change", [change_the_password, change_the_address, delete_account])
def test_account_changes_end_password_links(ada, link, web_client, change):
    request_reset(web_client)
    path = link("password_reset")[0]
    assert change(ada).status_code == 303
    assert [web_client().get(path).status_code, reset(web_client(), path).status_code] == [404, 404]


def test_a_deactivation_ends_the_links_for_a_new_password(shop, ada, link, web_client):
    request_reset(web_client)
    path = link("password_reset")[0]
    shop.deactivate(ADA)
    assert reset(web_client(), path).status_code == 404


# ---------------------------------------------------------------- unsubscribing


@pytest.fixture
def unsubscribe(shop, web_client, link):
    """The path of the unsubscribe link in an alert to Ada; visitors follow it."""
    user_id, book_id = shop.customer(ADA), shop.book()
    shop.reserve(user_id, book_id)
    shop.set_stock(book_id, 3)
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    return link("restock")[-1]


def test_opening_the_link_only_asks_and_its_button_ends_the_alerts(shop, web_client, unsubscribe):
    browser = web_client()
    assert "Turn off back-in-stock e-mails?" in text_of(browser.get(unsubscribe))
    assert gets_alerts(shop)
    answer = browser.post(unsubscribe)
    assert (answer.status_code, gets_alerts(shop)) == (200, False)
    assert "Your reservations stay" in text_of(answer)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost"])
def test_a_mail_program_ends_the_alerts_in_one_click(shop, app, unsubscribe, kind, origin):
    program = app.test_client(use_cookies=False)
    for _time in range(2):
        answer = program.post(unsubscribe, data=ONE_CLICK, content_type=kind, base_url=origin)
        assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (200, [])
    assert not gets_alerts(shop)


def test_the_link_of_a_deleted_account_is_no_error(web_client, unsubscribe):
    web_client(ADA).submit("/account/delete", current=PASSWORD)
    assert web_client().post(unsubscribe).status_code == 200


def set_alerts(browser, wanted):
    return browser.submit("/account/alerts", page="/account", wanted=wanted)


def test_alerts_can_be_turned_off_and_on_in_the_account(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    assert "E-mails when a reserved book is back in stock: on ." in text_of(browser.get("/account"))
    assert set_alerts(browser, "no").location == "/account"
    assert "We'll no longer e-mail you" in text_of(browser.get("/account"))
    assert not gets_alerts(shop)
    assert "E-mails when a reserved book is back in stock: off ." in text_of(browser.get("/account"))
    set_alerts(browser, "yes")
    assert gets_alerts(shop)


@pytest.mark.parametrize("wanted", ["", "maybe", "YES"])
def test_an_unclear_choice_changes_nothing(shop, web_client, wanted):
    shop.customer(ADA)
    browser = web_client(ADA)
    assert set_alerts(browser, wanted).status_code == 303
    assert "Choose whether you want these e-mails." in text_of(browser.get("/account"))
    assert gets_alerts(shop)


def test_staff_are_not_asked_about_alerts(shop, web_client):
    shop.staff()
    assert "E-mails when a reserved book" not in text_of(web_client("staff@example.com").get("/account"))


def reservation_text(browser, shop, link=""):
    """Return what a reservation says about e-mail, with this link, and check that the link works."""
    path = f"/books/{shop.book()}"
    browser.submit(f"{path}/reserve", page=path)
    response = browser.get(path)
    assert f'href="{link}' in response.text
    assert not link or f'id="{link.partition("#")[2]}"' in browser.get("/account").text
    return text_of(response)


def test_a_customer_is_told_whether_alerts_are_sent_and_where_to_change_it(shop, web_client, ada):
    assert "To get an e-mail as well, confirm your address." in reservation_text(ada, shop, link="/account#you")
    shop.customer("ben@example.com")
    ben = web_client("ben@example.com")
    assert "We'll e-mail you" in reservation_text(ben, shop)
    set_alerts(ben, "no")
    assert "You have turned off e-mails about books that are back in stock." in reservation_text(
        ben, shop, link="/account#mail"
    )


# ---------------------------------------------------------------- what is stored


def test_a_data_export_contains_the_messages_and_the_alert_setting(shop, ada, link):
    link("confirmation")
    set_alerts(ada, "no")
    data = ada.get("/account/data.json").json
    assert (data["account"]["email_confirmed_at"], data["account"]["wants_alerts"]) == (None, False)
    [message] = data["messages"]
    assert message.keys() == {"kind", "recipient", "state", "created_at", "sent_at"}
    assert (message["kind"], message["recipient"], message["state"]) == ("confirmation", ADA, "sent")
    assert message["sent_at"] >= message["created_at"]


def test_deleting_an_account_removes_its_address_from_the_outbox_and_sends_nothing(app, shop, ada, web_client, link):
    link("confirmation")
    request_reset(web_client)
    delete_account(ada)
    assert shop.rows("SELECT state, recipient FROM messages ORDER BY id") == [
        ("sent", "deleted-1"),
        ("suppressed", "deleted-1"),
    ]
    assert "ada@" not in str(shop.everything())  # "ada" alone may occur in a random id
