"""The checkout as a customer meets it: one page, one button, and what happens when others were faster."""

import re

import pytest

from bookshop import create_app
from bookshop.web import services
from tests.support.clients import WebClient, text_of
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN = "ada@example.com", "ben@example.com"
HIDDEN = re.compile(r'name="(key|shown)"[^>]* value="([^"]*)"')
SAID = {"name": "Ada Lovelace", "phone": "030 1234", "note": "Ring twice"}


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


@pytest.fixture
def emma(shop, ada):
    """A book of which there are three copies, one of them in Ada's cart."""
    book_id = shop.book("Emma", stock=3)
    shop.fill_cart(1, {book_id: 1})
    return book_id


@pytest.fixture
def posting(ada, emma, database_url):
    """Ada's browser in a shop that posts orders."""
    browser = WebClient(create_app(settings_for(database_url, post_orders=True)))
    browser.client.set_cookie("bookshop", ada.client.get_cookie("bookshop").value)
    return browser


def opened(browser):
    """What the checkout page holds besides what is typed."""
    page = browser.get("/checkout")
    return {**dict(HIDDEN.findall(page.text)), "csrf_token": browser.csrf_token("/checkout")}


def send(browser, page=None, **typed):
    """Send the checkout page, as it was opened or as it is now."""
    return browser.post("/checkout", **(page or opened(browser)), **{**SAID, **typed})


def orders(shop):
    return shop.rows("SELECT name, phone, note, delivery, address FROM orders ORDER BY id")


def in_cart(shop):
    return shop.rows("SELECT book_id, quantity FROM cart_items ORDER BY book_id")


# ---------------------------------------------------------------- the page


def test_the_page_shows_what_is_ordered_and_what_it_costs(shop, ada, emma):
    shop.fill_cart(1, {emma: 1, shop.book("Sanditon", stock=1, price_cents=0): 1})
    words = text_of(ada.get("/checkout"))
    assert "€9.50 = €19.00" in words
    assert "Total €19.00 and a price on request" in words
    assert "You pay in the shop when you collect." in words


def test_what_is_ordered_in_two_currencies_has_two_totals(shop, ada, emma):
    shop.fill_cart(1, {shop.book("Sanditon", stock=1, price_cents=1200, currency="GBP"): 1})
    assert "Total €9.50 + £12.00" in text_of(ada.get("/checkout"))


def test_one_button_places_the_order_and_leads_to_its_page(shop, ada, emma):
    answer = send(ada)
    assert (answer.status_code, answer.location) == (303, "/orders/1")
    assert orders(shop) == [("Ada Lovelace", "030 1234", "Ring twice", "collect", None)]
    assert (shop.stock(emma), in_cart(shop), shop.broken()) == (2, [], [])
    words, number = text_of(ada.get("/orders/1")), shop.rows("SELECT number FROM orders")[0]
    assert "Thank you! Your order is placed." in words
    assert f"Order {number}" in words


def test_a_price_that_changed_since_the_cart_was_filled_is_said(shop, ada, emma):
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    words = text_of(ada.get("/checkout"))
    assert "€10.50 The price changed: it was €9.50 when you put it into your cart." in words


def test_the_contact_of_the_last_order_is_filled_in_but_not_its_note(shop, ada, emma):
    send(ada)
    shop.fill_cart(1, {emma: 1})
    page = ada.get("/checkout").text
    assert ('value="Ada Lovelace"' in page, 'value="030 1234"' in page, "Ring twice" in page) == (True, True, False)


def test_an_empty_cart_leads_to_the_cart(ada):
    for answer in (ada.get("/checkout"), ada.submit("/checkout", page="/", **SAID)):
        assert (answer.status_code, answer.location) == (303, "/cart")
    assert "Your cart is empty, so there is nothing to order." in text_of(ada.get("/"))


def test_what_enter_presses_is_the_button_that_orders(shop, ada, emma):
    shop.set_stock(emma, 0)
    buttons = re.findall(r"<button[^>]*>", ada.get("/checkout").text.partition('class="checkout"')[2])
    assert ('name="' in buttons[0], 'tabindex="-1"' in buttons[0], 'name="reserve"' in buttons[1]) == (
        False,
        True,
        True,
    )


