"""Races about accounts, on both databases, with real threads, and negative controls without the locks."""

from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication, Identity
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import ADDRESS, CUSTOMER, LOGIN
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import TOKENS_MAX
from bookshop.web import services
from tests.people.test_people_races import leaving
from tests.support import races
from tests.support.factories import PASSWORD

READ_USER = (UserRepository, "get")
LOCK_OWNERS = (UserRepository, "lock_with_owners")
COUNT_TOKENS = (UserRepository, "count_tokens")
USE_LINK = (LinkRepository, "use")
UPDATE = {" FOR NO KEY UPDATE": ""}

ADA, NEW, OTHER = "ada@example.com", "ada.new@example.com", "three other words"
OWN_LOGIN = "a login with a link"


# ---------------------------------------------------------------- tokens


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


# ---------------------------------------------------------------- a new password


@pytest.fixture
def ada(shop):
    return shop.customer(ADA)


@pytest.fixture
def choose_password(app, shop, ada):
    """Log Ada in with a link; return a function that chooses another password for her."""
    shop.commit(lambda: services.accounts().users.add_login(OWN_LOGIN, ada, None))
    me = Identity(ada, ADA, CUSTOMER, OWN_LOGIN)
    return partial(races.result_or_code, app, lambda: services.accounts().set_password(me, OTHER))


@pytest.fixture
def thief(web_client, choose_password):
    """Send the form for a token, while the owner of the account chooses a new password."""
    browser = web_client(ADA)
    csrf_token = browser.csrf_token("/account/tokens")
    send = partial(browser.post, "/account/tokens", csrf_token=csrf_token, key="k" * 22, name="till", days="365")
    return lambda: races.interleave((Authentication, "by_login"), send, choose_password)[0]


def test_no_token_outlives_the_password_that_its_login_was_made_with(shop, thief):
    assert thief().location.startswith("/login")
    assert shop.rows("SELECT revoked_at FROM api_tokens") == []


def test_without_looking_for_the_login_again_a_thiefs_token_outlives_it(shop, thief, monkeypatch):
    monkeypatch.setattr(Authentication, "lock_login", lambda _authentication, _me: None)
    assert thief().status_code == 201
    assert shop.rows("SELECT revoked_at FROM api_tokens") == [None]


def logins(shop):
    return shop.rows("SELECT id FROM login_sessions")


def test_a_login_with_the_old_password_that_races_a_new_one_is_ended(shop, choose_password, web_client):
    browser = web_client()
    races.interleave(READ_USER, lambda: browser.log_in(ADA), choose_password)
    assert logins(shop) == [OWN_LOGIN]


def test_without_the_users_lock_a_login_with_the_old_password_outlives_it(app, shop, choose_password, web_client):
    with races.without_lock(app, UPDATE):
        races.interleave(READ_USER, lambda: web_client().log_in(ADA), choose_password, races.LONG)
    assert len(logins(shop)) == 2


# ---------------------------------------------------------------- an account that is deleted or changed meanwhile


QUEUEING = {
    "change": lambda: services.address_changes().request(1, LinkRequest(NEW), PASSWORD),
    "notice": lambda: services.accounts().change_password(1, PASSWORD, PASSWORD, keep_login=None),
}


def address_is_kept(app, shop, way, patience):
    """Delete Ada's account while a message about it is queued; return whether the outbox keeps an address."""
    races.interleave(READ_USER, partial(races.result_or_code, app, QUEUEING[way]), leaving(app, 1), patience)
    return "@" in str(shop.rows("SELECT recipient FROM messages"))


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("way", QUEUEING)
def test_an_account_deleted_while_a_message_is_queued_leaves_no_address(app, shop, way):
    assert not address_is_kept(app, shop, way, races.SHORT)


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("way", QUEUEING)
def test_without_the_users_lock_the_outbox_keeps_a_deleted_accounts_address(app, shop, way):
    with races.without_lock(app, UPDATE):
        assert address_is_kept(app, shop, way, races.LONG)


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("way", QUEUEING)
def test_nothing_more_is_queued_for_an_account_being_deleted(app, shop, way):
    races.interleave(LOCK_OWNERS, leaving(app, 1), partial(races.result_or_code, app, QUEUEING[way]))
    assert shop.rows("SELECT recipient FROM messages") == []


def link_to(shop, purpose, address, **values):
    """Return the token of a link that has been sent to an address."""
    links = services.login_links
    return shop.commit(lambda: links().token_to_send(links().add(purpose, address, **values).id))


def confirm_change(app, shop, user_id, address):
    """A function that presses the button of the link to a new address; it returns the address, or the error code."""
    token = link_to(shop, ADDRESS, address, user_id=user_id)
    change = services.address_changes
    return partial(races.result_or_code, app, lambda: change().confirm(token, keep_login="a login").user.email)


def log_in_while_changing(app, shop, ada, patience):
    """Use a login link to Ada's address while it is being changed; return the address, or the error code."""
    token = link_to(shop, LOGIN, ADA)
    log_in = partial(races.result_or_code, app, lambda: services.login_links().use(token).user.email)
    return races.interleave(USE_LINK, confirm_change(app, shop, ada, NEW), log_in, patience)[1]


def test_a_link_to_an_address_that_is_being_changed_opens_no_account(app, shop, ada):
    assert log_in_while_changing(app, shop, ada, races.SHORT) in {"EMAIL_RESERVED", "LINK_NOT_FOUND"}
    assert (shop.rows("SELECT email FROM users"), shop.broken()) == ([NEW], [])


def test_without_the_users_lock_a_link_opens_the_account_whose_address_is_being_changed(app, shop, ada):
    with races.without_lock(app, UPDATE):
        assert log_in_while_changing(app, shop, ada, races.LONG) == ADA
