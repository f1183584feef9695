"""Races about accounts, on both databases, with real threads; what a lock prevents has a twin without it."""

from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import MOST_TOKENS
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.people.test_people_races import leaving
from tests.support import races
from tests.support.factories import PASSWORD

LOCK_USER = (Authentication, "lock_active")
LOOK_AT_USER = (UserRepository, "get")
LOCK_STAFF = (UserRepository, "lock_with_staff")
LOOK_AT_RESET = (UserRepository, "user_of_reset")
USE_RESET = (UserRepository, "use_reset")
FIND_OWNER = (UserRepository, "lock_by_email")
COUNT_TOKENS = (UserRepository, "count_tokens")
CANCEL = (PreBookRepository, "cancel_waiting_by_user")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")
UPDATE = {" FOR NO KEY UPDATE": ""}

ADA, STAFF = "ada@example.com", "staff@example.com"
NEW, OTHER = "ada.new@example.com", "three other words"


# ---------------------------------------------------------------- tokens and addresses


def two_tokens_for_the_last_place(app, shop, patience):
    """Make two at the same moment for somebody who may have one more; returns how many there are then."""
    user_id = shop.customer(ADA)
    for _token in range(MOST_TOKENS - 1):
        shop.token(ADA)
    create = partial(races.attempt, app, lambda: services.accounts().create_token(user_id, "till"))
    answers = races.overtake(COUNT_TOKENS, create, create, patience)
    return shop.rows("SELECT count(*) FROM api_tokens")[0], answers.count("TOKEN_LIMIT_REACHED")


def test_of_two_tokens_for_the_last_place_one_is_refused(app, shop):
    assert two_tokens_for_the_last_place(app, shop, races.SHORT) == (MOST_TOKENS, 1)


def test_twin_without_the_users_lock_there_is_one_token_too_many(app, shop):
    with races.unlocked(app, UPDATE):
        assert two_tokens_for_the_last_place(app, shop, races.LONG) == (MOST_TOKENS + 1, 0)


def test_of_many_who_want_one_address_at_the_same_moment_one_gets_it(app, shop):
    wanted = "wanted@example.com"
    changes = [
        partial(
            races.attempt, app, partial(lambda user_id: services.accounts().change_email(user_id, wanted, PASSWORD), n)
        )
        for n in shop.customers(8)
    ]
    answers = races.together(changes)
    assert (answers.count(wanted), answers.count("EMAIL_TAKEN")) == (1, 7)


# ---------------------------------------------------------------- links from e-mail


@pytest.fixture
def reset(app, shop):
    """Somebody who sends the form behind Ada's link for a new password; returns her address, or why it is refused."""
    ada_id = shop.customer(ADA)
    token = shop.commit(lambda: services.email_links().create_reset(ada_id, ADA))
    return partial(races.attempt, app, lambda: services.email_links().reset_password(token, OTHER))


@pytest.mark.parametrize("point", [LOOK_AT_RESET, LOCK_USER, USE_RESET], ids=["look", "lock", "use"])
def test_of_two_who_use_a_link_for_a_new_password_at_the_same_moment_one_is_refused(reset, point):
    assert sorted(map(str, races.overtake(point, reset, reset))) == ["RESET_NOT_FOUND", ADA]


def test_twin_without_the_lock_and_with_a_look_for_the_use_a_link_is_good_twice(app, reset, monkeypatch):
    monkeypatch.setattr(*USE_RESET, UserRepository.user_of_reset)
    with races.unlocked(app, UPDATE):
        assert races.overtake(USE_RESET, reset, reset, races.LONG) == (ADA, ADA)


def test_a_login_with_the_old_password_that_a_reset_overtakes_is_ended(shop, reset, web_client):
    browser = web_client()
    races.overtake(LOOK_AT_USER, lambda: browser.log_in(ADA), reset)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [0]


def test_twin_without_the_users_lock_a_login_with_the_old_password_outlives_the_reset(app, shop, reset, web_client):
    with races.unlocked(app, UPDATE):
        races.overtake(LOOK_AT_USER, lambda: web_client().log_in(ADA), reset, races.LONG)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


QUEUEING = {
    "forget": (FIND_OWNER, lambda: services.email_links().ask_for_reset(ADA)),
    "register": (FIND_OWNER, lambda: services.email_links().sign_up(ADA, OTHER)),
    "confirm": (LOOK_AT_USER, lambda: services.email_links().ask_to_confirm(1)),
}


def sign_up(shop):
    """Let Ada register herself, and her first message be forgotten: of a kind there is one in five minutes."""
    shop.commit(lambda: services.email_links().sign_up(ADA, PASSWORD))
    shop.execute("DELETE FROM messages")


def address_is_kept(app, shop, way, patience):
    """Let Ada delete her account while a message to her is queued; returns whether the outbox keeps her address."""
    sign_up(shop)
    point, work = QUEUEING[way]
    races.overtake(point, partial(races.attempt, app, work), leaving(app, 1), patience)
    return ADA in shop.rows("SELECT recipient FROM messages")


@pytest.mark.parametrize("way", QUEUEING)
def test_of_who_leaves_while_a_message_to_them_is_queued_no_address_is_kept(app, shop, way):
    assert not address_is_kept(app, shop, way, races.SHORT)


@pytest.mark.parametrize("way", QUEUEING)
def test_twin_without_the_users_lock_the_outbox_keeps_the_address_of_who_left(app, shop, way):
    with races.unlocked(app, UPDATE):
        assert address_is_kept(app, shop, way, races.LONG)


@pytest.mark.parametrize("way", QUEUEING)
def test_to_who_is_just_leaving_nothing_more_is_queued(app, shop, way):
    sign_up(shop)
    races.overtake(LOCK_STAFF, leaving(app, 1), partial(races.attempt, app, QUEUEING[way][1]))
    assert ADA not in shop.rows("SELECT recipient FROM messages WHERE user_id = 1")


def confirmed_while_changed(app, shop, patience):
    """Let Ada confirm her address while she changes it; returns whether the new one counts as confirmed."""
    shop.commit(lambda: services.email_links().sign_up(ADA, PASSWORD))
    confirm = partial(races.attempt, app, lambda: services.email_links().confirm(1, ADA))
    change = partial(races.attempt, app, lambda: services.accounts().change_email(1, NEW, PASSWORD))
    races.overtake(LOOK_AT_USER, confirm, change, patience)
    return shop.rows("SELECT email FROM users WHERE email_confirmed_at IS NOT NULL")


def test_an_address_that_is_changed_while_the_old_one_is_confirmed_is_not_confirmed(app, shop):
    assert confirmed_while_changed(app, shop, races.SHORT) == []


def test_twin_without_the_users_lock_an_address_is_confirmed_that_nobody_saw(app, shop):
    with races.unlocked(app, UPDATE):
        assert confirmed_while_changed(app, shop, races.LONG) == [NEW]
