"""Security notices: the owner of an account hears of every change that a thief would make."""

import pytest

from bookshop.accounts.models import ADDRESS
from bookshop.kit.exceptions import Conflict
from bookshop.mail.models import NOTICE_KINDS
from bookshop.web import services
from tests.support import mailbox as mail
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.links import link_in, press
from tests.support.second_factors import scan

pytestmark = pytest.mark.one_postgresql_case

ADA, NEW, THIEF, STAFF = "ada@example.com", "ada.new@example.com", "thief@example.com", "staff@example.com"
OTHER = "three other words"
BASE = "http://127.0.0.1:5000"


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada, user 1, is logged in. Her address is confirmed."""
    shop.customer(ADA)
    return web_client(ADA)


def kind_of(message):
    return message["Message-ID"].strip("<").partition(".")[0]


def sent(messages):
    return [(message["To"], kind_of(message)) for message in messages]


def notices(shop):
    """Return the recipients and kinds of all notices, whatever became of them."""
    kinds = ", ".join(f"'{kind}'" for kind in NOTICE_KINDS)
    return shop.rows(f"SELECT recipient, kind FROM messages WHERE kind IN ({kinds}) ORDER BY id")


def change_password(browser, current=PASSWORD, new=OTHER):
    return browser.submit("/account/password", current=current, new=new, repeat=new)


def change_email(shop, address, user_id=1):
    """Change the address of an account, as the button behind the link to the new one does."""

    def change():
        links = services.login_links()
        token = links.token_to_send(links.add(ADDRESS, address, user_id=user_id).id)
        services.address_changes().confirm(token, keep_login="a login")

    shop.commit(change)


def undo_change(shop, former):
    """Change back to a former address, as the button behind the link in the notice does."""
    [link_id] = shop.rows("SELECT id FROM login_links WHERE purpose = 'undo' AND email = :former", former=former)
    services_of = services.address_changes
    shop.commit(lambda: services_of().undo(services.login_links().token_to_send(link_id)))


def create_token(browser, **fields):
    return browser.submit("/account/tokens", name="till", scopes=["prebookings"], **fields)


def log_in_elsewhere(app):
    """Log in as Ada with a browser that has never been here."""
    browser = WebClient(app)
    assert browser.log_in(ADA).status_code == 303
    return browser


# ---------------------------------------------------------------- what is reported


def log_in_by_link(app, mailbox, browser=None):
    """Log in as Ada with a link; returns the browser."""
    browser = browser or WebClient(app)
    browser.submit("/login", email=ADA, link="yes")
    [link] = [link_in(message) for message in mailbox.deliver() if kind_of(message) == "login_link"]
    assert press(browser, link).status_code == 303
    return browser


def set_first_password(shop, browser):
    shop.execute("UPDATE users SET password_hash = NULL")
    assert browser.submit("/account/password", new=OTHER, repeat=OTHER).status_code == 303


def create_token_by_command(shop, _browser):
    shop.app.test_cli_runner().invoke(args=["tokens", "create", ADA, "--name", "till"])


CHANGES = {
    "password": ("password_changed", lambda _shop, browser: change_password(browser)),
    "first password": ("password_changed", set_first_password),
    "address": ("address_changed", lambda shop, _browser: change_email(shop, NEW)),
    "token": ("token_created", lambda _shop, browser: create_token(browser)),
    "command": ("token_created", create_token_by_command),
}


@pytest.mark.every_case
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_an_account_is_reported_once_to_its_owner(shop, ada, mailbox, change):
    kind, work = CHANGES[change]
    work(shop, ada)
    assert (ADA, kind) in sent(mailbox.deliver())
    assert notices(shop) == [(ADA, kind)]
    assert shop.broken() == []


def test_undoing_a_change_of_address_is_reported_to_the_address_that_is_given_up(shop, ada, mailbox):
    change_email(shop, THIEF)
    undo_change(shop, ADA)
    assert sent(mailbox.deliver()) == [(ADA, "address_changed"), (THIEF, "address_changed")]


def test_asking_for_another_address_is_no_change_and_not_reported(shop, ada):
    ada.submit("/account/email", email=NEW, current=PASSWORD)
    assert (notices(shop), shop.rows("SELECT kind, recipient FROM messages")) == ([], [("address_link", NEW)])


NEVER_CONFIRMED = "UPDATE users SET never_confirmed = true, email_confirmed_at = NULL"


def test_an_address_that_was_never_confirmed_gets_no_notice_because_it_may_be_a_strangers(shop, mailbox):
    shop.customer(ADA)
    shop.execute(NEVER_CONFIRMED)
    create_token_by_command(shop, None)
    assert (notices(shop), mailbox.deliver()) == ([], [])


def test_the_first_confirmation_of_an_old_account_is_not_reported(shop, app, mailbox):
    shop.customer(ADA)
    shop.execute(NEVER_CONFIRMED)
    log_in_by_link(app, mailbox)
    assert (notices(shop), shop.rows("SELECT password_hash FROM users")) == ([], [None])


def test_a_refused_change_is_not_reported(shop, ada):
    shop.customer(THIEF)
    with pytest.raises(Conflict):
        change_email(shop, THIEF)
    assert ada.submit("/account/email", email=NEW, current="wrong").status_code == 400
    assert change_password(ada, current="wrong").status_code == 400
    assert change_password(ada, new="ada").status_code == 400
    assert ada.submit("/account/tokens", name="").status_code == 400
    assert notices(shop) == []


def test_the_same_address_in_other_letters_is_not_reported(shop, ada):
    assert ada.submit("/account/email", email="Ada@Example.com", current=PASSWORD).status_code == 303
    assert (notices(shop), shop.rows("SELECT email FROM users")) == ([], ["Ada@example.com"])


def test_a_form_that_is_sent_twice_is_reported_once_but_a_second_token_again(shop, ada):
    answers = [create_token(ada, key="a" * 22) for _time in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert notices(shop) == [(ADA, "token_created")]
    create_token(ada)
    assert notices(shop) == [(ADA, "token_created")] * 2


def test_every_change_of_a_second_factor_is_reported_to_the_member_of_staff(shop, app, mailbox, web_client):
    shop.staff(STAFF)
    browser, page = web_client(STAFF), "/account/second-factor"
    browser.submit(page, code=scan(browser.get(page).text).code(), key="k" * 22)
    browser.submit(f"{page}/recovery-codes", page=page, key="n" * 22)
    assert sent(mailbox.deliver()) == [(STAFF, "second_factor")] * 2
    browser.submit(f"{page}/turn-off", page=page)
    browser.submit(page, code=scan(browser.get(page).text).code(), key="m" * 22)
    mailbox.deliver()
    app.test_cli_runner().invoke(args=["users", "remove-second-factor", STAFF])
    assert sent(mailbox.deliver()) == [(STAFF, "second_factor")]
    assert notices(shop) == [(STAFF, "second_factor")] * 5


# ---------------------------------------------------------------- logins


def test_a_login_is_reported_from_an_unknown_device_but_never_the_first_one(shop, app, mailbox):
    shop.customer(ADA)
    known = log_in_elsewhere(app)
    assert notices(shop) == []
    known.submit("/logout", page="/account")
    known.log_in(ADA)
    assert notices(shop) == []
    log_in_elsewhere(app)
    assert sent(mailbox.deliver()) == [(ADA, "new_login")]


def test_a_device_that_knows_another_account_is_unknown_to_this_one(shop, app):
    shop.customer(ADA)
    shop.customer(THIEF)
    log_in_elsewhere(app)
    thief = WebClient(app)
    thief.log_in(THIEF)
    thief.submit("/logout", page="/account")
    thief.log_in(ADA)
    assert notices(shop) == [(ADA, "new_login")]


def test_a_wrong_password_or_a_repeated_form_is_no_login(shop, app):
    shop.customer(ADA)
    log_in_elsewhere(app)
    browser = WebClient(app)
    browser.log_in(ADA, "wrong")
    assert notices(shop) == []
    form = {"csrf_token": browser.csrf_token(), "email": ADA, "password": PASSWORD, "key": "a" * 22}
    for _time in range(2):
        browser.post("/login", **form)
    assert notices(shop) == [(ADA, "new_login")]


def test_a_login_with_a_link_is_not_reported_as_the_link_was_in_an_e_mail_itself(shop, app, mailbox):
    shop.customer(ADA)
    log_in_elsewhere(app)
    log_in_by_link(app, mailbox)
    assert notices(shop) == []


def test_a_login_with_a_link_makes_the_device_known(shop, app, mailbox):
    shop.customer(ADA)
    browser = log_in_by_link(app, mailbox)
    browser.submit("/logout", page="/account")
    assert (browser.log_in(ADA).status_code, notices(shop)) == (303, [])
    log_in_elsewhere(app)
    assert notices(shop) == [(ADA, "new_login")]


def test_the_device_on_which_the_password_was_changed_stays_known(shop, app):
    shop.customer(ADA)
    browser = log_in_elsewhere(app)
    change_password(browser)
    browser.submit("/logout", page="/account")
    browser.log_in(ADA, OTHER)
    assert notices(shop) == [(ADA, "password_changed")]


# ---------------------------------------------------------------- a thief who also changes the address


def test_the_former_address_gets_the_notices_and_the_new_one_only_the_link(shop, ada, mail_queue, smtp_server):
    change_password(ada)
    create_token(ada)
    ada.submit("/account/email", email=THIEF, current=OTHER)
    mail_queue.run_worker()
    [link] = shop.rows("SELECT id FROM login_links WHERE purpose = 'address'")
    shop.commit(
        lambda: services.address_changes().confirm(services.login_links().token_to_send(link), keep_login="a login")
    )
    mail_queue.run_worker()
    got = [(message.recipient, message.message_id.strip("<").partition(".")[0]) for message in smtp_server.received]
    owners = [(ADA, kind) for kind in ("password_changed", "token_created", "address_changed")]
    assert sorted(got) == sorted([*owners, (THIEF, "address_link")])
    assert sorted(shop.rows("SELECT recipient, kind FROM messages WHERE state = 'sent'")) == sorted(got)


def test_each_change_of_the_address_is_reported_to_the_address_before_it(shop, ada, mailbox):
    for address in (THIEF, "thief.again@example.com"):
        change_email(shop, address)
    assert sent(mailbox.deliver()) == [(ADA, "address_changed"), (THIEF, "address_changed")]


def test_a_notice_that_could_not_be_delivered_is_retried_at_the_former_address(shop, ada, mail_queue, smtp_server):
    smtp_server.unknown.add(ADA)
    change_email(shop, THIEF)
    mail_queue.run_worker()
    [(state, error)] = shop.rows("SELECT state, last_error FROM messages WHERE kind = 'address_changed'")
    assert (state, ADA in error) == ("failed", False)
    smtp_server.unknown.clear()
    shop.commit(lambda: services.mail().retry_failed())
    mail_queue.run_worker()
    assert smtp_server.recipients == {ADA: 1}


@pytest.mark.parametrize("state", ["queued", "sending", "failed", "sent"])
def test_a_deleted_account_leaves_no_former_address_in_the_outbox(shop, ada, mailbox, state):
    change_email(shop, NEW)
    lease = "a worker"
    if state == "sent":
        mailbox.deliver()
    elif state != "queued":
        claimed = shop.commit(lambda: services.mail().claim(9, lease, 60))
    if state == "failed":
        for message_id in claimed:
            shop.commit(lambda message_id=message_id: services.mail().fail(message_id, lease, 0, f"550 {ADA}"))
    shop.commit(lambda: services.people().delete(1, PASSWORD))
    if state == "sending":  # it was handed over while the account was deleted
        for message_id in claimed:
            shop.commit(lambda message_id=message_id: services.mailer().mark_sent(message_id, lease))
    mailbox.run_worker()
    assert any(mailbox.folder.glob("*")) == (state == "sent")
    assert "@example.com" not in str(shop.rows("SELECT * FROM messages"))
    assert shop.broken() == []


def test_a_deleted_account_suppresses_its_notices_at_once(shop, ada):
    change_email(shop, NEW)
    shop.commit(lambda: services.people().delete(1, PASSWORD))
    left = shop.rows("SELECT DISTINCT recipient, state, reason FROM messages")
    assert left == [("deleted-1", "suppressed", "closed")]


def test_a_deactivated_account_gets_no_notice(shop, ada, mailbox):
    change_email(shop, NEW)
    shop.deactivate(NEW)
    assert mailbox.deliver() == []
    assert set(shop.rows("SELECT reason FROM messages")) == {"closed"}


# ---------------------------------------------------------------- what it says, and to whom


def test_a_notice_says_when_it_happened_and_how_to_get_the_account_back(shop, ada, mailbox):
    create_token(ada)
    shop.execute("UPDATE messages SET created_at = '2026-11-29 10:15:59.000000+00:00'")
    [message] = mailbox.deliver()
    words = " ".join(mail.part(message, "plain").split())
    assert "A new API token was created on 29 Nov 2026 at 10:15 UTC." in words
    assert "bookshop_" not in words
    [path] = [link.removeprefix(BASE) for link in mail.links(message)[0] if "/login" in link]
    assert path == "/login?next=/account/password"


def test_the_link_in_a_notice_leads_to_a_new_password_that_ends_all_other_access(shop, app, ada, mailbox, web_client):
    create_token(ada)
    mailbox.deliver()
    owner = web_client()
    owner.submit("/login", email=ADA, link="yes", next="/account/password")
    [link] = mailbox.deliver()
    page = press(owner, link_in(link)).location
    assert (page, owner.submit(page, new=OTHER, repeat=OTHER).status_code) == ("/account/password", 303)
    assert ada.get("/account").status_code == 303
    assert shop.rows("SELECT count(*) FROM api_tokens WHERE revoked_at IS NULL") == [0]


def test_staff_see_what_a_notice_is_about_but_not_its_text(shop, ada, mailbox, web_client):
    for kind in NOTICE_KINDS:
        shop.commit(lambda kind=kind: services.mail().queue_notice(kind, 1, ADA))
    mailbox.deliver()
    shop.staff(STAFF)
    staff = web_client(STAFF)
    words = text_of(staff.get("/admin/mail?status=sent"))
    assert words.count("Security notice") == len(NOTICE_KINDS)
    assert "only the recipient may read it" in text_of(staff.get("/admin/mail/1"))
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


def test_staff_cannot_stop_a_notice(shop, web_client):
    shop.owner()
    shop.staff()
    shop.execute("UPDATE users SET last_login_at = created_at")
    web_client().log_in("owner@example.com")
    [notice] = shop.rows("SELECT id FROM messages")
    staff = web_client("staff@example.com")
    answer = staff.submit("/admin/mail/drop", page="/admin/mail", message=notice)
    assert "a security notice, which is always sent" in text_of(staff.get(answer.location))
    assert shop.rows("SELECT state FROM messages") == ["queued"]
