"""Races with deleted and deactivated accounts, and negative controls without the locks."""

from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.models import CUSTOMER
from bookshop.accounts.repository import UserRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.factories import PASSWORD

LOCK_USER = (Authentication, "lock_active")
READ_USER = (UserRepository, "get")
LOCK_ROLE = (Authentication, "lock_role")
LOCK_OWNERS = (UserRepository, "lock_with_owners")
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
    assert races.interleave(LOCK_OWNERS, racers["leave"], racers["leave"]) == (0, "NOT_AUTHENTICATED")


def test_a_login_that_races_a_deletion_is_ended(shop, racers, web_client):
    browser = web_client()
    races.interleave(READ_USER, lambda: browser.log_in(ADA), racers["leave"])
    assert browser.get("/account").status_code == 303
    assert shop.rows("SELECT count(*) FROM login_sessions") == [0]


def test_without_the_users_lock_a_login_outlives_the_account(app, shop, racers, web_client):
    with races.without_lock(app, UPDATE):
        races.interleave(READ_USER, lambda: web_client().log_in(ADA), racers["leave"], races.LONG)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


# ---------------------------------------------------------------- the last two owners


def last_two_delete_accounts(app, shop, patience):
    """Delete both accounts at once; return the outcomes, and the number of remaining owners."""
    first, second = (leaving(app, shop.owner(email)) for email in ("olga@example.com", "grace@example.com"))
    answers = races.interleave(LOCK_OWNERS, first, second, patience)
    return answers, shop.rows("SELECT count(*) FROM users WHERE deleted_at IS NULL")[0]


def test_one_of_the_last_two_owners_cannot_leave(app, shop):
    assert last_two_delete_accounts(app, shop, races.SHORT) == ((0, "USER_LAST_OWNER"), 1)


def test_without_locking_all_owners_nobody_is_left(app, shop):
    with races.without_lock(app, UPDATE):
        assert last_two_delete_accounts(app, shop, races.LONG) == ((0, 0), 0)


REMOVALS = {
    "deactivate": lambda user_id, by: services.people().deactivate(user_id, by=by),
    "change role": lambda user_id, by: services.staff().change_role(user_id, CUSTOMER, by=by),
}


def two_remove_each_other(app, shop, removal, patience):
    """Let two owners remove each other at once; return the second one's outcome and the number of owners left."""
    first, second = shop.owner("olga@example.com"), shop.owner("grace@example.com")

    def remove(user_id, by):
        return partial(races.result_or_code, app, lambda: REMOVALS[removal](user_id, by))

    answers = races.interleave(LOCK_OWNERS, remove(first, second), remove(second, first), patience)
    return answers[1], shop.rows("SELECT count(*) FROM users WHERE role = 'owner' AND deactivated_at IS NULL")[0]


@pytest.mark.parametrize(("removal", "outcome"), [("deactivate", "NOT_AUTHENTICATED"), ("change role", "FORBIDDEN")])
def test_one_of_two_owners_who_remove_each_other_remains(app, shop, removal, outcome):
    assert two_remove_each_other(app, shop, removal, races.SHORT) == (outcome, 1)


@pytest.mark.parametrize("removal", REMOVALS)
def test_without_locking_all_owners_both_are_removed(app, shop, removal):
    with races.without_lock(app, UPDATE):
        assert two_remove_each_other(app, shop, removal, races.LONG)[1] == 0


# ---------------------------------------------------------------- a role taken away while its holder sends a form


@pytest.fixture
def bookseller(app, shop, web_client):
    """The racing actions of a bookseller who sends the stock form, and of an owner who takes the role away."""
    owner, staff_id, book_id = shop.owner("olga@example.com"), shop.staff(STAFF), shop.book("Emma")
    browser = web_client(STAFF)
    token = browser.csrf_token("/")

    def send():
        stock = {"change": "received", "copies": "3", "expected": "0"}
        return browser.post(f"/admin/books/{book_id}/stock", csrf_token=token, **stock).location

    def remove():
        races.result_or_code(app, lambda: services.staff().change_role(staff_id, CUSTOMER, by=owner))
        return shop.stock(book_id)

    return {"send": send, "remove": remove, "stock": lambda: shop.stock(book_id)}


def test_a_form_that_has_begun_is_saved_before_the_role_is_taken_away(bookseller):
    _page, stock = races.interleave(LOCK_ROLE, bookseller["send"], bookseller["remove"])
    assert stock == 3


def test_a_form_sent_while_the_role_is_taken_away_changes_nothing(bookseller):
    _stock, page = races.interleave(LOCK_OWNERS, bookseller["remove"], bookseller["send"])
    assert (page.partition("?")[0], bookseller["stock"]()) == ("/login", 0)


def test_without_locking_the_role_a_form_is_saved_after_it_was_taken_away(app, bookseller):
    with races.without_lock(app, {" FOR SHARE": ""}):
        _page, stock = races.interleave(LOCK_ROLE, bookseller["send"], bookseller["remove"], races.LONG)
    assert (stock, bookseller["stock"]()) == (0, 3)
