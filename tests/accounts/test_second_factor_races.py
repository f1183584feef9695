"""A code and a recovery code used twice at the same moment log in once, with negative controls without the locks."""

import time
from functools import partial

import pyotp
import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from bookshop.accounts.models import LOGIN, RecoveryCode
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import CheckedUser, LoginAttempt
from bookshop.web import services
from tests.support import races
from tests.support.second_factors import logged_in

READ_FACTOR = (UserRepository, "get_second_factor")
READ_CODES = (UserRepository, "recovery_code_hashes")
UNLOCKED = {" FOR NO KEY UPDATE": ""}
ANY_STEP = {" AND second_factors.last_step < ": " AND 0 <= "}


@pytest.fixture
def codes(shop):
    """A code and a recovery code of a bookseller, user 1, neither of them used."""
    with shop.app.app_context():
        user_id, factors = shop.staff(), services.second_factor()
        totp = pyotp.TOTP(factors.secret(user_id, "nonce"))
    me = logged_in(shop, user_id)
    recovery_codes = shop.commit(lambda: services.second_factor().set_up(me, "nonce", totp.now(), "k" * 22))
    shop.execute("UPDATE second_factors SET last_step = 0")
    shop.execute("DELETE FROM login_sessions")
    return totp.at(time.time()), recovery_codes[0]


def two_logins(app, shop, code, point, patience):
    """Log in twice at once with the same code; return how many logins there are then."""
    checked = CheckedUser(1, shop.rows("SELECT password_hash FROM users")[0])
    log_in = partial(races.result_or_code, app, lambda: services.accounts().log_in(checked, LoginAttempt(code=code)))
    races.interleave(point, log_in, log_in, patience)
    return shop.rows("SELECT count(*) FROM login_sessions")[0]


@pytest.mark.parametrize("kind", [0, 1])
def test_one_code_used_twice_at_once_logs_in_once(app, shop, codes, kind):
    with app.app_context():
        assert two_logins(app, shop, codes[kind], READ_FACTOR, races.SHORT) == 1


@pytest.mark.parametrize("kind", [0, 1])
def test_the_statement_that_uses_a_code_is_enough_even_without_the_users_lock(app, shop, codes, kind):
    with races.without_lock(app, UNLOCKED), app.app_context():
        assert two_logins(app, shop, codes[kind], READ_FACTOR, races.LONG) == 1


def test_without_the_last_step_in_the_statement_a_code_logs_in_twice(app, shop, codes):
    with races.without_lock(app, UNLOCKED | ANY_STEP), app.app_context():
        assert two_logins(app, shop, codes[0], READ_FACTOR, races.LONG) == 2


def two_codes_for_one_link(app, shop, codes, patience):
    """After one link, enter two codes at once, as with a copied cookie; return the outcome of the second."""
    link_id = shop.commit(lambda: services.login_links().add(LOGIN, "staff@example.com").id)
    checked = CheckedUser(1, shop.rows("SELECT password_hash FROM users")[0])
    attempts = [LoginAttempt(code=code, link_id=link_id) for code in codes]
    first, second = (
        partial(races.result_or_code, app, partial(lambda one: services.accounts().log_in(checked, one), attempt))
        for attempt in attempts
    )
    return races.interleave(READ_FACTOR, first, second, patience)[1]


def test_one_link_with_two_codes_at_once_logs_in_once(app, shop, codes):
    with app.app_context():
        assert two_codes_for_one_link(app, shop, codes, races.SHORT) == "NOT_AUTHENTICATED"
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


def test_without_the_users_lock_only_the_index_keeps_one_link_from_logging_in_twice(app, shop, codes):
    with races.without_lock(app, UNLOCKED), app.app_context(), pytest.raises(IntegrityError):
        two_codes_for_one_link(app, shop, codes, races.LONG)


def test_reading_a_recovery_code_before_deleting_it_logs_in_twice(app, shop, codes, monkeypatch):
    monkeypatch.setattr(UserRepository, "use_recovery_code", _read_then_delete)
    with races.without_lock(app, UNLOCKED), app.app_context():
        assert two_logins(app, shop, codes[1], READ_CODES, races.LONG) == 2


def _read_then_delete(self: UserRepository, user_id: int, code_hash: str) -> bool:
    is_there = code_hash in self.recovery_code_hashes(user_id)
    self.session.execute(delete(RecoveryCode).where(RecoveryCode.code_hash == code_hash))
    return is_there
