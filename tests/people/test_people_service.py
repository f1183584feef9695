"""Deactivating, reactivating and deleting accounts."""

import pytest

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
