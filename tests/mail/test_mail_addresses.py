"""Messages with links, and what happens to messages when an address is changed or an account deleted."""

import pytest

from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import ADDRESS, BOOKSELLER
from bookshop.web import services
from tests.mail.test_mail_queue import ADA, BEN, EMMA, emma, kinds, outcome
from tests.support.factories import PASSWORD
from tests.support.mailbox import DUE_NOW, links

__all__ = ["emma"]  # a fixture

NINA, LOVELACE, OKAFOR = "nina@example.com", "lovelace@example.com", "okafor@example.com"


# ---------------------------------------------------------------- links and invitations


def ask_for_link(shop, address):
    shop.commit(lambda: services.login_links().request(LinkRequest(address)))


def test_a_message_with_a_link_names_the_link_and_no_account(shop, emma):
    for address in (ADA, NINA):
        ask_for_link(shop, address)
    queued = shop.rows("SELECT recipient, user_id, link_id FROM messages WHERE kind = 'login_link'")
    assert sorted(queued) == [(ADA, None, 1), (NINA, None, 2)]


def test_a_new_member_of_staff_gets_one_invitation_to_the_login_page(shop, emma, mailbox):
    shop.execute("DELETE FROM messages")
    shop.commit(lambda: services.staff().add(NINA, BOOKSELLER))
    [invitation] = mailbox.deliver()
    assert (kinds([invitation]), invitation["To"]) == (["invitation"], NINA)
    assert links(invitation)[0] == ["http://127.0.0.1:5000/login", "http://127.0.0.1:5000/"]


def test_links_and_invitations_are_sent_before_alerts(shop, emma, mailbox):
    shop.set_stock(EMMA, 3)
    ask_for_link(shop, ADA)
    shop.commit(lambda: services.staff().add(NINA, BOOKSELLER))
    shop.execute(DUE_NOW)
    claimed = shop.commit(lambda: services.mail().claim(3, "a lease", 60))
    of_claimed = shop.rows("SELECT kind FROM messages WHERE state = 'sending' ORDER BY kind")
    assert (len(claimed), of_claimed) == (3, ["invitation", "login_link", "order_placed"])


# ---------------------------------------------------------------- changed addresses and deleted accounts


def change_address(shop, user_id=1, address=LOVELACE):
    """Change a user's address, as the button behind the link to the new one does."""

    def change():
        links = services.login_links()
        token = links.token_to_send(links.add(ADDRESS, address, user_id=user_id).id)
        services.address_changes().confirm(token, keep_login=None)

    shop.commit(change)


def test_queued_messages_follow_a_changed_address_except_the_notice_of_it(shop, emma, mailbox):
    change_address(shop, 2, OKAFOR)
    assert [(*kinds([message]), message["To"]) for message in mailbox.deliver()] == [
        ("order_placed", OKAFOR),
        ("address_changed", BEN),
    ]


def test_a_message_goes_to_the_customers_current_address(shop, emma, mailbox):
    """A restock that does not see an uncommitted change of address queues for the former one."""
    shop.execute("UPDATE messages SET recipient = 'former@example.com'")
    assert [message["To"] for message in mailbox.deliver()] == [BEN]


@pytest.mark.parametrize("state", ["queued", "failed"])
def test_a_link_and_an_invitation_do_not_follow_a_changed_address(shop, emma, mailbox, state):
    ask_for_link(shop, ADA)
    shop.commit(lambda: services.mail().queue_invitation(1, ADA))
    shop.execute("UPDATE users SET role = 'bookseller' WHERE id = 1")
    shop.execute("UPDATE messages SET state = :state WHERE kind <> 'order_placed'", state=state)
    change_address(shop)
    shop.commit(lambda: services.mail().retry_failed())
    assert sorted(kinds(mailbox.deliver())) == ["address_changed", "order_placed"]
    assert outcome(shop, "login_link") == ("suppressed", "link_ended")
    assert outcome(shop, "invitation") == ("suppressed", "address_changed")


def test_a_deleted_accounts_address_is_nowhere_in_the_outbox(shop, emma, mailbox):
    mailbox.deliver()
    ask_for_link(shop, BEN)
    refused = "550 <ben@example.com>: unknown"
    shop.execute("UPDATE messages SET last_error = :error WHERE recipient = :ben", error=refused, ben=BEN)
    shop.commit(lambda: services.people().delete(2, PASSWORD))
    shop.set_stock(EMMA, 5)
    assert BEN not in repr(shop.everything()["messages"] + shop.everything()["login_links"])
    assert BEN not in [message["To"] for message in mailbox.deliver()]
    assert shop.broken() == []


def test_an_order_cancelled_by_deleting_the_account_sends_no_message(shop, emma, mailbox):
    shop.commit(lambda: services.people().delete(2, PASSWORD))
    assert sorted(kinds(mailbox.deliver())) == ["restock", "restock"]
    assert shop.rows("SELECT DISTINCT state FROM messages WHERE user_id = 2") == ["suppressed"]
