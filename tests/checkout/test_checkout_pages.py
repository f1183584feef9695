"""The checkout pages: one page, one button, and what happens when books sell out meanwhile."""

import re

import pytest

from bookshop.web import services
from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN = "ada@example.com", "ben@example.com"
HIDDEN = re.compile(r'name="(key|shown)"[^>]* value="([^"]*)"')
FIELDS = {"name": "Ada Lovelace", "phone": "030 1234", "note": "Ring twice"}


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


@pytest.fixture
def emma(shop, ada):
    """A book with three copies, one of them in Ada's cart."""
    book_id = shop.book("Emma", stock=3)
    shop.fill_cart(1, {book_id: 1})
    return book_id


@pytest.fixture
def posting(ada, emma, shop):
    """Ada's browser in a shop that posts orders."""
    shop.describe(post_orders=True, postage_cents=350)
    return ada


def opened(browser):
    """Return the hidden fields of the checkout page."""
    page = browser.get("/checkout")
    return {**dict(HIDDEN.findall(page.text)), "csrf_token": browser.csrf_token("/checkout")}


def send(browser, page=None, **typed):
    """Submit the checkout page, as opened before or as it is now."""
    return browser.post("/checkout", **(page or opened(browser)), **{**FIELDS, **typed})


def orders(shop):
    return shop.rows("SELECT name, phone, note, delivery, address FROM orders ORDER BY id")


def in_cart(shop):
    return shop.rows("SELECT book_id, quantity FROM cart_items ORDER BY book_id")


# ---------------------------------------------------------------- page


def test_the_page_shows_the_items_and_the_total(shop, ada, emma):
    shop.fill_cart(1, {emma: 1, shop.book("Sanditon", stock=1, price_cents=0): 1})
    words = text_of(ada.get("/checkout"))
    assert "€9.50 Together €19.00" in words
    assert "Total €19.00 and a price on request" in words
    assert "You buy the books when you pay in the shop." in words


def test_an_order_in_two_currencies_has_two_totals(shop, ada, emma):
    shop.fill_cart(1, {shop.book("Sanditon", stock=1, price_cents=1200, currency="GBP"): 1})
    assert "Total €9.50 + £12.00" in text_of(ada.get("/checkout"))


def test_one_button_places_the_order_and_redirects_to_it(shop, ada, emma):
    answer = send(ada)
    assert (answer.status_code, answer.location) == (303, "/orders/1")
    assert orders(shop) == [("Ada Lovelace", "030 1234", "Ring twice", "collect", None)]
    assert (shop.stock(emma), in_cart(shop), shop.broken()) == (2, [], [])
    words, number = text_of(ada.get("/orders/1")), shop.rows("SELECT number FROM orders")[0]
    assert "Thank you. Your books are reserved for collection." in words
    assert f"Order {number}" in words


def test_a_price_change_since_the_cart_was_filled_is_shown(shop, ada, emma):
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    words = text_of(ada.get("/checkout"))
    assert "€10.50 The price has changed: it was €9.50 when you added it to your cart." in words


def test_the_last_orders_contact_is_filled_in_but_not_its_note(shop, ada, emma):
    send(ada)
    shop.fill_cart(1, {emma: 1})
    page = ada.get("/checkout").text
    assert ('value="Ada Lovelace"' in page, 'value="030 1234"' in page, "Ring twice" in page) == (True, True, False)


def test_an_empty_cart_redirects_to_the_cart(ada):
    for answer in (ada.get("/checkout"), ada.submit("/checkout", page="/", **FIELDS)):
        assert (answer.status_code, answer.location) == (303, "/cart")
    assert "Your cart is empty, so there is nothing to order." in text_of(ada.get("/"))


def test_enter_presses_the_button_that_orders(shop, ada, emma):
    shop.set_stock(emma, 0)
    buttons = re.findall(r"<button[^>]*>", ada.get("/checkout").text.partition('class="with-summary"')[2])
    assert ('name="' in buttons[0], 'tabindex="-1"' in buttons[0], 'name="reserve"' in buttons[1]) == (
        False,
        True,
        True,
    )


# ---------------------------------------------------------------- typed values

WRONG = {
    "name": ["", "   ", "x" * 201, "a\nb", "nul\0", "\x1b[31m", "\ufffd"],
    "phone": ["0" * 51, "0\n1", "nul\0"],
    "note": ["x" * 1001, "nul\0", "bell\a"],
}


