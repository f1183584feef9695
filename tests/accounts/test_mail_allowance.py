"""Nobody's inbox is flooded: at most 1 e-mail in 5 minutes and 5 in 24 hours to each address, whatever the reason."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select, update

from bookshop.accounts.allowance import DAILY, DAY, INTERVAL, MailAllowance
from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import BOOKSELLER
from bookshop.extensions import db
from bookshop.mail.models import PASSWORD_CHANGED
from bookshop.throttle.models import Attempts
from bookshop.throttle.repository import AttemptRepository
from bookshop.web import services
from tests.support import races
from tests.support.clients import ApiClient, WebClient
from tests.support.factories import PASSWORD, Shop

ADA, BEN, NINA = "ada@example.com", "ben@example.com", "nina@example.com"


@pytest.fixture
def ben(shop):
    """Ben's user id."""
    return shop.customer(BEN)


def let_pass(shop: Shop, seconds: float) -> None:
    """Let this much time pass for all counters."""
    with shop.app.app_context():
        for one in db.session.scalars(select(Attempts)).all():
            earlier = {name: getattr(one, name) - timedelta(seconds=seconds) for name in ("until", "forget_at")}
            db.session.execute(update(Attempts).where(Attempts.key == one.key).values(**earlier))
        db.session.commit()


def ask(shop, address=ADA, device=""):
    shop.commit(lambda: services.login_links().request(LinkRequest(address, device=device)))


def change_address(shop, user_id, address=ADA):
    shop.commit(lambda: services.address_changes().request(user_id, LinkRequest(address), PASSWORD))


def invite(shop, address=ADA):
    shop.commit(lambda: services.staff().add(address, BOOKSELLER))


def sent(shop, address=ADA):
    return shop.rows("SELECT kind FROM messages WHERE recipient = :address ORDER BY id", address=address)


# ---------------------------------------------------------------- the limits


def test_an_address_gets_one_e_mail_in_five_minutes(shop):
    counts = []
    for seconds in (0, 1, INTERVAL - 30, 60):
        let_pass(shop, seconds)
        ask(shop)
        counts.append(len(sent(shop)))
    assert counts == [1, 1, 1, 2]


def test_an_address_gets_five_e_mails_a_day(shop):
    for _hour in range(8):
        ask(shop)
        let_pass(shop, 3600)
    assert len(sent(shop)) == DAILY


def test_the_day_is_that_of_each_e_mail_not_of_the_first(shop):
    """Never more than 5 in any 24 hours: at 0, 20, 21, 22, 23, 24.1, 44.1 and 45.1 hours after the first."""
    counts = []
    for hours in (0, 20, 1, 1, 1, 0.5, 0.6, 1, 19, 1):
        let_pass(shop, 3600 * hours)
        ask(shop)
        counts.append(len(sent(shop)))
    assert counts == [1, 2, 3, 4, 5, 5, 6, 6, 7, 8]


def test_requests_that_send_nothing_do_not_lengthen_the_wait(shop):
    ask(shop)
    for _minute in range(4):
        let_pass(shop, 60)
        ask(shop)
    let_pass(shop, 61)
    ask(shop)
    assert len(sent(shop)) == 2


def test_a_clock_that_is_set_back_keeps_no_address_waiting(shop):
    ask(shop)
    let_pass(shop, -10 * DAY)
    ask(shop)
    assert len(sent(shop)) == 2


@pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.prove)])
def test_thousands_of_requests_for_links_to_one_address_in_a_day_send_five_e_mails(shop, number):
    def ask_often():
        links = services.login_links()
        for turn in range(number // 20):
            links.request(LinkRequest(ADA if turn % 2 else "Ada@Example.com"))

    for _time in range(20):
        shop.commit(ask_often)
        let_pass(shop, DAY / 20 - 60)
    assert len(sent(shop)) + len(sent(shop, "Ada@example.com")) == 5
    assert shop.rows("SELECT count(*) FROM login_links") == [5]


# ---------------------------------------------------------------- for all reasons together


REASONS = {
    "link": lambda shop, _ben: ask(shop),
    "link in JSON": lambda shop, _ben: ApiClient(shop.app).post("/api/v1/login-links", {"email": ADA}),
    "link on the page": lambda shop, _ben: WebClient(shop.app).submit("/login", email=ADA, link="yes"),
    "change of address": change_address,
    "reservation": lambda shop, _ben: WebClient(shop.app).submit("/books/1/reserve", page="/books/1", email=ADA),
}


@pytest.mark.parametrize("first", REASONS)
@pytest.mark.parametrize("second", REASONS)
def test_one_e_mail_for_one_reason_is_the_only_one_for_all_reasons(shop, ben, first, second):
    shop.book("Emma")
    REASONS[first](shop, ben)
    assert len(sent(shop)) == 1
    REASONS[second](shop, ben)
    assert len(sent(shop)) == 1


def test_the_reasons_share_the_five_e_mails_of_a_day(shop, ben):
    for work in (ask, partial(change_address, user_id=ben), ask, ask, ask, ask):
        work(shop)
        let_pass(shop, 3600)
    assert sent(shop) == ["login_link", "address_link", "login_link", "login_link", "login_link"]


def test_requests_from_many_accounts_to_one_address_share_its_allowance(shop):
    for user_id in shop.customers(3):
        change_address(shop, user_id)
    assert sent(shop) == ["address_link"]


def test_invitations_and_links_do_not_keep_each_other_waiting(shop):
    ask(shop)
    invite(shop)
    let_pass(shop, INTERVAL + 1)
    ask(shop)
    assert sent(shop) == ["login_link", "invitation", "login_link"]


def test_a_mailbox_gets_one_invitation_in_five_minutes_and_the_account_can_log_in_without_another(shop):
    for address in (ADA, "ada+shop@example.com"):
        invite(shop, address)
    assert shop.rows("SELECT recipient FROM messages") == [ADA]
    ask(shop, "ada+shop@example.com")
    assert shop.rows("SELECT kind FROM messages ORDER BY id") == ["invitation", "login_link"]
    assert len(shop.rows("SELECT id FROM users WHERE role = 'bookseller'")) == 2


def test_each_mailbox_has_its_own_allowance_whatever_the_case_or_the_tag(shop):
    for address in (ADA, "ADA@example.com", NINA, "ada+books@example.com"):
        ask(shop, address)
    assert shop.rows("SELECT recipient FROM messages ORDER BY id") == [ADA, NINA]


# ---------------------------------------------------------------- known devices


def test_a_known_device_has_an_allowance_of_its_own(shop):
    ask(shop)
    for _again in range(2):
        ask(shop, device="a device")
    assert len(sent(shop)) == 2


def test_strangers_cannot_use_up_the_allowance_of_a_browser_that_has_logged_in_before(shop, web_client):
    shop.customer(ADA)
    own, stranger = web_client(), web_client()
    own.log_in(ADA)
    own.submit("/logout", page="/")
    for browser in (stranger, own, stranger, own):
        browser.submit("/login", email=ADA, link="yes")
    assert len(sent(shop)) == 2


def test_each_known_device_has_five_minutes_of_its_own_but_all_share_the_five_e_mails_of_a_day(shop):
    for number in range(DAILY + 2):
        ask(shop, device=f"device {number}")
    assert len(sent(shop)) == DAILY
    ask(shop)
    assert len(sent(shop)) == DAILY + 1


def test_a_browser_that_knows_another_account_shares_the_allowance_of_all_strangers(shop, web_client, ben):
    shop.customer(ADA)
    browser = web_client()
    browser.log_in(BEN)
    browser.submit("/logout", page="/")
    ask(shop)
    browser.submit("/login", email=ADA, link="yes")
    assert len(sent(shop)) == 1


# ---------------------------------------------------------------- what does not count


def test_messages_about_orders_and_alerts_and_notices_neither_count_nor_wait(shop):
    ada, emma = shop.customer(ADA), shop.book("Emma", stock=1)
    persuasion = shop.book("Persuasion")
    shop.reserve(ada, persuasion)
    for _time in range(DAILY + 1):
        shop.commit(lambda: services.mail().queue_notice(PASSWORD_CHANGED, ada, ADA))
    ask(shop)
    shop.order(ada, {emma: 1})
    shop.set_stock(persuasion, 1)
    shop.commit(lambda: services.mail().queue_notice(PASSWORD_CHANGED, ada, ADA))
    kinds = sent(shop)
    assert kinds[DAILY + 1 :] == ["login_link", "order_placed", "restock", PASSWORD_CHANGED]


def test_the_counters_contain_no_address(shop):
    ask(shop)
    assert "ada" not in str(shop.rows("SELECT * FROM attempts"))


# ---------------------------------------------------------------- at the same moment


TAKE = (MailAllowance, "take")
COUNT = (AttemptRepository, "count")


def two_requests(app, shop, point, patience=races.SHORT):
    """Ask for two links at once; return how many messages are queued."""
    request = partial(races.result_or_code, app, lambda: services.login_links().request(LinkRequest(ADA)))
    assert races.interleave(point, request, request, patience) == (ADA, ADA)
    return len(sent(shop))


@pytest.mark.parametrize("point", [COUNT, TAKE])
def test_of_two_requests_at_the_same_moment_one_sends_an_e_mail(app, shop, point):
    assert two_requests(app, shop, point) == 1


@pytest.mark.parametrize("point", [COUNT, TAKE])
def test_two_requests_at_the_same_moment_for_the_last_e_mail_of_the_day_send_one(app, shop, point):
    for _hour in range(DAILY - 1):
        ask(shop)
        let_pass(shop, 3600)
    assert two_requests(app, shop, point) == DAILY


def _read_then_count(self: AttemptRepository, key: str, seconds: int, amount: int) -> int:
    before = self.window_count(key)[0]
    COUNT_AT_ONCE(self, key, seconds, amount)
    return before + amount


COUNT_AT_ONCE = AttemptRepository.count


def test_if_the_counter_were_read_before_it_is_locked_both_requests_would_send_one(app, shop, monkeypatch):
    monkeypatch.setattr(AttemptRepository, "count", _read_then_count)
    with races.without_lock(app, {}):
        assert two_requests(app, shop, (AttemptRepository, "window_count"), races.LONG) == 2
