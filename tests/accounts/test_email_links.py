"""Signed links in e-mails, each valid for one purpose, and turning alerts on and off."""

import pytest

from bookshop.accounts import signed_links
from bookshop.accounts.signed_links import UNSUBSCRIBE, WAITING
from bookshop.kit.exceptions import NotFound
from bookshop.web import services

ADA = "ada@example.com"


def set_alerts(shop, user_id, wanted):
    shop.commit(lambda: services.people().set_alerts(user_id, wanted))


def unsubscribed_at(shop):
    return shop.rows("SELECT unsubscribed_at FROM users")[0]


# ---------------------------------------------------------------- signed links


@pytest.mark.parametrize("content", [1, [1, ADA], [1, "ǆ@bücher.example"]])
@pytest.mark.parametrize("purpose", [UNSUBSCRIBE, WAITING])
def test_a_signed_link_is_valid_only_for_its_purpose(app, purpose, content):
    with app.app_context():
        token = signed_links.sign(purpose, content)
        assert signed_links.read(purpose, token) == content
        for other in ({UNSUBSCRIBE, WAITING} - {purpose}) | {"cookie-session", "confirm an address"}:
            with pytest.raises(NotFound):
                signed_links.read(other, token)


def test_a_link_with_one_letter_changed_is_refused(app):
    with app.app_context():
        token = signed_links.sign(UNSUBSCRIBE, 12)
        for place, letter in enumerate(token[:-1]):  # the last character contains unused bits
            with pytest.raises(NotFound):
                signed_links.read(UNSUBSCRIBE, token[:place] + ("A" if letter != "A" else "B") + token[place + 1 :])


# ---------------------------------------------------------------- alerts


def test_the_time_of_unsubscribing_is_kept_until_alerts_are_wanted_again(shop):
    ada, times = shop.customer(ADA), []
    for wanted in (False, False, True):
        set_alerts(shop, ada, wanted)
        times.append(unsubscribed_at(shop))
    assert times[0] == times[1] is not None
    assert times[2] is None


@pytest.mark.parametrize("wanted", [True, False])
def test_the_link_of_a_user_who_does_not_exist_changes_nothing(shop, wanted):
    shop.customer(ADA)
    set_alerts(shop, 99, wanted)
    assert unsubscribed_at(shop) is None


def test_turning_alerts_off_ends_those_that_wait_for_the_book_to_be_back(shop):
    ada, emma = shop.customer(ADA), shop.book("Emma")
    shop.reserve(ada, emma)
    for copies in (1, 0):
        shop.set_stock(emma, copies)
    set_alerts(shop, ada, False)
    assert shop.rows("SELECT state, reason FROM messages") == [("suppressed", "unsubscribed")]