@pytest.mark.parametrize(("field", "typed"), [(field, typed) for field in WRONG for typed in WRONG[field]])
def test_an_unstorable_value_is_refused_at_its_field_and_nothing_else_is_lost(shop, ada, emma, field, typed):
    answer = send(ada, **{field: typed})
    assert (answer.status_code, orders(shop), shop.stock(emma)) == (400, [], 3)
    assert "Correct the field marked below." in text_of(answer)
    assert re.search(rf'name="{field}"[^>]*aria-invalid|aria-invalid[^>]*name="{field}"', answer.text)
    others = {name: kept for name, kept in FIELDS.items() if name != field}
    assert all(kept in answer.text for kept in others.values())


LONGEST = {"name": "N" * 200, "phone": "0" * 50, "note": "é\r\n" * 333 + "é"}


def test_text_of_maximum_length_is_kept_with_uniform_line_ends(shop, ada, emma):
    assert send(ada, **LONGEST).status_code == 303
    assert orders(shop) == [("N" * 200, "0" * 50, ("é\n" * 333 + "é"), "collect", None)]


def test_phone_and_note_are_optional(shop, ada, emma):
    send(ada, phone=" ", note="")
    assert orders(shop) == [("Ada Lovelace", None, None, "collect", None)]


def test_typed_text_is_never_markup(shop, ada, emma):
    evil = "<script>alert(1)</script>"
    refused = send(ada, name=evil, note=evil, phone="0" * 51)
    send(ada, name=evil, note=evil)
    pages = [refused.text, ada.get("/orders/1").text]
    assert [(evil in page, page.count("&lt;script&gt;alert(1)")) for page in pages] == [(False, 2), (False, 2)]


# ---------------------------------------------------------------- submitted twice


def test_the_same_page_sent_twice_places_one_order(shop, ada, emma):
    page = opened(ada)
    first, second = send(ada, page), send(ada, page)
    assert (first.location, second.status_code, second.location) == ("/orders/1", 303, "/orders/1")
    assert (len(orders(shop)), shop.stock(emma), shop.broken()) == (1, 2, [])


def test_the_same_page_with_another_note_or_cart_leads_to_the_same_order(shop, ada, emma):
    page = opened(ada)
    send(ada, page)
    shop.fill_cart(1, {emma: 1})
    assert send(ada, page, note="Ring three times").location == "/orders/1"
    assert ([note for _name, _phone, note, *_rest in orders(shop)], in_cart(shop)) == (["Ring twice"], [(emma, 1)])


def test_a_used_key_with_another_cart_orders_nothing(shop, ada, emma):
    page = opened(ada)
    send(ada, page)
    shop.fill_cart(1, {emma: 2})
    answer = send(ada, {**opened(ada), "key": page["key"]})
    assert (answer.status_code, len(orders(shop)), in_cart(shop)) == (400, 1, [(emma, 2)])
    assert send(ada, {**page, **dict(HIDDEN.findall(answer.text))}).location == "/orders/2"


def test_a_total_covers_only_copies_in_stock_and_is_absent_without_any(shop, ada, emma):
    shop.fill_cart(1, {emma: 2})
    shop.set_stock(emma, 2)
    assert "Total for copies in stock €19.00" in text_of(ada.get("/checkout"))
    shop.set_stock(emma, 0)
    assert "Total" not in text_of(ada.get("/checkout"))


def test_a_refused_page_is_sent_again_with_the_same_key(shop, ada, emma):
    page = opened(ada)
    assert send(ada, page, name="").status_code == 400
    shop.set_stock(emma, 0)
    assert send(ada, page).status_code == 409
    shop.set_stock(emma, 1)
    assert [send(ada, page).location for _try in range(2)] == ["/orders/1", "/orders/1"]


@pytest.mark.parametrize("key", ["", "x", "0" * 31, "0" * 33, "G" * 32, "0" * 201, "\0" * 32, "é" * 32])
def test_a_malformed_key_is_replaced(shop, ada, emma, key):
    page = {**opened(ada), "key": key}
    assert send(ada, page).location == "/orders/1"
    assert key not in shop.rows("SELECT key FROM idempotency_records")
    assert send(ada, page).location == "/cart"


