"""Races about accounts, on both databases, with real threads, and negative controls without the locks."""

from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import TOKENS_MAX
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.people.test_people_races import leaving
from tests.support import races
from tests.support.factories import PASSWORD

LOCK_USER = (Authentication, "lock_active")
READ_USER = (UserRepository, "get")
LOCK_OWNERS = (UserRepository, "lock_with_owners")
READ_RESET = (UserRepository, "user_of_reset")
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
    """Create two tokens at once for a user who may have one more; return how many there are then."""
    user_id = shop.customer(ADA)
    for _token in range(TOKENS_MAX - 1):
        shop.token(ADA)
    create = partial(races.result_or_code, app, lambda: services.accounts().create_token(user_id, "till"))
    answers = races.interleave(COUNT_TOKENS, create, create, patience)
    return shop.rows("SELECT count(*) FROM api_tokens")[0], answers.count("TOKEN_LIMIT_REACHED")


def test_one_of_two_tokens_for_the_last_slot_is_refused(app, shop):
    assert two_tokens_for_the_last_place(app, shop, races.SHORT) == (TOKENS_MAX, 1)


def test_without_the_users_lock_there_is_one_token_too_many(app, shop):
    with races.without_lock(app, UPDATE):
        assert two_tokens_for_the_last_place(app, shop, races.LONG) == (TOKENS_MAX + 1, 0)


def test_one_of_many_simultaneous_requests_for_an_address_gets_it(app, shop):
    wanted = "wanted@example.com"
    changes = [
        partial(
            races.result_or_code,
            app,
            partial(lambda user_id: services.accounts().change_email(user_id, wanted, PASSWORD), n),
        )
        for n in shop.customers(8)
    ]
    answers = races.run_concurrently(changes)
    assert (answers.count(wanted), answers.count("EMAIL_TAKEN")) == (1, 7)


@pytest.fixture
def thief(app, shop, web_client):
    """Send the form for a token, while the owner of the account chooses a new password by a link."""
    ada = shop.customer(ADA)
    browser = web_client(ADA)
    csrf_token = browser.csrf_token("/account/tokens")
    link = shop.commit(lambda: services.email_links().create_reset(ada, ADA))
    reset = partial(races.result_or_code, app, lambda: services.email_links().reset_password(link, OTHER))
    send = partial(browser.post, "/account/tokens", csrf_token=csrf_token, key="k" * 22, name="till", days="365")
    return lambda: races.interleave((Authentication, "by_login"), send, reset)[0]


def test_no_token_outlives_the_password_that_its_login_was_made_with(shop, thief):
    assert thief().location.startswith("/login")
    assert shop.rows("SELECT revoked_at FROM api_tokens") == []


def test_without_looking_for_the_login_again_a_thiefs_token_outlives_it(shop, thief, monkeypatch):
    monkeypatch.setattr(Authentication, "lock_login", lambda _authentication, _me: None)
    assert thief().status_code == 201
    assert shop.rows("SELECT revoked_at FROM api_tokens") == [None]


# ---------------------------------------------------------------- links from e-mail


@pytest.fixture
def reset(app, shop):
    """A function that submits the form of Ada's password link; it returns her address or the error code."""
    ada_id = shop.customer(ADA)
    token = shop.commit(lambda: services.email_links().create_reset(ada_id, ADA))
    return partial(races.result_or_code, app, lambda: services.email_links().reset_password(token, OTHER))


@pytest.mark.parametrize("point", [READ_RESET, LOCK_USER, USE_RESET], ids=["read", "lock", "use"])
def test_one_of_two_concurrent_uses_of_a_password_link_is_refused(reset, point):
    assert sorted(map(str, races.interleave(point, reset, reset))) == ["RESET_NOT_FOUND", ADA]


def test_without_the_lock_a_checked_password_link_works_twice(app, reset, monkeypatch):
    monkeypatch.setattr(*USE_RESET, UserRepository.user_of_reset)
    with races.without_lock(app, UPDATE):
        assert races.interleave(USE_RESET, reset, reset, races.LONG) == (ADA, ADA)


def test_a_login_with_the_old_password_that_races_a_reset_is_ended(shop, reset, web_client):
    browser = web_client()
    races.interleave(READ_USER, lambda: browser.log_in(ADA), reset)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [0]


def test_without_the_users_lock_a_login_with_the_old_password_outlives_the_reset(app, shop, reset, web_client):
    with races.without_lock(app, UPDATE):
        races.interleave(READ_USER, lambda: web_client().log_in(ADA), reset, races.LONG)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


QUEUEING = {
    "forget": (FIND_OWNER, lambda: services.email_links().request_reset(ADA)),
    "register": (FIND_OWNER, lambda: services.email_links().sign_up(ADA, OTHER)),
    "confirm": (READ_USER, lambda: services.email_links().resend_confirmation(1)),
    "notice": (READ_USER, lambda: services.accounts().change_password(1, PASSWORD, PASSWORD, keep_login=None)),
}


def sign_up(shop):
    """Register Ada and delete her first message, as only one of a kind is sent in five minutes."""
    shop.commit(lambda: services.email_links().sign_up(ADA, PASSWORD))
    shop.execute("DELETE FROM messages")


def address_is_kept(app, shop, way, patience):
    """Delete Ada's account while a message to her is queued; return whether the outbox keeps her address."""
    sign_up(shop)
    if way == "notice":
        shop.execute("UPDATE users SET email_confirmed_at = created_at")
    point, work = QUEUEING[way]
    races.interleave(point, partial(races.result_or_code, app, work), leaving(app, 1), patience)
    return ADA in shop.rows("SELECT recipient FROM messages")


@pytest.mark.parametrize("way", QUEUEING)
def test_an_account_deleted_while_a_message_is_queued_leaves_no_address(app, shop, way):
    assert not address_is_kept(app, shop, way, races.SHORT)


@pytest.mark.parametrize("way", QUEUEING)
def test_without_the_users_lock_the_outbox_keeps_a_deleted_accounts_address(app, shop, way):
    with races.without_lock(app, UPDATE):
        assert address_is_kept(app, shop, way, races.LONG)


@pytest.mark.parametrize("way", QUEUEING)
def test_nothing_more_is_queued_for_an_account_being_deleted(app, shop, way):
    sign_up(shop)
    races.interleave(LOCK_OWNERS, leaving(app, 1), partial(races.result_or_code, app, QUEUEING[way][1]))
    assert ADA not in shop.rows("SELECT recipient FROM messages WHERE user_id = 1")


def confirmed_while_changed(app, shop, patience):
    """Confirm Ada's address while she changes it; return whether the new one counts as confirmed."""
    shop.commit(lambda: services.email_links().sign_up(ADA, PASSWORD))
    confirm = partial(races.result_or_code, app, lambda: services.email_links().confirm(1, ADA))
    change = partial(races.result_or_code, app, lambda: services.accounts().change_email(1, NEW, PASSWORD))
    races.interleave(READ_USER, confirm, change, patience)
    return shop.rows("SELECT email FROM users WHERE email_confirmed_at IS NOT NULL")


def test_an_address_changed_while_the_old_one_is_confirmed_is_not_confirmed(app, shop):
    assert confirmed_while_changed(app, shop, races.SHORT) == []


def test_without_the_users_lock_an_unseen_address_is_confirmed(app, shop):
    with races.without_lock(app, UPDATE):
        assert confirmed_while_changed(app, shop, races.LONG) == [NEW]
