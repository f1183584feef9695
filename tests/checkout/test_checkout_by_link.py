"""The link that places the order of a visitor, alone or together with what else was started."""

import re
from functools import partial

import pytest

from bookshop.orders.repository import OrderRepository
from bookshop.people.link_actions import LinkActionService
from bookshop.web import services
from tests.support import races
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, fields_of, press, start_to_reserve
from tests.support.visitors import CONTACT, add_to_cart, check_out, in_cookie

ADA, BEN = "ada@example.com", "ben@example.com"
READ_STARTED = (LinkActionService, "list_started")
INSERT_ORDER = (OrderRepository, "insert")
WITHOUT_LOCKS = {" FOR NO KEY UPDATE": ""} | races.ANY_STOCK


@pytest.fixture
def link(visitor, mailbox):
    """The link to the order that the visitor has started."""
    assert check_out(visitor).location == "/login/sent"
    return delivered_link(mailbox)


def orders(shop):
    return shop.rows("SELECT name, phone, note FROM orders ORDER BY id")


def ordered(shop):
    return shop.rows("SELECT book_id, quantity FROM order_lines ORDER BY book_id")


def in_cart(shop):
    return shop.rows("SELECT book_id, quantity FROM cart_items ORDER BY book_id")


def count(shop, *tables):
    return [shop.rows(f"SELECT count(*) FROM {table}")[0] for table in tables]


def test_a_visitor_orders_with_an_address_one_e_mail_and_one_press(shop, visitor, emma, mailbox):
    assert 'href="/checkout">Check out' in visitor.get("/cart").text
    sent = visitor.follow(check_out(visitor).location)
    assert "We've sent a link to ada@example.com" in text_of(sent)
    assert "Order 1 \N{MULTIPLICATION SIGN} Emma , €9.50 Total: €9.50" in text_of(sent)
    done = press(visitor, delivered_link(mailbox))
    assert "Thank you. Your books are reserved for collection." in text_of(visitor.follow(done.location))
    assert (orders(shop), ordered(shop), shop.broken()) == ([tuple(CONTACT.values())], [(emma, 1)], [])


def test_nothing_is_ordered_before_the_press(shop, visitor, link, emma):
    visitor.get(link)
    assert count(shop, "users", "orders", "cart_items", "movements") == [0, 0, 0, 1]
    assert (shop.stock(emma), in_cookie(visitor)) == (3, [emma])


def test_each_label_on_the_page_of_a_link_has_its_own_field(visitor, link):
    ids = re.findall(r' id="([^"]+)"', visitor.get(link).text)
    assert ("order" in ids, sorted(set(ids)) == sorted(ids)) == (True, True)


# ---------------------------------------------------------------- one link for everything


def test_an_order_and_a_reservation_of_the_same_browser_share_one_link(shop, visitor, emma, mailbox):
    persuasion = shop.book("Persuasion")
    start_to_reserve(visitor, persuasion)
    check_out(visitor)
    link = delivered_link(mailbox)
    assert "Log in, reserve for collection and reserve the rest" in visitor.get(link).text
    press(visitor, link)
    assert (ordered(shop), shop.statuses(persuasion), shop.broken()) == ([(emma, 1)], ["waiting"], [])


def test_a_second_checkout_replaces_the_first(shop, visitor, link, emma, sanditon):
    add_to_cart(visitor, sanditon)
    check_out(visitor, note="Ring once")
    press(visitor, link)
    assert (ordered(shop), [note for *_, note in orders(shop)]) == ([(emma, 1), (sanditon, 1)], ["Ring once"])


def test_another_browser_cannot_add_an_order_to_a_link(shop, web_client, visitor, mailbox):
    victim, persuasion = web_client(), shop.book("Persuasion")
    start_to_reserve(victim, persuasion)
    check_out(visitor, email=ADA)
    link = delivered_link(mailbox)
    assert "Emma" not in text_of(victim.get(link))
    press(victim, link)
    assert (count(shop, "orders", "cart_items"), shop.statuses(persuasion)) == ([0, 0], ["waiting"])


# ---------------------------------------------------------------- the press


def test_what_is_edited_on_the_page_of_the_link_is_ordered(shop, visitor, link):
    press(visitor, link, name="Augusta Ada King", note="", phone="030 5678")
    assert orders(shop) == [("Augusta Ada King", "030 5678", None)]


def test_a_wrong_contact_is_refused_and_nothing_is_done(shop, visitor, link):
    answer = press(visitor, link, name=" ")
    assert (answer.status_code, "Enter your name." in text_of(answer)) == (400, True)
    assert count(shop, "users", "orders") == [0, 0]