def test_another_users_key_does_not_work(shop, ada, emma, web_client):
    ben, page = shop.customer(BEN), opened(ada)
    send(ada, page)
    shop.fill_cart(ben, {emma: 1})
    browser = web_client(BEN)
    assert send(browser, {**opened(browser), "key": page["key"]}).location == "/orders/2"
    assert shop.rows("SELECT user_id FROM orders ORDER BY id") == [1, ben]


def test_a_key_that_a_script_used_for_something_else_is_replaced_and_nothing_is_ordered(shop, ada, emma, api_client):
    page = opened(ada)
    program = api_client(ADA)
    program.headers["Idempotency-Key"] = page["key"]
    assert program.post("/api/v1/orders", {}).status_code == 201
    shop.fill_cart(1, {emma: 1})
    answer = send(ada, page)
    assert (answer.status_code, "Check your books and place the order again." in text_of(answer)) == (400, True)
    again = {**page, **dict(HIDDEN.findall(answer.text))}
    assert send(ada, again).location == "/orders/2"


def test_with_too_many_open_orders_the_page_says_what_to_do_and_keeps_what_was_typed(app, shop, ada, emma, monkeypatch):
    shop.order(1, {emma: 1})
    shop.fill_cart(1, {emma: 1})
    limited = app.config["SETTINGS"].model_copy(update={"max_open_orders": 1})
    monkeypatch.setitem(app.config, "SETTINGS", limited)
    answer = send(ada)
    assert (answer.status_code, len(orders(shop)), in_cart(shop)) == (409, 1, [(emma, 1)])
    assert "Collect or cancel one, then order again." in text_of(answer)
    assert all(typed in answer.text for typed in FIELDS.values())


# ---------------------------------------------------------------- sold out meanwhile


def test_a_book_sold_meanwhile_is_explained_and_nothing_is_sold_or_lost(shop, ada, emma):
    shop.fill_cart(1, {shop.book("Sanditon", stock=1): 1})
    page = opened(ada)
    shop.set_stock(emma, 0)
    before = shop.everything()
    answer = send(ada, page)
    assert (answer.status_code, shop.everything()) == (409, before)
    words = text_of(answer)
    assert "Emma has just sold out." in words
    assert [label in words for label in ("Reserve instead Emma", "Remove Emma", "Remove Sanditon")] == [
        True,
        True,
        False,
    ]
    assert all(typed in answer.text for typed in FIELDS.values())


def test_the_page_warns_about_short_stock_before_ordering(shop, ada, emma):
    shop.fill_cart(1, {emma: 2})
    shop.set_stock(emma, 2)
    answer = ada.get("/checkout")
    assert (answer.status_code, "Only 2 left. You asked for 3" in text_of(answer)) == (200, True)
    assert 'name="take"' in answer.text


def test_take_what_is_left_keeps_what_was_typed_and_can_be_ordered(shop, ada, emma):
    shop.fill_cart(1, {emma: 2})
    shop.set_stock(emma, 2)
    answer = send(ada, name="A name", take=emma)
    assert (answer.status_code, "A name" in answer.text, in_cart(shop)) == (200, True, [(emma, 2)])
    again = {**dict(HIDDEN.findall(answer.text)), "csrf_token": ada.csrf_token("/checkout")}
    assert send(ada, again).location == "/orders/1"
    assert (shop.stock(emma), shop.broken()) == (0, [])


def test_reserve_instead_keeps_what_was_typed_and_leaves_the_other_lines(shop, ada, emma):
    sanditon = shop.book("Sanditon", stock=1)
    shop.fill_cart(1, {sanditon: 1})
    shop.set_stock(emma, 0)
    answer = send(ada, note="A note", phone="x" * 51, reserve=emma)
    assert (answer.status_code, "A note" in answer.text, "Reserved." in text_of(answer)) == (200, True, True)
    assert (in_cart(shop), shop.statuses(emma)) == ([(sanditon, 1)], ["waiting"])


def test_reserving_the_only_book_of_the_cart_redirects_to_my_reservations(shop, ada, emma):
    shop.set_stock(emma, 0)
    assert send(ada, reserve=emma).location == "/reservations"
    assert "Reserved. We'll e-mail you when the book is back in stock." in text_of(ada.get("/reservations"))


