"""Races about changes of an address, on both databases, with real threads, and negative controls without the locks."""

from functools import partial

import pytest

from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import AccountService
from bookshop.mail.service import MailService
from bookshop.web import services
from tests.people.test_people_races import leaving
from tests.support import races
from tests.support.clients import WebClient
from tests.support.factories import PASSWORD
from tests.support.mailbox import path_in

USE = (LinkRepository, "use")
IS_RESERVED = (LinkRepository, "is_reserved")
LOCK_USER = (UserRepository, "lock")
LOCK_OWNERS = (UserRepository, "lock_with_owners")
CHANGED = (MailService, "change_recipient")  # the address has been written, but not committed
UPDATE = {" FOR NO KEY UPDATE": ""}

ADA, NEW, OTHER = "ada@example.com", "ada.new@example.com", "other@example.com"
CONFIRM, UNDO = "/address/confirm/", "/address/undo/"


@pytest.fixture
def request_link(shop, mailbox):
    """A function that asks for a change of address as this user, by default Ada; returns the token in the e-mail."""
    shop.customer(ADA)

    def request_link(address=NEW, email=ADA):
        WebClient(shop.app, email).submit("/account/email", email=address, current=PASSWORD)
        return path_in(mailbox.deliver(), CONFIRM).removeprefix(CONFIRM)

    return request_link


def confirm(app, token):
    """A function that uses a link to a new address; it returns the address, or the code of the error."""
    changes = services.address_changes
    return partial(races.result_or_code, app, lambda: changes().confirm(token, keep_login="a login").user.email)


def undo(app, token):
    """A function that undoes a change of address; it returns the address, or the code of the error."""
    return partial(races.result_or_code, app, lambda: services.address_changes().undo(token).user.email)


def address_of(shop, user_id=1):
    return shop.rows("SELECT email FROM users WHERE id = :id", id=user_id)[0]


@pytest.fixture
def without_a_second_look(app, monkeypatch):
    """Run the shop without the users' lock, and use links that were valid when they were found."""
    monkeypatch.setattr(*USE, lambda _links, _link_id: True)
    with races.without_lock(app, UPDATE):
        yield


# ---------------------------------------------------------------- two links, or one link twice


@pytest.fixture
def same_link(app, request_link):
    """One link to a new address, to be used twice."""
    return (confirm(app, request_link()),) * 2


@pytest.fixture
def two_links(app, request_link):
    """Two links of the same account, to two new addresses."""
    tokens = [request_link(NEW), request_link(OTHER)]
    return tuple(confirm(app, token) for token in tokens)


@pytest.mark.parametrize("point", [LOCK_USER, USE], ids=["lock", "use"])
def test_a_link_that_is_used_twice_at_once_changes_the_address_once(same_link, point):
    assert sorted(races.interleave(point, *same_link)) == ["LINK_NOT_FOUND", NEW]


@pytest.mark.parametrize("point", [LOCK_USER, USE], ids=["lock", "use"])
def test_of_two_links_to_two_addresses_one_is_used(shop, two_links, point):
    assert (*races.interleave(point, *two_links), address_of(shop)) == (NEW, "LINK_NOT_FOUND", NEW)
    assert shop.rows("SELECT email FROM login_links WHERE purpose = 'undo'") == [ADA]


@pytest.mark.usefixtures("without_a_second_look")
def test_without_the_lock_one_link_changes_the_address_twice(same_link):
    assert races.interleave(USE, same_link[0], same_link[1], races.LONG) == (NEW, NEW)


@pytest.mark.usefixtures("without_a_second_look")
def test_without_the_lock_two_links_to_two_addresses_are_used(two_links):
    assert races.interleave(USE, two_links[0], two_links[1], races.LONG) == (NEW, OTHER)


# ---------------------------------------------------------------- undoing a change while a thief makes another


@pytest.fixture
def rivals(app, request_link, mailbox):
    """The link to one more address of a thief, and the owner's link that undoes the first change."""
    assert confirm(app, request_link("thief@example.com"))() == "thief@example.com"
    undo_token = path_in(mailbox.deliver(), UNDO).removeprefix(UNDO)
    return confirm(app, request_link(OTHER, "thief@example.com")), undo(app, undo_token)