# ---------------------------------------------------------------- what is typed

WRONG = {
    "name": ["", "   ", "x" * 201, "a\nb", "nul\0", "\x1b[31m", "\ufffd"],
    "phone": ["0" * 51, "0\n1", "nul\0"],
    "note": ["x" * 1001, "nul\0", "bell\a"],
}


@pytest.mark.parametrize(("field", "typed"), [(field, typed) for field in WRONG for typed in WRONG[field]])
def test_what_cannot_be_kept_is_refused_at_its_field_and_nothing_else_is_lost(shop, ada, emma, field, typed):
    answer = send(ada, **{field: typed})
    assert (answer.status_code, orders(shop), shop.stock(emma)) == (400, [], 3)
    assert "please mend what is marked below" in text_of(answer)
    assert re.search(rf'name="{field}"[^>]*aria-invalid|aria-invalid[^>]*name="{field}"', answer.text)
    others = {name: kept for name, kept in SAID.items() if name != field}
    assert all(kept in answer.text for kept in others.values())


LONGEST = {"name": "N" * 200, "phone": "0" * 50, "note": "é\r\n" * 333 + "é"}


def test_what_is_just_short_enough_is_kept_in_one_form_of_line_ends(shop, ada, emma):
    assert send(ada, **LONGEST).status_code == 303
    assert orders(shop) == [("N" * 200, "0" * 50, ("é\n" * 333 + "é"), "collect", None)]


def test_phone_and_note_may_be_left_out(shop, ada, emma):
    send(ada, phone=" ", note="")
    assert orders(shop) == [("Ada Lovelace", None, None, "collect", None)]


def test_what_is_typed_is_only_ever_text(shop, ada, emma):
    evil = "<script>alert(1)</script>"
    refused = send(ada, name=evil, note=evil, phone="0" * 51)
    send(ada, name=evil, note=evil)
    pages = [refused.text, ada.get("/orders/1").text]
    assert [(evil in page, page.count("&lt;script&gt;alert(1)")) for page in pages] == [(False, 2), (False, 2)]


# ---------------------------------------------------------------- sent twice


def test_the_same_page_sent_twice_is_one_order(shop, ada, emma):
    page = opened(ada)
    first, second = send(ada, page), send(ada, page)
    assert (first.location, second.status_code, second.location) == ("/orders/1", 303, "/orders/1")
    assert (len(orders(shop)), shop.stock(emma), shop.broken()) == (1, 2, [])


def test_the_same_page_with_another_note_or_another_cart_leads_to_the_same_order(shop, ada, emma):
    page = opened(ada)
    send(ada, page)
    shop.fill_cart(1, {emma: 1})
    assert send(ada, page, note="Ring three times").location == "/orders/1"
    assert ([note for _name, _phone, note, *_rest in orders(shop)], in_cart(shop)) == (["Ring twice"], [(emma, 1)])


def test_a_page_that_shows_another_cart_orders_nothing_under_a_key_that_has_its_order(shop, ada, emma):
    page = opened(ada)
    send(ada, page)
    shop.fill_cart(1, {emma: 2})
    answer = send(ada, {**opened(ada), "key": page["key"]})
    assert (answer.status_code, len(orders(shop)), in_cart(shop)) == (400, 1, [(emma, 2)])
    assert send(ada, {**page, **dict(HIDDEN.findall(answer.text))}).location == "/orders/2"


def test_a_total_is_of_what_is_left_and_of_nothing_there_is_none(shop, ada, emma):
    shop.fill_cart(1, {emma: 2})
    shop.set_stock(emma, 2)
    assert "Total of what is left €19.00" in text_of(ada.get("/checkout"))
    shop.set_stock(emma, 0)
    assert "Total" not in text_of(ada.get("/checkout"))


def test_a_page_that_was_refused_is_sent_again_with_the_same_key(shop, ada, emma):
    page = opened(ada)
    assert send(ada, page, name="").status_code == 400
    shop.set_stock(emma, 0)
    assert send(ada, page).status_code == 409
    shop.set_stock(emma, 1)
    assert [send(ada, page).location for _try in range(2)] == ["/orders/1", "/orders/1"]


