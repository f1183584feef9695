"""Races of those who leave, or are deactivated; what a lock prevents has a twin without it."""

from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.repository import UserRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.factories import PASSWORD

LOCK_USER = (Authentication, "lock_active")
LOOK_AT_USER = (UserRepository, "get")
LOCK_STAFF = (UserRepository, "lock_with_staff")
CANCEL = (PreBookRepository, "cancel_waiting_by_user")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")
UPDATE = {" FOR NO KEY UPDATE": ""}

ADA, STAFF = "ada@example.com", "staff@example.com"


def leaving(app, user_id):
    """Who deletes the account; returns how many reservations that cancelled, or the code of the refusal."""
    return partial(races.attempt, app, lambda: services.people().delete(user_id, PASSWORD))


@pytest.fixture
def scene(app, shop, api_client):
    """One book, out of stock, and what Ada and staff do to it: each name is one who can race."""
    ada_id, _staff_id, book_id = shop.customer(ADA), shop.staff(STAFF), shop.book("Emma")
    ada = api_client(ADA)
    return {
        "reserve": lambda: ada.reserve(book_id),
        "leave": leaving(app, ada_id),
        "restock": lambda: shop.set_stock(book_id, 5),
    }


def waiting(shop):
    return shop.rows("SELECT count(*) FROM prebookings WHERE status = 'waiting'")[0]


# ---------------------------------------------------------------- leaving while reserving


@pytest.mark.parametrize(
    ("slow", "point", "fast"), [("reserve", LOCK_USER, "leave"), ("leave", CANCEL, "reserve")], ids=["reserve", "leave"]
)
def test_nobody_who_left_waits_for_a_book(shop, scene, slow, point, fast):
    races.overtake(point, scene[slow], scene[fast])
    assert (waiting(shop), shop.broken()) == (0, [])


def test_twin_without_the_users_lock_somebody_who_left_waits(app, shop, scene):
    with races.unlocked(app, UPDATE):
        races.overtake(LOCK_USER, scene["reserve"], scene["leave"], races.LONG)
    assert "is waiting, but user" in " ".join(shop.broken())


@pytest.mark.parametrize(
    ("slow", "point", "fast"), [("restock", NOTIFY, "leave"), ("leave", CANCEL, "restock")], ids=["restock", "leave"]
)
def test_a_book_that_comes_back_while_its_customer_leaves_breaks_nothing(shop, scene, slow, point, fast):
    scene["reserve"]()
    races.overtake(point, scene[slow], scene[fast])
    assert (waiting(shop), shop.broken()) == (0, [])


def test_who_clicks_twice_leaves_once_and_is_then_nobody(scene):
    assert races.overtake(LOCK_STAFF, scene["leave"], scene["leave"]) == (0, "NOT_AUTHENTICATED")


def test_a_login_that_a_deletion_overtakes_is_ended(shop, scene, web_client):
    browser = web_client()
    races.overtake(LOOK_AT_USER, lambda: browser.log_in(ADA), scene["leave"])
    assert browser.get("/account").status_code == 303
    assert shop.rows("SELECT count(*) FROM login_sessions") == [0]


def test_twin_without_the_users_lock_a_login_outlives_the_account(app, shop, scene, web_client):
    with races.unlocked(app, UPDATE):
        races.overtake(LOOK_AT_USER, lambda: web_client().log_in(ADA), scene["leave"], races.LONG)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


# ---------------------------------------------------------------- the last two of staff


def last_two_leave(app, shop, patience):
    """Let both leave at the same moment; returns what they were answered, and how many of staff are left."""
    first, second = (leaving(app, shop.staff(email)) for email in (STAFF, "grace@example.com"))
    answers = races.overtake(LOCK_STAFF, first, second, patience)
    return answers, shop.rows("SELECT count(*) FROM users WHERE deleted_at IS NULL")[0]


def test_of_the_last_two_of_staff_who_leave_at_the_same_moment_one_stays(app, shop):
    assert last_two_leave(app, shop, races.SHORT) == ((0, "USER_LAST_STAFF"), 1)


def test_twin_without_the_lock_of_all_staff_nobody_is_left(app, shop):
    with races.unlocked(app, UPDATE):
        assert last_two_leave(app, shop, races.LONG) == ((0, 0), 0)


def two_deactivate_each_other(app, shop, patience):
    """Returns how many of staff are still active when both have done so at the same moment."""
    first, second = shop.staff(STAFF), shop.staff("grace@example.com")

    def deactivate(user_id, by):
        return partial(races.attempt, app, lambda: services.people().deactivate(user_id, by=by))

    races.overtake(LOCK_STAFF, deactivate(first, second), deactivate(second, first), patience)
    return shop.rows("SELECT count(*) FROM users WHERE deactivated_at IS NULL")[0]


def test_of_two_of_staff_who_deactivate_each_other_one_stays(app, shop):
    assert two_deactivate_each_other(app, shop, races.SHORT) == 1


def test_twin_without_the_lock_of_all_staff_both_are_deactivated(app, shop):
    with races.unlocked(app, UPDATE):
        assert two_deactivate_each_other(app, shop, races.LONG) == 0