def test_the_ordered_books_leave_both_carts_and_the_others_stay(shop, visitor, link, emma, sanditon):
    persuasion = shop.book("Persuasion", stock=1)
    shop.fill_cart(shop.customer(ADA), {emma: 2, persuasion: 1})
    add_to_cart(visitor, sanditon)
    press(visitor, link)
    assert (ordered(shop), in_cart(shop)) == ([(emma, 1)], [(sanditon, 1), (persuasion, 1)])
    assert in_cookie(visitor) == []


def test_on_a_second_device_the_link_needs_one_more_confirmation(shop, web_client, link, emma):
    phone = web_client()
    assert press(phone, link).status_code == 400
    assert count(shop, "users", "orders") == [0, 0]
    assert press(phone, link, confirmed="y").location == "/orders/1"
    assert (ordered(shop), phone.get("/orders/1").status_code, shop.broken()) == ([(emma, 1)], 200, [])


@pytest.fixture
def phone(web_client, emma, sanditon):
    """A second device, with two books in its cart."""
    browser = web_client()
    add_to_cart(browser, emma)
    add_to_cart(browser, sanditon)
    return browser


@pytest.mark.parametrize("take_cart", [None, "y"])
def test_the_cart_of_a_second_device_is_merged_only_if_asked_to(shop, phone, link, take_cart):
    emma, sanditon = in_cookie(phone)
    shop.fill_cart(shop.customer(ADA), {emma: 1})
    press(phone, link, confirmed="y", take_cart=take_cart)
    assert (ordered(shop), in_cart(shop)) == ([(emma, 1)], [(sanditon, 1)] if take_cart else [])


def test_only_the_browser_of_the_press_is_logged_in(web_client, visitor, link):
    press(web_client(), link, confirmed="y")
    assert visitor.get("/orders").location == "/login?next=/orders"


def test_an_order_that_is_left_out_is_forgotten_and_its_books_stay_in_the_cart(shop, visitor, link, emma):
    assert press(visitor, link, order=None).location == "/"
    assert (count(shop, "orders", "link_actions"), in_cart(shop)) == ([0, 0], [(emma, 1)])


@pytest.fixture(params=["the same browser", "a second device"])
def device(request, visitor, web_client):
    return visitor if request.param == "the same browser" else web_client()


def test_an_order_that_has_become_short_becomes_the_cart(shop, device, link, emma):
    shop.set_stock(emma, 0)
    assert "The button puts your books into your cart" in text_of(device.get(link))
    answer = press(device, link, note="Ring once", confirmed="y")
    assert (answer.location, count(shop, "orders"), in_cart(shop)) == ("/checkout", [0], [(emma, 1)])
    page = device.get("/checkout")
    assert "Some books have sold out meanwhile. Nothing was ordered" in text_of(page)
    assert [fields_of(page.text)[name] for name in CONTACT] == [["Ada Lovelace"], ["030 1234"], ["Ring once"]]


def test_a_book_that_sells_out_while_the_page_is_open_is_shown_before_it_becomes_the_cart(shop, visitor, link, emma):
    fields = fields_of(visitor.get(link).text)
    shop.set_stock(emma, 0)
    again = visitor.post(link, **fields)
    assert (again.status_code, "We don't have enough copies" in text_of(again), in_cart(shop)) == (409, True, [])
    assert press(visitor, link).location == "/checkout"
    assert (count(shop, "orders"), in_cart(shop)) == ([0], [(emma, 1)])


def test_a_button_that_promises_the_cart_never_orders(shop, visitor, link, emma):
    shop.set_stock(emma, 0)
    fields = fields_of(visitor.get(link).text)
    shop.set_stock(emma, 3)
    assert visitor.post(link, **fields).status_code == 409
    assert (count(shop, "orders"), in_cart(shop)) == ([0], [])


def test_a_second_click_with_the_cookie_of_before_merges_nothing_again(shop, visitor, link):
    twin = WebClient(shop.app)
    fields = fields_of(visitor.get(link).text)
    twin.client.set_cookie("bookshop", visitor.client.get_cookie("bookshop").value)
    assert [visitor.post(link, **fields).status_code, twin.post(link, **fields).status_code] == [303, 303]
    assert (count(shop, "orders"), in_cart(shop)) == ([1], [])


