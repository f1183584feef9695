"""Account services: how passwords and tokens are stored, and one account for each address."""

import hashlib
import subprocess
import sys
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from bookshop.accounts import passwords
from bookshop.accounts.authentication import Identity
from bookshop.accounts.service import LoginAttempt
from bookshop.kit.exceptions import BookshopError, Conflict, Invalid, NotFound
from bookshop.web import services
from tests.support.factories import PASSWORD, Shop

ADA = "ada@example.com"
THREADS = 8


def log_in(shop: Shop, password: str = PASSWORD) -> Identity:
    """Log in as the page does; return the user."""
    accounts, attempt = services.accounts, LoginAttempt(password=password)
    identity = shop.commit(lambda: accounts().log_in(accounts().check_password(ADA, password), attempt))
    assert identity is not None
    return identity


def stored_hash(shop: Shop) -> str:
    return str(shop.rows("SELECT password_hash FROM users")[0])


# ---------------------------------------------------------------- passwords


def test_passwords_are_stored_only_as_argon2id_hashes(shop):
    shop.customer(ADA)
    assert extract_parameters(stored_hash(shop)).type is Type.ID
    assert PASSWORD not in str(shop.everything())


def test_the_hash_parameters_are_those_decided_on():
    code = "from bookshop.accounts.passwords import hash_password; print(hash_password('x'))"
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    cost = extract_parameters(made.strip())
    assert (cost.type, cost.memory_cost, cost.time_cost, cost.parallelism) == (Type.ID, 19 * 1024, 2, 1)


def test_two_users_with_the_same_password_have_different_hashes(shop):
    shop.customers(2)
    assert len(set(shop.rows("SELECT password_hash FROM users"))) == 2


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_password_is_independent_of_unicode_composition(shop, forms):
    chosen, typed = (unicodedata.normalize(form, "drei größere Wörter") for form in forms)
    shop.commit(lambda: services.accounts().register(ADA, chosen))
    assert chosen != typed
    assert log_in(shop, typed).email == ADA


def test_password_length_is_counted_in_normalised_characters():
    assert passwords.problem_in_password("e\N{COMBINING ACUTE ACCENT}" * 7) is not None
    assert passwords.problem_in_password("e\N{COMBINING ACUTE ACCENT}" * 128) is None


def test_a_hash_of_another_strength_is_rehashed_at_the_next_login(shop, monkeypatch):
    shop.customer(ADA)
    before = stored_hash(shop)
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "hasher", stronger)
    log_in(shop)
    assert stored_hash(shop) != before
    assert not stronger.check_needs_rehash(stored_hash(shop))
    assert log_in(shop).email == ADA


def test_a_hash_of_the_right_strength_stays(shop):
    shop.customer(ADA)
    before = stored_hash(shop)
    log_in(shop)
    assert stored_hash(shop) == before


@pytest.mark.parametrize("broken", ["", "!", "not a hash", "$2b$12$" + "a" * 53])
def test_an_account_with_an_invalid_hash_cannot_log_in(shop, broken):
    shop.customer(ADA)
    shop.execute("UPDATE users SET password_hash = :broken", broken=broken)
    with pytest.raises(Invalid, match="or the password is wrong"):
        log_in(shop)


class CountingHasher:
    """The real hasher, recording the hashes that passwords are verified against."""

    def __init__(self, real: PasswordHasher) -> None:
        self.real = real
        self.checked: list[str] = []

    def verify(self, stored: str, password: str) -> bool:
        self.checked.append(stored)
        return self.real.verify(stored, password)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@pytest.mark.parametrize("typed", [PASSWORD, "", "!", "nobody's password"])
def test_no_password_logs_in_to_an_account_without_one(shop, typed):
    shop.commit(lambda: services.accounts().register(ADA))
    with pytest.raises(Invalid, match="or the password is wrong"):
        log_in(shop, typed)


GONE, OLD, WITHOUT = "gone@example.com", "old@example.com", "link.only@example.com"


