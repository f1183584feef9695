"""The postage is in the total before an order is placed, and in every total after it."""

import csv
import io
import re

import pytest

from tests.support import mailbox as mails
from tests.support.clients import text_of
from tests.support.links import delivered_link, fields_of, press
from tests.support.routes import SHOP_FORM
from tests.support.visitors import add_to_cart, check_out

ADA = "ada@example.com"
HIDDEN = re.compile(r'name="(key|shown)"[^>]* value="([^"]*)"')
POST = {"delivery": "post", "address": "1 Fen Street"}
SETTINGS = {**SHOP_FORM, "post_orders": "y", "order_wording": "pay"}


@pytest.fixture
def emma(shop):
    """A book with stock in a shop that posts orders for €3.50, and for nothing from €30."""
    shop.describe(post_orders=True, postage_cents=350, postage_free_cents=3000)
    shop.customer(ADA)
    return shop.book("Emma", stock=9)


def opened(browser):
    page = browser.get("/checkout")
    return {**dict(HIDDEN.findall(page.text)), "csrf_token": browser.csrf_token("/checkout"), "name": "Ada"}


def postages(shop):
    return shop.rows("SELECT postage_cents, postage_currency FROM orders ORDER BY id")


def test_both_totals_are_shown_before_the_order_and_the_chosen_one_ever_after(shop, web_client, mailbox, emma):
    shop.staff()
    shop.fill_cart(1, {emma: 1})
    ada, staff = web_client(ADA), web_client("staff@example.com")
    page = text_of(ada.get("/checkout"))
    assert "Send by post for €3.50 (free from €30.00)." in page
    assert "Total €9.50 With postage €13.00" in page
    assert ada.post("/checkout", **opened(ada), **POST).location == "/orders/1"
    for read in (ada.get("/orders/1"), staff.get("/admin/orders/1")):
        assert re.search(r"Postage €3\.50 Total (1 )?€13\.00", text_of(read))
    for read in (ada.get("/orders"), staff.get("/admin/orders")):
        assert "€13.00" in text_of(read)
    (message,) = mailbox.deliver()
    assert all(
        re.search(r"Postage: €3\.50.*?Total: .*?€13\.00", mails.part(message, kind), re.DOTALL)
        for kind in ("plain", "html")
    )
    assert (postages(shop), shop.broken()) == ([(350, "EUR")], [])


def test_postage_is_free_from_a_total_and_costs_nothing_to_collect(shop, web_client, emma):
    ada = web_client(ADA)
    shop.fill_cart(1, {emma: 4})
    assert "Send by post free of charge (free from €30.00)." in text_of(ada.get("/checkout"))
    ada.post("/checkout", **opened(ada), **POST)
    shop.order(1, {emma: 1})
    shop.order(1, {emma: 1}, **POST)
    assert (postages(shop), shop.broken()) == ([(0, None), (0, None), (350, "EUR")], [])


def test_a_cart_with_too_few_copies_has_one_postage_that_of_what_can_be_ordered(shop, web_client, emma):
    shop.fill_cart(1, {emma: 1, shop.book("Sanditon", stock=1): 1})
    shop.execute("UPDATE cart_items SET quantity = 9 WHERE book_id <> :id", id=emma)
    words = text_of(web_client(ADA).get("/checkout"))
    assert "Total for copies in stock €19.00 With postage €22.50" in words
    assert "Send by post for €3.50 (free from €30.00)." in words
    assert "free of charge" not in words


def test_books_in_another_currency_do_not_count_towards_free_postage(shop, web_client, emma):
    shop.fill_cart(1, {emma: 1, shop.book("Sanditon", stock=1, price_cents=9900, currency="GBP"): 1})
    ada = web_client(ADA)
    assert "Total €9.50 + £99.00 With postage €13.00 + £99.00" in text_of(ada.get("/checkout"))
    shop.order(1, {emma: 2}, **POST)
    assert "Total €32.00 + £99.00" in text_of(ada.get("/orders/1"))