def test_the_kept_contact_is_used_for_one_order(shop, visitor, link, emma):
    shop.set_stock(emma, 0)
    press(visitor, link)
    shop.set_stock(emma, 3)
    assert visitor.post("/checkout", **fields_of(visitor.get("/checkout").text)).location == "/orders/1"
    assert (orders(shop), count(shop, "link_actions")) == ([tuple(CONTACT.values())], [0])
    shop.fill_cart(1, {emma: 1})
    assert fields_of(visitor.get("/checkout").text)["note"] == [""]


def test_a_price_that_changed_while_the_page_was_open_is_refused(shop, visitor, link, emma):
    fields = fields_of(visitor.get(link).text)
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    refused = visitor.post(link, **{**fields, "note": "Ring once"})
    assert (refused.status_code, count(shop, "users", "orders")) == (409, [0, 0])
    assert ("€10.50" in text_of(refused), "Ring once" in refused.text) == (True, True)
    assert visitor.post(link, **fields_of(refused.text)).location == "/orders/1"


@pytest.fixture
def one_open_order(app, shop, sanditon, link, monkeypatch):
    """Let a customer have one open order, which Ada already has."""
    limited = app.config["SETTINGS"].model_copy(update={"max_open_orders": 1})
    monkeypatch.setitem(app.config, "SETTINGS", limited)
    shop.order(shop.customer(ADA), {sanditon: 1})


@pytest.mark.usefixtures("one_open_order")
def test_too_many_open_orders_are_reported_on_the_page_of_the_link(shop, visitor, link):
    refused = press(visitor, link)
    assert (refused.status_code, count(shop, "orders")) == (409, [1])
    assert "Collect or cancel one, then order again." in text_of(refused)
    assert press(visitor, link, order=None).location == "/"


def test_a_double_click_places_one_order(shop, visitor, link):
    fields = fields_of(visitor.get(link).text)
    assert [visitor.post(link, **fields).status_code for _click in range(2)] == [303, 303]
    assert (count(shop, "orders", "users"), shop.broken()) == ([1, 1], [])


def test_two_clicks_at_once_place_one_order(shop, visitor, link):
    click = partial(visitor.post, link, **fields_of(visitor.get(link).text))
    answers = races.interleave(INSERT_ORDER, click, click)
    assert [answer.status_code for answer in answers] == [303, 303]
    assert (count(shop, "orders", "users"), shop.broken()) == ([1, 1], [])


def test_the_link_is_void_after_its_account_was_deleted(shop, visitor, link):
    user_id = shop.customer(ADA)
    fields = fields_of(visitor.get(link).text)
    shop.commit(lambda: services.people().delete(user_id, PASSWORD))
    assert visitor.post(link, **fields).status_code == 404
    assert count(shop, "orders", "link_actions") == [0, 0]


def test_staff_are_logged_in_and_told_that_they_cannot_order(shop, visitor, link, emma):
    shop.staff(ADA)
    answer = press(visitor, link)
    assert "Emma: Staff accounts can neither reserve nor order." in text_of(visitor.follow(answer.location))
    assert (count(shop, "orders", "cart_items"), shop.stock(emma)) == ([0, 0], 3)


# ---------------------------------------------------------------- races


@pytest.fixture
def last_copy(shop, api_client, visitor, link, emma):
    """One copy is left: return the press of the visitor's link, and Ben's order of the same book."""
    shop.fill_cart(shop.customer(BEN), {emma: 1})
    shop.set_stock(emma, 1)
    ben = api_client(BEN)
    return partial(visitor.post, link, **fields_of(visitor.get(link).text)), partial(ben.post, "/api/v1/orders", {})


def test_a_copy_that_is_sold_after_the_link_was_read_is_not_sold_again(shop, visitor, link, emma, last_copy):
    refused, sold = races.interleave(READ_STARTED, *last_copy)
    assert (refused.status_code, sold.status_code, shop.stock(emma), shop.broken()) == (409, 201, 0, [])
    assert press(visitor, link).location == "/checkout"


def test_the_order_of_a_link_and_another_order_follow_one_another(shop, emma, last_copy):
    placed, refused = races.interleave(INSERT_ORDER, *last_copy)
    assert (placed.location, refused.json["code"]) == ("/orders/1", "ORDER_INSUFFICIENT_STOCK")
    assert (shop.stock(emma), shop.broken()) == (0, [])


def test_without_the_books_lock_the_last_copy_is_sold_twice(app, shop, last_copy):
    press_button, order = last_copy
    with races.without_lock(app, WITHOUT_LOCKS):
        races.interleave(INSERT_ORDER, press_button, order, races.LONG)
    assert (count(shop, "orders"), shop.broken() == []) == ([2], False)
