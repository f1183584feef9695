"""The second factor: codes work once, within a step of the clock; recovery codes work once; a lost phone is no end."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from bookshop.accounts.authentication import Identity
from bookshop.accounts.second_factor import matching_step
from bookshop.kit.exceptions import Conflict, Forbidden, Invalid, NotAuthenticated, WrongPassword
from bookshop.web import services
from tests.support.second_factors import logged_in

NONCE, KEY = "a nonce", "k" * 22
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # of RFC 6238, appendix B: "12345678901234567890"
NOON = datetime(2026, 11, 29, 12, 0, 10, tzinfo=UTC)
STEP = timedelta(seconds=30)


@pytest.fixture
def bea(shop):
    """A bookseller with a second factor: her id and her app."""
    user_id = shop.staff()
    totp = pyotp.TOTP(in_shop(shop, lambda factors: factors.secret(user_id, NONCE)))
    set_up(shop, user_id, totp)
    return user_id, totp


def in_shop(shop, work):
    return shop.commit(lambda: work(services.second_factor()))


def set_up(shop, user_id, totp, at=NOON, key=KEY):
    me = logged_in(shop, user_id)
    return in_shop(shop, lambda factors: factors.set_up(me, NONCE, totp.at(at), key, at=at))


def use(shop, user_id, code, at):
    """Return whether the code is accepted, and if not, why."""
    try:
        in_shop(shop, lambda factors: factors.use(user_id, code, at=at))
    except WrongPassword as error:
        return error.sentence
    return "accepted"


@pytest.mark.parametrize(("drift", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_the_clock_of_a_phone_may_differ_by_one_step(drift, accepted):
    totp = pyotp.TOTP(SECRET)
    found = matching_step(SECRET, totp.at(NOON + drift * STEP), NOON)
    assert found == (int(NOON.timestamp()) // 30 + drift if accepted else None)


def test_codes_are_those_of_rfc_6238():
    for moment, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert matching_step(SECRET, code, datetime.fromtimestamp(moment, UTC)) == moment // 30


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "١٢٣٤٥٦", "-123456-" * 9, "\0", "abcdef"])
def test_anything_but_6_digits_is_no_code(typed):
    assert matching_step(SECRET, typed, NOON) is None


def test_a_code_is_never_accepted_twice_nor_after_a_later_one(shop, bea):
    user_id, totp = bea
    later = NOON + 2 * STEP
    earlier_code, code = totp.at(NOON + STEP), totp.at(later)
    assert use(shop, user_id, totp.at(NOON), NOON).startswith("This code has already been used")  # at the set-up
    assert use(shop, user_id, f"{code[:3]} {code[3:]}", later) == "accepted"
    assert use(shop, user_id, code, later).startswith("This code has already been used")
    assert use(shop, user_id, earlier_code, later).startswith("This code has already been used")
    assert use(shop, user_id, totp.at(later + STEP), later + STEP) == "accepted"


def test_the_code_of_another_account_is_not_accepted(shop, bea):
    user_id, _totp = bea
    other = shop.owner()
    code = pyotp.TOTP(in_shop(shop, lambda factors: factors.secret(other, NONCE))).at(NOON + STEP)
    assert use(shop, user_id, code, NOON + STEP).startswith("This code is not valid")


def test_a_recovery_code_works_once_however_it_is_typed(shop):
    user_id = shop.staff()
    totp = pyotp.TOTP(in_shop(shop, lambda factors: factors.secret(user_id, NONCE)))
    codes = set_up(shop, user_id, totp)
    typed = f" {codes[0].lower().replace('-', ' - ').replace('0', 'o').replace('1', 'l')} "
    assert (len(set(codes)), use(shop, user_id, typed, NOON)) == (10, "accepted")
    assert use(shop, user_id, codes[0], NOON).startswith("This code is not valid")
    assert use(shop, user_id, codes[9].replace("-", ""), NOON) == "accepted"
    assert in_shop(shop, lambda factors: factors.codes_left(user_id)) == 8
    used = "SELECT count(*) FROM audit_entries WHERE action = 'user.recovery_code_used' AND user_id = :id"
    assert shop.rows(used, id=user_id) == [2]


def test_neither_secrets_nor_recovery_codes_are_in_the_database(shop, bea):
    user_id, totp = bea
    me = logged_in(shop, user_id)
    codes = in_shop(shop, lambda factors: factors.replace_codes(me, "n" * 22))
    stored = str([shop.rows(f"SELECT * FROM {table}") for table in ("second_factors", "recovery_codes", "sent_forms")])
    assert NONCE in stored
    assert [code for code in (totp.secret, *codes) if code in stored or code.replace("-", "") in stored] == []


def test_new_recovery_codes_end_the_old_ones(shop, bea):
    user_id, totp = bea
    old = set_up(shop, user_id, totp)  # the same form again shows the same codes
    me = logged_in(shop, user_id)
    new = in_shop(shop, lambda factors: factors.replace_codes(me, "n" * 22))
    assert use(shop, user_id, old[0], NOON).startswith("This code is not valid")
    assert use(shop, user_id, new[0], NOON) == "accepted"


def test_recovery_codes_are_shown_again_for_a_minute_only_to_the_same_form(shop, bea):
    user_id, totp = bea
    codes = set_up(shop, user_id, totp)
    with pytest.raises(Conflict, match="already have a second factor"):
        set_up(shop, user_id, totp, key="o" * 22)
    shop.execute("UPDATE sent_forms SET created_at = '2020-01-01 00:00:00.000000+00:00'")
    with pytest.raises(Conflict, match="cannot be shown again"):
        set_up(shop, user_id, totp)
    assert use(shop, user_id, codes[0], NOON) == "accepted"


def test_only_staff_set_up_a_second_factor_and_only_with_a_code_of_its_secret(shop):
    customer, user_id, stranger = shop.customer(), shop.staff(), pyotp.TOTP(pyotp.random_base32())
    with pytest.raises(Invalid, match="does not belong to this QR code"):
        set_up(shop, user_id, stranger)
    with pytest.raises(Forbidden):
        set_up(shop, customer, stranger)
    ended = Identity(user_id, "staff@example.com", "bookseller", "a login that has just been ended")
    with pytest.raises(NotAuthenticated):
        in_shop(shop, lambda factors: factors.set_up(ended, NONCE, stranger.now(), KEY))
    assert shop.rows("SELECT count(*) FROM second_factors") == [0]


def test_another_owner_or_a_command_removes_the_second_factor_of_a_lost_phone(app, shop, bea):
    user_id, _totp = bea
    owner = shop.owner()
    with pytest.raises(Forbidden):
        shop.commit(lambda: services.staff().remove_second_factor(owner, by=user_id))
    with pytest.raises(Conflict, match="your own"):
        shop.commit(lambda: services.staff().remove_second_factor(owner, by=owner))
    assert shop.commit(lambda: services.staff().remove_second_factor(user_id, by=owner)) == "staff@example.com"
    assert shop.rows("SELECT count(*) FROM second_factors") + shop.rows("SELECT count(*) FROM recovery_codes") == [0, 0]
    again = app.test_cli_runner().invoke(args=["users", "remove-second-factor", "staff@example.com"])
    assert (again.exit_code, "staff@example.com has no second factor." in again.output) == (1, True)