@pytest.mark.parametrize("change", [{"postage_cents": 900}, {"postage_free_cents": 900}, {"post_orders": False}])
def test_an_order_is_what_was_shown_or_refused(shop, web_client, emma, change):
    shop.fill_cart(1, {emma: 1})
    ada = web_client(ADA)
    page = opened(ada)
    shop.describe(**change)
    answer = ada.post("/checkout", **page, **POST)
    assert (answer.status_code >= 400, postages(shop), shop.stock(emma)) == (True, [], 9)
    again = {**page, **dict(HIDDEN.findall(answer.text))}
    assert ada.post("/checkout", **again, **(POST if "post_orders" not in change else {})).location == "/orders/1"


def test_a_visitor_sees_the_total_with_postage_behind_the_link(shop, web_client, mailbox, emma):
    visitor = web_client()
    add_to_cart(visitor, emma)
    assert check_out(visitor, email="cleo@example.com", **POST).location == "/login/sent"
    link = delivered_link(mailbox)
    page = visitor.get(link)
    assert "Total: €9.50 or €13.00 with postage" in text_of(page)
    assert "Log in and order with obligation to pay" in text_of(page)  # as the button places the order
    shop.describe(postage_cents=900)
    assert visitor.post(link, **fields_of(page.text)).status_code == 409
    assert press(visitor, link).location == "/orders/1"
    assert postages(shop) == [(900, "EUR")]


def test_an_order_that_a_visitor_wanted_posted_can_be_collected_if_the_shop_stops_posting(
    shop, web_client, mailbox, emma
):
    visitor = web_client()
    add_to_cart(visitor, emma)
    check_out(visitor, email="cleo@example.com", **POST)
    shop.describe(post_orders=False)
    link = delivered_link(mailbox)
    assert "You collect it in the shop." in text_of(visitor.get(link))
    assert press(visitor, link).location == "/orders/1"
    assert (postages(shop), shop.rows("SELECT delivery, address FROM orders")) == ([(0, None)], [("collect", None)])


def test_scripts_read_the_postage_and_expect_it_in_the_total(shop, api_client, emma):
    shop.fill_cart(1, {emma: 1})
    ada = api_client(ADA)
    found = ada.get("/api/v1/shop").json["postage"]
    assert found == {"amount_cents": 350, "free_from_cents": 3000, "currency": "EUR"}
    expected = [{"amount_cents": 950, "currency": "EUR"}]
    assert ada.post("/api/v1/orders", {**POST, "expected_totals": expected}).json["code"] == "ORDER_CHANGED"
    expected[0]["amount_cents"] = 1300
    placed = ada.post("/api/v1/orders", {**POST, "expected_totals": expected})
    assert (placed.status_code, placed.json["totals"]) == (201, expected)
    assert (placed.json["postage_cents"], placed.json["postage_currency"]) == (350, "EUR")
    assert ada.get("/api/v1/orders/1").json == placed.json


def test_the_exported_lines_of_an_order_add_up_to_its_total(shop, web_client, emma):
    shop.owner()
    shop.order(1, {shop.book("Sanditon", stock=1): 1, emma: 1}, **POST)
    owner = web_client("owner@example.com")
    rows = list(csv.DictReader(io.StringIO(owner.get("/admin/exports/orders.csv").text.lstrip("\ufeff"))))
    assert [(row["Total"], row["Postage"], row["Postage currency"]) for row in rows] == [
        ("9.50", "3.50", "EUR"),
        ("9.50", "", ""),
    ]


def test_owners_set_the_postage_in_the_currency_of_the_shop(shop, web_client):
    shop.owner()
    owner = web_client("owner@example.com")
    refused = owner.submit("/admin/settings", **SETTINGS)
    assert (refused.status_code, "Enter the postage below, or 0 if it is free." in text_of(refused)) == (400, True)
    assert owner.submit("/admin/settings", **SETTINGS, postage="3,50").status_code == 303
    assert shop.rows("SELECT postage_cents, postage_free_cents FROM shop_details") == [(350, None)]
    assert 'value="3.50"' in owner.get("/admin/settings").text


def test_a_shop_without_a_postage_posts_nothing(shop, web_client, emma):
    """As after an upgrade: what customers pay has to be known before they order."""
    shop.describe(postage_cents=None)
    shop.fill_cart(1, {emma: 1})
    assert "Send by post" not in text_of(web_client(ADA).get("/checkout"))