@pytest.mark.parametrize("key", ["", "x", "0" * 31, "0" * 33, "G" * 32, "0" * 201, "\0" * 32, "é" * 32])
def test_a_key_that_the_page_never_had_is_replaced(shop, ada, emma, key):
    page = {**opened(ada), "key": key}
    assert send(ada, page).location == "/orders/1"
    assert key not in shop.rows("SELECT key FROM idempotency_records")
    assert send(ada, page).location == "/cart"


def test_the_key_of_somebody_else_is_of_no_use(shop, ada, emma, web_client):
    ben, page = shop.customer(BEN), opened(ada)
    send(ada, page)
    shop.fill_cart(ben, {emma: 1})
    browser = web_client(BEN)
    assert send(browser, {**opened(browser), "key": page["key"]}).location == "/orders/2"
    assert shop.rows("SELECT user_id FROM orders ORDER BY id") == [1, ben]


def test_a_key_that_a_program_used_for_something_else_is_replaced_and_nothing_is_ordered(shop, ada, emma, api_client):
    page = opened(ada)
    program = api_client(ADA)
    program.headers["Idempotency-Key"] = page["key"]
    assert program.post("/api/v1/orders", {}).status_code == 201
    shop.fill_cart(1, {emma: 1})
    answer = send(ada, page)
    assert (answer.status_code, "Please place the order once more." in text_of(answer)) == (400, True)
    again = {**page, **dict(HIDDEN.findall(answer.text))}
    assert send(ada, again).location == "/orders/2"


# ---------------------------------------------------------------- others were faster


def test_a_book_that_was_sold_meanwhile_is_said_kindly_and_nothing_is_taken_or_lost(shop, ada, emma):
    shop.fill_cart(1, {shop.book("Sanditon", stock=1): 1})
    page = opened(ada)
    shop.set_stock(emma, 0)
    before = shop.everything()
    answer = send(ada, page)
    assert (answer.status_code, shop.everything()) == (409, before)
    words = text_of(answer)
    assert "Emma was sold to somebody else a moment ago." in words
    assert [label in words for label in ("Reserve instead Emma", "Leave it out Emma", "Leave it out Sanditon")] == [
        True,
        True,
        False,
    ]
    assert all(typed in answer.text for typed in SAID.values())


def test_the_page_says_what_is_short_before_anybody_tries(shop, ada, emma):
    shop.fill_cart(1, {emma: 2})
    shop.set_stock(emma, 2)
    answer = ada.get("/checkout")
    assert (answer.status_code, "Only 2 left. You want 3" in text_of(answer)) == (200, True)
    assert 'name="take"' in answer.text


def test_take_what_is_left_keeps_what_was_typed_and_then_orders(shop, ada, emma):
    shop.fill_cart(1, {emma: 2})
    shop.set_stock(emma, 2)
    answer = send(ada, name="A name", take=emma)
    assert (answer.status_code, "A name" in answer.text, in_cart(shop)) == (200, True, [(emma, 2)])
    again = {**dict(HIDDEN.findall(answer.text)), "csrf_token": ada.csrf_token("/checkout")}
    assert send(ada, again).location == "/orders/1"
    assert (shop.stock(emma), shop.broken()) == (0, [])


def test_reserve_instead_keeps_what_was_typed_and_leaves_the_rest_to_be_ordered(shop, ada, emma):
    sanditon = shop.book("Sanditon", stock=1)
    shop.fill_cart(1, {sanditon: 1})
    shop.set_stock(emma, 0)
    answer = send(ada, note="A note", phone="x" * 51, reserve=emma)
    assert (answer.status_code, "A note" in answer.text, "Reserved." in text_of(answer)) == (200, True, True)
    assert (in_cart(shop), shop.statuses(emma)) == ([(sanditon, 1)], ["waiting"])


def test_who_reserves_the_only_book_of_the_cart_goes_on_to_my_reservations(shop, ada, emma):
    shop.set_stock(emma, 0)
    assert send(ada, reserve=emma).location == "/reservations"
    assert "Reserved. As soon as the book is back, you get an e-mail" in text_of(ada.get("/reservations"))


def test_who_leaves_out_the_only_book_of_the_cart_goes_on_to_the_cart(shop, ada, emma):
    shop.set_stock(emma, 0)
    assert [send(ada, remove=emma).location for _click in range(2)] == ["/cart", "/cart"]
    assert in_cart(shop) == []