@pytest.fixture
def kinds_of_accounts(shop):
    """A customer, a deactivated account, one that was never confirmed, and one without a password."""
    for email in (ADA, GONE, OLD, WITHOUT):
        shop.customer(email)
    shop.deactivate(GONE)
    shop.execute("UPDATE users SET never_confirmed = true, email_confirmed_at = NULL WHERE email = :old", old=OLD)
    shop.execute("UPDATE users SET password_hash = NULL WHERE email = :without", without=WITHOUT)


@pytest.mark.usefixtures("kinds_of_accounts")
@pytest.mark.parametrize("email", [ADA, GONE, OLD, WITHOUT, "nobody@example.com", "no address", "nul\0@example.com"])
@pytest.mark.parametrize("password", [PASSWORD, "not the password"])
def test_every_login_verifies_exactly_one_hash_of_the_same_strength(shop, web_client, monkeypatch, email, password):
    passwords._dummy_hash.cache_clear()  # it may be that of a stronger hasher
    counting = CountingHasher(passwords.hasher)
    monkeypatch.setattr(passwords, "hasher", counting)
    web_client().log_in(email, password)
    strength = extract_parameters(shop.rows("SELECT password_hash FROM users WHERE password_hash IS NOT NULL")[0])
    assert [extract_parameters(found) for found in counting.checked] == [strength]


# ---------------------------------------------------------------- a login and concurrent changes


def test_a_login_is_refused_if_the_user_was_deactivated_after_the_password_was_checked(shop):
    shop.customer(ADA)
    with shop.app.app_context():
        checked = services.accounts().check_password(ADA, PASSWORD)
        shop.deactivate(ADA)
        with pytest.raises(Invalid):
            services.commit(lambda: services.accounts().log_in(checked))
    assert shop.rows("SELECT id FROM login_sessions") == []


def test_a_login_is_refused_if_the_password_was_changed_after_it_was_checked(shop):
    user_id = shop.customer(ADA)
    with shop.app.app_context():
        checked = services.accounts().check_password(ADA, PASSWORD)
        shop.commit(lambda: services.accounts().change_password(user_id, PASSWORD, "other words now", keep_login=None))
        with pytest.raises(Invalid):
            services.commit(lambda: services.accounts().log_in(checked))
    assert shop.rows("SELECT id FROM login_sessions") == []


@pytest.mark.parametrize("email", ["nobody@example.com", "", "'; --"])
def test_an_unknown_user_cannot_be_deactivated_or_get_a_token(shop, email):
    with pytest.raises(NotFound):
        shop.deactivate(email)
    with pytest.raises(NotFound):
        shop.token(email)


# ---------------------------------------------------------------- staff's list of users


def listed(shop: Shop, q: str = "", page: int = 1, size: int = 10) -> list[str]:
    """Return the addresses that staff find."""
    with shop.app.app_context():
        return [user.email for user in services.accounts().list_users(q, page, size).items]


@pytest.fixture
def four_users(shop):
    """Four users, one of them with LIKE wildcards in the address."""
    emails = ["ada@example.com", "Ben@Example.com", "a_b%c@example.com", "ÉMILE@example.com"]
    return [shop.customer(email) for email in emails]


@pytest.mark.usefixtures("four_users")
@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("", ["ÉMILE@example.com", "a_b%c@example.com", "Ben@example.com", "ada@example.com"]),
        (" BEN@EX", ["Ben@example.com"]),
        ("émile", ["ÉMILE@example.com"]),
        ("e\N{COMBINING ACUTE ACCENT}mile", ["ÉMILE@example.com"]),
        ("a_", ["a_b%c@example.com"]),
        ("%", ["a_b%c@example.com"]),
        ("/", []),
        ("nul\0", []),
        ("\ud800", []),
        ("x" * 100_000, []),
    ],
)
def test_users_are_found_by_part_of_their_address_newest_first(shop, q, found):
    assert listed(shop, q) == found


