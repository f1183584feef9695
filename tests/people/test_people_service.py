"""Deactivating, reactivating and deleting accounts."""

import pytest

from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import UNDO
from bookshop.kit.exceptions import Conflict, NotFound
from bookshop.web import services
from tests.accounts.test_accounts_service import listed, log_in
from tests.support.factories import PASSWORD

ADA = "ada@example.com"


def test_deactivating_twice_keeps_the_first_date(shop):
    shop.customer(ADA)
    shop.deactivate(ADA)
    first = shop.rows("SELECT deactivated_at FROM users")
    assert shop.deactivate("ADA@EXAMPLE.COM") == 0
    assert shop.rows("SELECT deactivated_at FROM users") == first


TOUCHES = {
    "get": lambda user_id: services.accounts().get_user(user_id),
    "deactivate": lambda user_id: services.people().deactivate(user_id),
    "reactivate": lambda user_id: services.people().reactivate(user_id),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_a_deleted_account_is_not_listed_and_cannot_be_changed(shop, touch):
    deleted = shop.customer(ADA)
    shop.commit(lambda: services.people().delete(deleted, PASSWORD))
    assert listed(shop) == []
    with pytest.raises(NotFound):
        shop.commit(lambda: touch(deleted))


BEN, FORMER = "ben@example.com", "ada.early@example.com"


def ask_for_link(shop, address):
    shop.commit(lambda: services.login_links().request(LinkRequest(address, "a browser")))


def left_links(shop):
    return shop.rows("SELECT purpose, email FROM login_links ORDER BY id")


def test_deleting_an_account_deletes_its_links_and_what_was_started_for_its_address(shop):
    ada, emma = shop.customer(ADA), shop.book("Emma")
    shop.commit(lambda: services.link_actions().start_reservation(LinkRequest(ADA, "a browser"), emma))
    shop.commit(lambda: services.people().delete(ada, PASSWORD))
    assert (left_links(shop), shop.rows("SELECT id FROM link_actions")) == ([], [])
    assert shop.rows("SELECT state, reason, recipient FROM messages") == [("suppressed", "closed", f"deleted-{ada}")]


def test_deleting_an_account_leaves_the_links_of_an_address_that_it_only_wanted(shop):
    ada, _ben = shop.customer(ADA), shop.customer(BEN)
    ask_for_link(shop, BEN)
    shop.execute("DELETE FROM attempts")
    shop.commit(lambda: services.address_changes().request(ada, LinkRequest(BEN), PASSWORD))
    shop.commit(lambda: services.people().delete(ada, PASSWORD))
    assert left_links(shop) == [("login", BEN)]
    assert shop.rows("SELECT kind, recipient FROM messages ORDER BY id") == [
        ("login_link", BEN),
        ("address_link", f"deleted-{ada}"),
    ]


@pytest.mark.parametrize(("sent_at", "left"), [(None, []), ("2026-01-01 12:00:00", [("login", FORMER)])])
def test_the_links_to_a_former_address_are_the_accounts_as_long_as_the_change_can_be_undone(shop, sent_at, left):
    ada = shop.customer(ADA)
    ask_for_link(shop, FORMER)
    shop.commit(lambda: services.login_links().add(UNDO, FORMER, user_id=ada))
    shop.execute("UPDATE login_links SET sent_at = :sent_at WHERE purpose = 'undo'", sent_at=sent_at)
    shop.commit(lambda: services.people().delete(ada, PASSWORD))
    assert left_links(shop) == left


def test_users_cannot_deactivate_themselves(shop):
    user_id = shop.staff()
    with pytest.raises(Conflict, match="cannot deactivate your own account"):
        shop.commit(lambda: services.people().deactivate(user_id, by=user_id))
    assert shop.rows("SELECT deactivated_at FROM users") == [None]


def test_a_reactivated_user_can_log_in_and_cancellations_remain(shop):
    user_id, book_id = shop.customer(ADA), shop.book()
    shop.reserve(user_id, book_id)
    shop.deactivate(ADA)
    for _again in range(2):
        shop.commit(lambda: services.people().reactivate(user_id))
    assert (log_in(shop).user_id, shop.statuses(book_id)) == (user_id, ["cancelled"])


def test_the_command_reactivates_a_user_deactivated_by_another(app, shop):
    ada_id, owner_id = shop.staff(ADA), shop.owner()
    shop.commit(lambda: services.people().deactivate(ada_id, by=owner_id))
    done = app.test_cli_runner().invoke(args=["users", "reactivate", "ADA@example.com"])
    assert (done.exit_code, done.output) == (0, "Reactivated ADA@example.com.\n")
    assert log_in(shop).is_staff