def test_a_book_that_is_back_by_the_time_somebody_reserves_it_can_be_ordered(shop, ada, emma):
    answer = send(ada, reserve=emma)
    assert (answer.status_code, "so you can order it now" in text_of(answer)) == (409, True)
    assert (in_cart(shop), shop.statuses(emma)) == ([(emma, 1)], [])


def test_a_book_that_is_no_longer_sold_can_only_be_left_out(shop, ada, emma):
    shop.withdraw(emma)
    answer = send(ada, reserve=emma)
    assert ("No longer sold." in text_of(answer), 'name="reserve"' in answer.text) == (True, False)
    assert send(ada).status_code == 409
    assert send(ada, remove=emma).location == "/cart"


@pytest.mark.parametrize("name", ["take", "reserve", "remove"])
@pytest.mark.parametrize("value", ["", "abc", "0", "99", "-1", str(2**31), str(2**63), "9" * 400])
def test_a_button_beside_no_book_that_there_is_changes_nothing(shop, ada, emma, name, value):
    before = shop.everything()
    answer = send(ada, **{name: value})
    assert (answer.status_code, shop.everything(), "Ring twice" in answer.text) == (200, before, True)


def test_the_buttons_beside_a_book_need_the_token_of_the_page(shop, ada, emma):
    page = {**opened(ada), "csrf_token": "wrong"}
    answer = send(ada, page, remove=emma)
    assert (answer.status_code, in_cart(shop), "Ring twice" in answer.text) == (400, [(emma, 1)], True)


@pytest.mark.parametrize("change", ["price", "cart"])
def test_what_changed_since_the_page_was_opened_is_shown_before_it_is_ordered(shop, ada, emma, change):
    page = opened(ada)
    if change == "price":
        shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    else:
        shop.fill_cart(1, {emma: 1})
    answer = send(ada, page)
    assert (answer.status_code, orders(shop), "Ring twice" in answer.text) == (409, [], True)
    assert "changed since you saw it" in text_of(answer)
    assert send(ada, {**page, **dict(HIDDEN.findall(answer.text))}).location == "/orders/1"


@pytest.mark.parametrize("shown", ["", "x", "1x1@1EUR"])
def test_what_nobody_was_shown_is_not_ordered(shop, ada, emma, shown):
    assert send(ada, {**opened(ada), "shown": shown}).status_code == 409
    assert orders(shop) == []


# ---------------------------------------------------------------- by post


def test_where_the_shop_posts_nothing_an_address_is_not_asked_for(shop, ada, emma):
    assert 'name="address"' not in ada.get("/checkout").text
    answer = send(ada, delivery="post", address="1 Fen Street")
    assert (answer.status_code, orders(shop)) == (400, [])
    assert "This shop does not post orders: please collect it." in text_of(answer)


def test_an_order_is_posted_to_the_address_that_was_typed(shop, posting):
    assert "We contact you about postage and payment before we send it." in text_of(posting.get("/checkout"))
    assert send(posting, delivery="post", address="1 Fen Street\r\nCambridge").location == "/orders/1"
    assert orders(shop) == [(*SAID.values(), "post", "1 Fen Street\nCambridge")]
    assert "by post Address 1 Fen Street Cambridge" in text_of(posting.get("/orders/1"))


def test_without_an_address_nothing_is_posted(shop, posting):
    answer = send(posting, delivery="post", address=" ")
    assert (answer.status_code, orders(shop)) == (400, [])
    assert "Please give the address to which we post it." in text_of(answer)


@pytest.mark.parametrize("typed", [{"address": "x" * 1001}, {"address": "nul\0"}, {"delivery": "drone"}])
def test_an_odd_address_or_way_of_delivery_is_refused(shop, posting, typed):
    answer = send(posting, **{"delivery": "post", "address": "1 Fen Street", **typed})
    assert (answer.status_code, orders(shop)) == (400, [])


def test_the_address_of_who_collects_is_not_kept(shop, posting):
    send(posting, delivery="collect", address="1 Fen Street")
    assert orders(shop) == [(*SAID.values(), "collect", None)]