@pytest.mark.usefixtures("four_users")
def test_users_are_paginated(shop):
    assert listed(shop, "example", page=2, size=3) == ["ada@example.com"]
    with shop.app.app_context():
        assert services.accounts().list_users("example", 2, 3).total == 4


# ---------------------------------------------------------------- one account per address


def spellings() -> list[str]:
    """Yield ada@example.com with a different letter capitalised each time."""
    return [ADA[:index] + ADA[index:].capitalize() for index in (0, 1, 2, 4, 5, 6, 7, 8)]


def race(shop: Shop, emails: list[str]) -> Counter[object]:
    """Register all addresses at once, each in a thread; count the outcomes."""
    barrier = Barrier(len(emails))

    def register(email: str) -> object:
        barrier.wait(timeout=30)
        try:
            shop.commit(lambda: services.accounts().register(email, PASSWORD))
        except BookshopError as refused:
            return type(refused)
        return "registered"

    with ThreadPoolExecutor(len(emails)) as threads:
        return Counter(threads.map(register, emails))


def test_one_of_many_simultaneous_registrations_of_an_address_succeeds(shop):
    assert len(set(spellings())) == THREADS
    assert race(shop, spellings()) == {"registered": 1, Conflict: THREADS - 1}
    assert len(shop.rows("SELECT id FROM users")) == 1


def test_a_refused_registration_leaves_the_transaction_usable(shop):
    shop.customer(ADA)

    def work():
        with pytest.raises(Conflict):
            services.accounts().register(ADA.upper(), PASSWORD)
        return services.accounts().register("ben@example.com", PASSWORD)

    shop.commit(work)
    assert shop.rows("SELECT email FROM users ORDER BY id") == [ADA, "ben@example.com"]


# ---------------------------------------------------------------- tokens


def test_a_token_is_random_and_only_its_hash_is_stored(shop):
    shop.customer(ADA)
    first, second = shop.token(ADA), shop.token(ADA)
    assert first != second
    assert len(first) >= 40
    assert shop.rows("SELECT token_hash FROM api_tokens ORDER BY id") == [
        hashlib.sha256(token.encode()).hexdigest() for token in (first, second)
    ]
    assert first not in str(shop.everything())


def test_revoking_a_token_affects_no_other(shop, api_client):
    shop.customer(ADA)
    revoked, kept = api_client(ADA), api_client(ADA)
    shop.execute("UPDATE api_tokens SET name = 'kept' WHERE id = (SELECT max(id) FROM api_tokens)")
    assert shop.commit(lambda: services.accounts().revoke_tokens(shop.id_of("ADA@example.com"), "test")) == 1
    assert revoked.get("/api/v1/prebookings").status_code == 401
    assert kept.get("/api/v1/prebookings").status_code == 200


def test_a_deactivated_users_token_is_refused_and_no_new_one_is_created(shop, api_client):
    shop.customer(ADA)
    ada = api_client(ADA)
    shop.deactivate(ADA)
    shop.execute("UPDATE api_tokens SET revoked_at = NULL")
    assert ada.get("/api/v1/prebookings").status_code == 401
    with pytest.raises(Conflict, match="deactivated"):
        shop.token(ADA)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer x", "Bearer bookshop_", "bearer é", "Bearer \x00", "Bearer a b"]
)
def test_an_invalid_token_is_refused_even_where_none_is_needed(api_client, header):
    anybody = api_client()
    anybody.headers = {"Authorization": header.encode().decode("latin-1")}
    answer = anybody.get("/api/v1/books")
    assert (answer.status_code, answer.json["code"]) == (401, "NOT_AUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("name", ["", "n" * 101, "nul\0", "two\nlines"])
def test_a_token_needs_a_printable_name(shop, name):
    shop.customer(ADA)
    with pytest.raises(Invalid):
        shop.commit(lambda: services.accounts().create_token(shop.id_of(ADA), name))
    assert shop.rows("SELECT id FROM api_tokens") == []


def test_a_token_does_not_open_pages(shop, api_client):
    shop.customer(ADA)
    assert api_client(ADA).get("/reservations").status_code == 303
