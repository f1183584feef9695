"""The services behind e-mail links: what a link is valid for, for how long, and for whom."""

from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from bookshop.accounts import signed_links
from bookshop.extensions import db
from bookshop.kit import database
from bookshop.kit.exceptions import Conflict, Invalid, NotFound
from bookshop.web import services
from tests.support.factories import PASSWORD

ADA, OTHER = "ada@example.com", "three other words"


@pytest.fixture
def email_links(shop):
    """Call the service and commit: `email_links("confirm", user_id, email)`."""
    return lambda name, *given: shop.commit(lambda: getattr(services.email_links(), name)(*given))


@pytest.fixture
def ada(shop, email_links):
    """The id of Ada, who registered but has not confirmed her address."""
    email_links("sign_up", ADA, PASSWORD)
    return shop.rows("SELECT id FROM users")[0]


def make_older(shop, age):
    with shop.app.app_context():
        table = db.metadata.tables["password_resets"]
        made = db.session.scalar(select(func.min(table.c.created_at)))
        db.session.execute(table.update().values(created_at=made - age))
        db.session.commit()


def password_works(shop, password):
    try:
        return shop.commit(lambda: services.accounts().check_password(ADA, password)) is not None
    except Invalid:
        return False


# ---------------------------------------------------------------- password links


def test_a_link_works_for_almost_30_minutes(shop, email_links, ada):
    token = email_links("create_reset", ada, ADA)
    make_older(shop, timedelta(minutes=29, seconds=30))
    email_links("reset_password", token, OTHER)
    assert (password_works(shop, PASSWORD), password_works(shop, OTHER)) == (False, True)


def test_a_link_does_not_work_after_30_minutes(shop, email_links, ada):
    token = email_links("create_reset", ada, ADA)
    make_older(shop, timedelta(minutes=30, seconds=1))
    for call in (("check_reset", token), ("reset_password", token, OTHER)):
        with pytest.raises(NotFound):
            email_links(*call)
    assert password_works(shop, PASSWORD)


@contextmanager
def clock_wrong_by(hours):
    """Run with the machine's clock wrong by this many hours; the database's clock is right."""

    class WrongTime(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=hours)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "datetime", WrongTime)
        yield


def use_after(shop, email_links, minutes, clocks):
    """Use a link this many minutes after its creation, on machines whose clocks are wrong by these hours."""
    worker, server = clocks
    with clock_wrong_by(worker):
        token = email_links("create_reset", 1, ADA)
    make_older(shop, timedelta(minutes=minutes))
    with clock_wrong_by(server):
        email_links("reset_password", token, OTHER)


CLOCKS = [(-1, 0), (1, 0), (0, -1), (0, 1)]


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("clocks", CLOCKS)
def test_a_wrong_clock_never_shortens_a_links_30_minutes(shop, email_links, clocks):
    use_after(shop, email_links, 29, clocks)
    assert password_works(shop, OTHER)


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("clocks", CLOCKS)
def test_a_wrong_clock_never_extends_a_links_30_minutes(shop, email_links, clocks):
    with pytest.raises(NotFound):
        use_after(shop, email_links, 31, clocks)


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize(("minutes", "left"), [(29, 2), (31, 1)])
def test_a_wrong_clock_does_not_affect_which_links_are_deleted(shop, email_links, hours, minutes, left):
    ada = shop.customer(ADA)
    email_links("create_reset", ada, ADA)
    make_older(shop, timedelta(minutes=minutes))
    with clock_wrong_by(hours):
        email_links("create_reset", ada, ADA)
    assert shop.rows("SELECT count(*) FROM password_resets") == [left]


def test_expired_links_are_deleted_with_the_next_one(shop, email_links, ada):
    email_links("create_reset", ada, ADA)
    make_older(shop, timedelta(hours=1))
    email_links("create_reset", ada, ADA)
    email_links("create_reset", ada, ADA)
    assert shop.rows("SELECT count(*) FROM password_resets") == [2]