def test_leaving_out_the_only_book_redirects_to_the_cart(shop, ada, emma):
    shop.set_stock(emma, 0)
    assert [send(ada, remove=emma).location for _click in range(2)] == ["/cart", "/cart"]
    assert in_cart(shop) == []


def test_a_book_restocked_just_before_it_is_reserved_can_be_ordered(shop, ada, emma):
    answer = send(ada, reserve=emma)
    assert (answer.status_code, "so you can order it now" in text_of(answer)) == (409, True)
    assert (in_cart(shop), shop.statuses(emma)) == ([(emma, 1)], [])


def test_a_withdrawn_book_can_only_be_left_out(shop, ada, emma):
    shop.withdraw(emma)
    answer = send(ada, reserve=emma)
    assert ("No longer sold." in text_of(answer), 'name="reserve"' in answer.text) == (True, False)
    assert send(ada).status_code == 409
    assert send(ada, remove=emma).location == "/cart"


@pytest.mark.parametrize("name", ["take", "reserve", "remove"])
@pytest.mark.parametrize("value", ["", "abc", "0", "99", "-1", str(2**31), str(2**63), "9" * 400])
def test_a_button_for_an_unknown_book_changes_nothing(shop, ada, emma, name, value):
    before = shop.everything()
    answer = send(ada, **{name: value})
    assert (answer.status_code, shop.everything(), "Ring twice" in answer.text) == (200, before, True)


def test_the_list_buttons_need_the_csrf_token_of_the_page(shop, ada, emma):
    page = {**opened(ada), "csrf_token": "wrong"}
    answer = send(ada, page, remove=emma)
    assert (answer.status_code, in_cart(shop), "Ring twice" in answer.text) == (400, [(emma, 1)], True)


@pytest.mark.parametrize("change", ["price", "cart"])
def test_changes_since_the_page_was_opened_are_shown_before_ordering(shop, ada, emma, change):
    page = opened(ada)
    if change == "price":
        shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    else:
        shop.fill_cart(1, {emma: 1})
    answer = send(ada, page)
    assert (answer.status_code, orders(shop), "Ring twice" in answer.text) == (409, [], True)
    assert "changed since you last saw it" in text_of(answer)
    assert send(ada, {**page, **dict(HIDDEN.findall(answer.text))}).location == "/orders/1"


@pytest.mark.parametrize("shown", ["", "x", "1x1@1EUR"])
def test_lines_that_were_not_shown_are_not_ordered(shop, ada, emma, shown):
    assert send(ada, {**opened(ada), "shown": shown}).status_code == 409
    assert orders(shop) == []


# ---------------------------------------------------------------- by post


def test_no_address_is_asked_for_if_the_shop_does_not_post(shop, ada, emma):
    assert 'name="address"' not in ada.get("/checkout").text
    answer = send(ada, delivery="post", address="1 Fen Street")
    assert (answer.status_code, orders(shop)) == (400, [])
    assert "This shop does not post orders. Collect this one in the shop." in text_of(answer)


def test_an_order_is_posted_to_the_address_that_was_typed(shop, posting):
    assert "Send by post for €3.50. We'll contact you about payment before we post it." in text_of(
        posting.get("/checkout")
    )
    assert send(posting, delivery="post", address="1 Fen Street\r\nCambridge").location == "/orders/1"
    assert orders(shop) == [(*FIELDS.values(), "post", "1 Fen Street\nCambridge")]
    assert "By post Address 1 Fen Street Cambridge" in text_of(posting.get("/orders/1"))


def test_without_an_address_nothing_is_posted(shop, posting):
    answer = send(posting, delivery="post", address=" ")
    assert (answer.status_code, orders(shop)) == (400, [])
    assert "Enter the address that we should post it to." in text_of(answer)


@pytest.mark.parametrize("typed", [{"address": "x" * 1001}, {"address": "nul\0"}, {"delivery": "drone"}])
def test_an_invalid_address_or_delivery_method_is_refused(shop, posting, typed):
    answer = send(posting, **{"delivery": "post", "address": "1 Fen Street", **typed})
    assert (answer.status_code, orders(shop)) == (400, [])


def test_the_address_of_a_collected_order_is_not_stored(shop, posting):
    send(posting, delivery="collect", address="1 Fen Street")
    assert orders(shop) == [(*FIELDS.values(), "collect", None)]