@pytest.mark.parametrize("point", [LOCK_USER, USE], ids=["lock", "use"])
@pytest.mark.parametrize("first", [0, 1], ids=["change", "undo"])
def test_the_owner_gets_the_address_back_while_a_thief_changes_it_again(shop, rivals, first, point):
    races.interleave(point, rivals[first], rivals[1 - first])
    assert address_of(shop) == ADA
    assert shop.rows("SELECT email FROM login_links WHERE used_at IS NULL AND ended_at IS NULL") == []


@pytest.mark.usefixtures("without_a_second_look")
def test_without_the_lock_the_thief_keeps_the_account(shop, rivals):
    assert (races.interleave(USE, rivals[0], rivals[1], races.LONG), address_of(shop)) == ((OTHER, ADA), OTHER)


# ---------------------------------------------------------------- deleting the account meanwhile


@pytest.mark.parametrize("slow", ["confirm", "leave"])
def test_an_account_deleted_while_its_address_changes_leaves_no_address(app, shop, request_link, slow):
    change, leave = confirm(app, request_link()), leaving(app, 1)
    if slow == "confirm":
        races.interleave(USE, change, leave)
    else:
        assert races.interleave(LOCK_OWNERS, leave, change) == (0, "LINK_NOT_FOUND")
    left = [shop.rows(f"SELECT * FROM {table}") for table in ("users", "login_links", "messages")]
    assert "@example.com" not in str(left)


@pytest.mark.filterwarnings("ignore:Identity map already had an identity")  # SQLite uses the id of a deleted link again
@pytest.mark.usefixtures("without_a_second_look")
def test_without_the_lock_a_deleted_account_has_an_address_again(app, shop, request_link, monkeypatch):
    monkeypatch.setattr(AccountService, "get_user", lambda accounts, user_id: accounts.users.get(user_id))
    races.interleave(USE, confirm(app, request_link()), leaving(app, 1), races.LONG)
    assert (address_of(shop), ADA in shop.rows("SELECT recipient FROM messages")) == (NEW, True)


# ---------------------------------------------------------------- others who want the address


def register(app, email):
    """A function that creates an account; it returns its address, or the code of the error."""
    return partial(races.result_or_code, app, lambda: services.accounts().register(email).email)


def test_nobody_gets_the_former_address_at_the_moment_of_the_change(app, request_link):
    change, wanted = confirm(app, request_link()), register(app, ADA)
    assert races.interleave(CHANGED, change, wanted) == (NEW, "EMAIL_RESERVED")


def test_a_check_before_the_insert_would_miss_the_reservation(app, request_link, monkeypatch):
    add, change = UserRepository.add, confirm(app, request_link())

    def check_then_add(users, user):
        is_reserved = LinkRepository(users.session).is_reserved(user.email_key)
        monkeypatch.setattr(*IS_RESERVED, lambda *_address: is_reserved)
        add(users, user)

    monkeypatch.setattr(UserRepository, "add", check_then_add)
    with races.without_lock(app, UPDATE):
        assert races.interleave(IS_RESERVED, register(app, ADA), change, races.LONG) == (ADA, NEW)


@pytest.mark.parametrize("first", [0, 1], ids=["change", "register"])
def test_an_address_goes_to_one_account_only(app, shop, request_link, first):
    change, point = confirm(app, request_link()), [CHANGED, (UserRepository, "add")][first]
    racers = [change, register(app, NEW)]
    assert races.interleave(point, racers[first], racers[1 - first]) == (NEW, "EMAIL_TAKEN")
    assert shop.rows("SELECT count(*) FROM users WHERE email_key = :new", new=NEW) == [1]


def test_one_of_many_simultaneous_changes_to_an_address_gets_it(app, shop, request_link):
    emails = [f"customer{number}@example.com" for number in range(6)]
    for email in emails:
        shop.customer(email)
    tokens = []
    for email in emails:
        tokens.append(request_link(NEW, email))
        shop.execute("DELETE FROM attempts")  # all links to one address: five minutes have passed
    answers = races.run_concurrently([confirm(app, token) for token in tokens])
    assert (answers.count(NEW), answers.count("EMAIL_TAKEN")) == (1, 5)
