"""The checkout page of visitors who are not logged in: one field more, and an e-mail first."""

import re

import pytest

from bookshop import create_app
from bookshop.web import services
from tests.support.clients import WebClient, text_of
from tests.support.links import delivered_link, fields_of, press, start_to_reserve
from tests.support.settings import settings_for
from tests.support.visitors import TYPED, add_to_cart, check_out, filled_in, in_cookie

ADA = "ada@example.com"


def count(shop, *tables):
    return [shop.rows(f"SELECT count(*) FROM {table}")[0] for table in tables]


def test_the_page_says_that_an_e_mail_comes_first(visitor):
    words = text_of(visitor.get("/checkout"))
    assert "Nothing is ordered until you open it and press the button on its page. Continue by e-mail" in words
    assert "Reserve for collection" not in words


def test_the_address_to_which_a_link_was_sent_is_filled_in(shop, visitor):
    start_to_reserve(visitor, shop.book("Persuasion"))
    assert fields_of(visitor.get("/checkout").text)["email"] == [ADA]


def test_customers_are_not_asked_for_their_address(shop, web_client, emma):
    shop.fill_cart(shop.customer(ADA), {emma: 1})
    page = web_client(ADA).get("/checkout").text
    assert ('name="email"' in page, "Reserve for collection" in page) == (False, True)


def test_an_empty_cart_leads_to_the_cart_and_offers_the_login(web_client):
    browser = web_client()
    assert [browser.get("/checkout").location, browser.post("/checkout").location] == ["/cart", "/cart"]
    assert "Log in to see the cart of your account." in text_of(browser.get("/cart"))


def test_staff_cannot_check_out(shop, web_client):
    shop.staff("staff@example.com")
    assert web_client("staff@example.com").get("/checkout").status_code == 403


WRONG = [
    ("email", "", "Enter your e-mail address."),
    ("email", "ada at example", "This is not a valid e-mail address."),
    ("name", "", "Enter your name."),
    ("phone", "0" * 51, "This is too long."),
    ("delivery", "post", "This shop does not post orders."),
]


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize(("field", "typed", "sentence"), WRONG)
def test_a_wrong_value_is_refused_and_everything_typed_is_kept(shop, visitor, field, typed, sentence):
    answer = check_out(visitor, **{field: typed})
    assert (answer.status_code, sentence in text_of(answer)) == (400, True)
    assert all(kept in answer.text for name, kept in TYPED.items() if name != field)
    assert count(shop, "link_actions", "messages") == [0, 0]


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("change", ["short", "price", "withdrawn"])
def test_a_book_that_has_changed_is_shown_and_everything_typed_is_kept(shop, visitor, emma, change):
    fields = filled_in(visitor)
    {
        "short": lambda: shop.set_stock(emma, 0),
        "price": lambda: shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050})),
        "withdrawn": lambda: shop.withdraw(emma),
    }[change]()
    answer = visitor.post("/checkout", **fields)
    assert (answer.status_code, count(shop, "link_actions", "messages")) == (409, [0, 0])
    assert all(kept in answer.text for kept in TYPED.values())


def test_an_entry_of_an_unknown_book_is_not_ordered(shop, visitor, emma):
    with visitor.client.session_transaction() as cookie:
        cookie["cart"] = [*cookie["cart"], [999, 1, 950, "EUR", 1]]
    assert check_out(visitor).location == "/login/sent"
    assert "Order 1 \N{MULTIPLICATION SIGN} Emma" in text_of(visitor.get("/login/sent"))


@pytest.fixture
def two_a_minute(database_url):
    """A shop that allows two attempts in a minute."""
    return create_app(settings_for(database_url, login_limit="2 per minute"))


def test_visitors_cannot_send_it_as_often_as_they_like(shop, two_a_minute, emma):
    browser = WebClient(two_a_minute)
    add_to_cart(browser, emma)
    answers = [check_out(browser, name=name) for name in ("", "", "", "Ada", "Ada", "Ada")]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 303, 303, 429]
    assert answers[-1].headers["Retry-After"]
    assert ("Please try again in" in text_of(answers[-1]), 'value="Ada"' in answers[-1].text) == (True, True)


def test_customers_can(shop, two_a_minute, emma):
    shop.fill_cart(shop.customer(ADA), {emma: 1})
    browser = WebClient(two_a_minute, ADA)
    assert [check_out(browser, name="").status_code for _try in range(4)] == [400] * 4
    assert check_out(browser).location == "/orders/1"


# ---------------------------------------------------------------- the buttons next to a book


def test_take_what_is_left_changes_the_cookie_and_keeps_what_was_typed(shop, visitor, emma):
    add_to_cart(visitor, emma)
    shop.set_stock(emma, 1)
    answer = check_out(visitor, take=emma)
    assert (answer.status_code, "Ring twice" in answer.text) == (200, True)
    with visitor.client.session_transaction() as cookie:
        assert cookie["cart"] == [[emma, 1, 950, "EUR", 1]]


def test_remove_changes_the_cookie_and_keeps_what_was_typed(visitor, emma, sanditon):
    add_to_cart(visitor, sanditon)
    answers = [check_out(visitor, remove=emma) for _click in range(2)]
    assert [(answer.status_code, "Ring twice" in answer.text) for answer in answers] == [(200, True)] * 2
    assert in_cookie(visitor) == [sanditon]


def test_reserve_instead_starts_a_reservation_and_the_rest_can_be_ordered(shop, visitor, emma, sanditon, mailbox):
    add_to_cart(visitor, sanditon)
    shop.set_stock(emma, 0)
    answer = check_out(visitor, reserve=emma)
    assert (answer.status_code, "Ring twice" in answer.text, in_cookie(visitor)) == (200, True, [sanditon])
    assert "The link in our e-mail will reserve that book." in text_of(answer)
    assert check_out(visitor).location == "/login/sent"
    press(visitor, delivered_link(mailbox))
    assert (shop.statuses(emma), shop.rows("SELECT book_id FROM order_lines")) == (["waiting"], [sanditon])


def test_reserving_the_only_book_leads_to_the_page_that_says_where_the_link_was_sent(shop, visitor, emma):
    shop.set_stock(emma, 0)
    assert check_out(visitor, reserve=emma, name="").location == "/login/sent"
    assert "Reserve Emma" in text_of(visitor.get("/login/sent"))


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("email", ["", "ada at example"])
def test_reserve_instead_needs_an_address(shop, visitor, emma, email):
    shop.set_stock(emma, 0)
    answer = check_out(visitor, reserve=emma, email=email)
    assert (answer.status_code, in_cookie(visitor), count(shop, "messages")) == (400, [emma], [0])
    assert re.search(r'name="email"[^>]*aria-invalid|aria-invalid[^>]*name="email"', answer.text)


def test_a_book_restocked_just_before_it_is_reserved_can_be_ordered(shop, visitor, emma):
    answer = check_out(visitor, reserve=emma)
    assert (answer.status_code, "so you can order it now" in text_of(answer)) == (409, True)
    assert (in_cookie(visitor), count(shop, "messages")) == ([emma], [0])


def test_a_withdrawn_book_cannot_be_reserved(shop, visitor, emma):
    shop.withdraw(emma)
    answer = check_out(visitor, reserve=emma)
    assert (answer.status_code, "No longer sold." in text_of(answer)) == (200, True)
    assert (in_cookie(visitor), count(shop, "messages")) == ([emma], [0])
