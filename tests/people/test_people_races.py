"""Races with deleted and deactivated accounts, and negative controls without the locks."""

from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.repository import UserRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.factories import PASSWORD

LOCK_USER = (Authentication, "lock_active")
READ_USER = (UserRepository, "get")
LOCK_STAFF = (UserRepository, "lock_with_staff")
CANCEL = (PreBookRepository, "cancel_waiting_by_user")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")
UPDATE = {" FOR NO KEY UPDATE": ""}

ADA, STAFF = "ada@example.com", "staff@example.com"


def leaving(app, user_id):
    """A function that deletes the account; it returns the number of cancelled reservations, or the error code."""
    return partial(races.result_or_code, app, lambda: services.people().delete(user_id, PASSWORD))


@pytest.fixture
def racers(app, shop, api_client):
    """One book, out of stock, and the racing actions of Ada and staff by name."""
    ada_id, _staff_id, book_id = shop.customer(ADA), shop.staff(STAFF), shop.book("Emma")
    ada = api_client(ADA)
    return {
        "reserve": lambda: ada.reserve(book_id),
        "leave": leaving(app, ada_id),
        "restock": lambda: shop.set_stock(book_id, 5),
    }


def waiting(shop):
    return shop.rows("SELECT count(*) FROM prebookings WHERE status = 'waiting'")[0]


# ---------------------------------------------------------------- deleting the account while reserving


@pytest.mark.parametrize(
    ("slow", "point", "fast"), [("reserve", LOCK_USER, "leave"), ("leave", CANCEL, "reserve")], ids=["reserve", "leave"]
)
def test_a_deleted_account_has_no_waiting_reservations(shop, racers, slow, point, fast):
    races.interleave(point, racers[slow], racers[fast])
    assert (waiting(shop), shop.broken()) == (0, [])


def test_without_the_users_lock_a_deleted_account_has_a_waiting_reservation(app, shop, racers):
    with races.without_lock(app, UPDATE):
        races.interleave(LOCK_USER, racers["reserve"], racers["leave"], races.LONG)
    assert "is waiting, but user" in " ".join(shop.broken())


@pytest.mark.parametrize(
    ("slow", "point", "fast"), [("restock", NOTIFY, "leave"), ("leave", CANCEL, "restock")], ids=["restock", "leave"]
)
def test_a_restock_while_its_customer_deletes_the_account_breaks_nothing(shop, racers, slow, point, fast):
    racers["reserve"]()
    races.interleave(point, racers[slow], racers[fast])
    assert (waiting(shop), shop.broken()) == (0, [])


def test_a_double_click_deletes_the_account_once_and_logs_out(racers):
    assert races.interleave(LOCK_STAFF, racers["leave"], racers["leave"]) == (0, "NOT_AUTHENTICATED")


def test_a_login_that_races_a_deletion_is_ended(shop, racers, web_client):
    browser = web_client()
    races.interleave(READ_USER, lambda: browser.log_in(ADA), racers["leave"])
    assert browser.get("/account").status_code == 303
    assert shop.rows("SELECT count(*) FROM login_sessions") == [0]


def test_without_the_users_lock_a_login_outlives_the_account(app, shop, racers, web_client):
    with races.without_lock(app, UPDATE):
        races.interleave(READ_USER, lambda: web_client().log_in(ADA), racers["leave"], races.LONG)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


# ---------------------------------------------------------------- the last two members of staff


def last_two_delete_accounts(app, shop, patience):
    """Delete both accounts at once; return the outcomes, and the number of remaining staff."""
    first, second = (leaving(app, shop.staff(email)) for email in (STAFF, "grace@example.com"))
    answers = races.interleave(LOCK_STAFF, first, second, patience)
    return answers, shop.rows("SELECT count(*) FROM users WHERE deleted_at IS NULL")[0]


def test_one_of_the_last_two_members_of_staff_cannot_leave(app, shop):
    assert last_two_delete_accounts(app, shop, races.SHORT) == ((0, "USER_LAST_STAFF"), 1)


def test_without_locking_all_staff_nobody_is_left(app, shop):
    with races.without_lock(app, UPDATE):
        assert last_two_delete_accounts(app, shop, races.LONG) == ((0, 0), 0)


def two_deactivate_each_other(app, shop, patience):
    """Let both deactivate each other at once; return the number of active staff."""
    first, second = shop.staff(STAFF), shop.staff("grace@example.com")

    def deactivate(user_id, by):
        return partial(races.result_or_code, app, lambda: services.people().deactivate(user_id, by=by))

    races.interleave(LOCK_STAFF, deactivate(first, second), deactivate(second, first), patience)
    return shop.rows("SELECT count(*) FROM users WHERE deactivated_at IS NULL")[0]


def test_one_of_two_members_of_staff_who_deactivate_each_other_remains(app, shop):
    assert two_deactivate_each_other(app, shop, races.SHORT) == 1


def test_without_locking_all_staff_both_are_deactivated(app, shop):
    with races.without_lock(app, UPDATE):
        assert two_deactivate_each_other(app, shop, races.LONG) == 0
