"""Messages with links: sent to addresses without an account, with one token at every attempt, and not for nothing."""

from email import message_from_bytes, policy

import pytest

from bookshop.accounts.login_links import LinkRequest
from bookshop.mail.models import FORMER_KINDS
from bookshop.web import services
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, link_in, press
from tests.support.smtp import BODY, DROP, RCPT, Fault

ADA, NEW = "ada@example.com", "new@example.com"
OUTCOMES = "SELECT kind, state, reason FROM messages ORDER BY id"
HOURS_AGO = "2026-01-01 12:00:00"


def ask(shop, address=ADA):
    """Ask for a login link, whether or not the address has just had an e-mail."""
    shop.execute("DELETE FROM attempts")
    shop.commit(lambda: services.login_links().request(LinkRequest(address)))


def change_address(shop, user_id):
    shop.commit(lambda: services.address_changes().request(user_id, LinkRequest(NEW), PASSWORD))


def received_paths(smtp_server):
    """Return the paths of the links in all e-mails that the mail server has read."""
    received = [message_from_bytes(one.content, policy=policy.default) for one in smtp_server.received]
    return [link_in(message) for message in received]


# ---------------------------------------------------------------- attempts


def test_a_second_attempt_at_a_message_has_the_same_link(shop, mail_queue, smtp_server):
    ask(shop)
    smtp_server.fault = Fault(BODY, DROP)  # the server has read the message, but not accepted it
    mail_queue.run_worker()
    smtp_server.fault = None
    mail_queue.make_all_due()
    mail_queue.run_worker()
    first, second = received_paths(smtp_server)
    assert (first == second, mail_queue.states()) == (True, {"sent": 1})


def test_a_link_that_the_mail_server_put_off_works_for_30_minutes_once_it_arrives(
    shop, mail_queue, smtp_server, web_client
):
    ask(shop)
    smtp_server.fault = Fault(RCPT, "451 Greylisted")
    mail_queue.run_worker()
    shop.execute("UPDATE login_links SET created_at = :ago, sent_at = :ago", ago=HOURS_AGO)
    smtp_server.fault = None
    mail_queue.make_all_due()
    mail_queue.run_worker()
    [path] = received_paths(smtp_server)
    assert press(web_client(), path, confirmed="y").status_code == 303


def test_a_link_that_staff_send_once_more_works_again(shop, mail_queue, smtp_server, web_client):
    smtp_server.unknown = {ADA}
    ask(shop)
    mail_queue.run_worker()
    assert mail_queue.states() == {"failed": 1}
    shop.execute("UPDATE login_links SET sent_at = :ago", ago=HOURS_AGO)
    smtp_server.unknown = set()
    shop.commit(lambda: services.mail().retry_failed())
    mail_queue.run_worker()
    [path] = received_paths(smtp_server)
    assert press(web_client(), path, confirmed="y").status_code == 303


def test_the_tokens_of_two_links_are_different_and_neither_is_stored(shop, mailbox):
    paths = []
    for _link in range(2):
        ask(shop)
        paths.append(delivered_link(mailbox))
    assert paths[0] != paths[1]
    assert [path for path in paths if path.rpartition("/")[2] in str(shop.everything())] == []


# ---------------------------------------------------------------- the check before sending


def test_a_link_is_not_sent_once_another_one_was_used(shop, mailbox, web_client):
    ask(shop)
    path = delivered_link(mailbox)
    ask(shop)
    press(web_client(), path, confirmed="y")
    assert mailbox.deliver() == []
    assert shop.rows(OUTCOMES) == [("login_link", "sent", None), ("login_link", "suppressed", "link_ended")]


def test_a_link_that_was_deleted_with_an_account_is_not_sent(shop, mailbox):
    shop.customer(ADA)
    ask(shop)
    shop.execute("DELETE FROM login_links")
    assert mailbox.deliver() == []
    assert shop.rows(OUTCOMES) == [("login_link", "suppressed", "link_ended")]


def test_a_link_to_a_new_address_is_not_sent_once_the_account_has_a_new_password(shop, mailbox):
    ada = shop.customer(ADA)
    change_address(shop, ada)
    shop.commit(lambda: services.accounts().change_password(ada, PASSWORD, "three other words", keep_login=None))
    assert [message["To"] for message in mailbox.deliver()] == [ADA]
    assert shop.rows(OUTCOMES)[0] == ("address_link", "suppressed", "link_ended")


@pytest.mark.parametrize("kind", ["login_link", "address_link"])
def test_a_link_is_not_sent_hours_later(shop, mailbox, kind):
    ada = shop.customer(ADA)
    ask(shop) if kind == "login_link" else change_address(shop, ada)
    shop.execute("UPDATE messages SET created_at = :ago", ago=HOURS_AGO)
    assert mailbox.deliver() == []
    assert shop.rows(OUTCOMES) == [(kind, "suppressed", "too_old")]


def test_a_deactivated_account_and_an_unknown_address_get_a_link_alike(shop, mailbox):
    shop.customer(ADA)
    shop.deactivate(ADA)
    ask(shop, ADA)
    ask(shop, NEW)
    assert [message["To"] for message in mailbox.deliver()] == [ADA, NEW]


@pytest.mark.parametrize("kind", FORMER_KINDS)
@pytest.mark.parametrize("state", ["queued", "failed"])
def test_a_message_from_before_login_links_is_never_sent(shop, mailbox, kind, state):
    ada = shop.staff(ADA)
    shop.commit(lambda: services.mail().queue_invitation(ada, ADA))
    shop.execute("UPDATE messages SET kind = :kind, state = :state", kind=kind, state=state)
    shop.commit(lambda: services.mail().retry([1]))
    assert mailbox.deliver() == []
    assert shop.rows(OUTCOMES) == [(kind, "suppressed", "too_old")]