def test_using_one_link_ends_the_others(email_links, ada):
    first, second = email_links("create_reset", ada, ADA), email_links("create_reset", ada, ADA)
    email_links("reset_password", second, OTHER)
    with pytest.raises(NotFound):
        email_links("reset_password", first, "three more words")


def test_no_link_works_for_another_user(shop, email_links, ada):
    ben = shop.customer("ben@example.com")
    email_links("reset_password", email_links("create_reset", ben, "ben@example.com"), OTHER)
    assert password_works(shop, PASSWORD)


def test_a_link_of_a_deactivated_user_does_not_work(shop, email_links, ada):
    shop.deactivate(ADA)
    with pytest.raises(NotFound):
        email_links("reset_password", email_links("create_reset", ada, ADA), OTHER)
    assert shop.rows("SELECT email_confirmed_at FROM users") == [None]


def valid_tokens(shop):
    return shop.rows("SELECT count(*) FROM api_tokens WHERE revoked_at IS NULL")[0]


def test_tokens_of_a_squatted_address_end_when_its_owner_resets_the_password(shop, email_links, ada):
    shop.token(ADA)
    email_links("reset_password", email_links("create_reset", ada, ADA), OTHER)
    assert (valid_tokens(shop), shop.rows("SELECT count(email_confirmed_at) FROM users")) == (0, [1])


def test_a_password_reset_revokes_all_tokens(shop, email_links, ada):
    email_links("confirm", ada, ADA)
    shop.token(ADA)
    email_links("reset_password", email_links("create_reset", ada, ADA), OTHER)
    assert valid_tokens(shop) == 0


# ---------------------------------------------------------------- confirming the address


def test_the_time_of_the_first_confirmation_is_kept(shop, email_links, ada):
    times = []
    for _time in range(2):
        email_links("confirm", ada, ADA)
        times += shop.rows("SELECT email_confirmed_at FROM users")
    assert times[0] == times[1] is not None


def test_a_confirmed_user_gets_no_second_confirmation(email_links, ada):
    email_links("confirm", ada, ADA)
    with pytest.raises(Conflict):
        email_links("resend_confirmation", ada)


@pytest.mark.parametrize("whose", [(1, "ben@example.com"), (99, ADA), (0, ADA)])
def test_an_address_that_is_no_longer_the_users_is_not_confirmed(shop, email_links, ada, whose):
    for call in ("confirm", "is_confirmed"):
        with pytest.raises(NotFound):
            email_links(call, *whose)
    assert shop.rows("SELECT email_confirmed_at FROM users") == [None]


def test_a_deactivated_user_cannot_confirm_an_address(shop, email_links, ada):
    shop.deactivate(ADA)
    with pytest.raises(NotFound):
        email_links("confirm", ada, ADA)


# ---------------------------------------------------------------- signed links


@pytest.mark.parametrize("content", [1, [1, ADA], [1, "ǆ@bücher.example"]])
@pytest.mark.parametrize("purpose", [signed_links.CONFIRM, signed_links.UNSUBSCRIBE])
def test_a_signed_link_is_valid_only_for_its_purpose(app, purpose, content):
    with app.app_context():
        token = signed_links.sign(purpose, content)
        assert signed_links.read(purpose, token) == content
        for other in ({signed_links.CONFIRM, signed_links.UNSUBSCRIBE} - {purpose}) | {"cookie-session"}:
            with pytest.raises(NotFound):
                signed_links.read(other, token)


def test_a_link_with_one_letter_changed_is_refused(app):
    with app.app_context():
        token = signed_links.sign(signed_links.UNSUBSCRIBE, 12)
        for place, letter in enumerate(token[:-1]):  # the last character contains unused bits
            with pytest.raises(NotFound):
                signed_links.read(
                    signed_links.UNSUBSCRIBE, token[:place] + ("A" if letter != "A" else "B") + token[place + 1 :]
                )
