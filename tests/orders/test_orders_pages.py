"""A customer's order pages, and what deleting the account does to orders."""

import re
from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication
from bookshop.checkout.service import Checkout
from bookshop.inventory.service import StockChange
from bookshop.orders.repository import OrderRepository
from bookshop.web import services
from tests.support import races
from tests.support.clients import text_of
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN = "ada@example.com", "ben@example.com"


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


@pytest.fixture
def emma(shop, ada):
    return shop.book("Emma", stock=9)


@pytest.fixture
def staff(shop):
    return shop.staff()


def number_of(shop, order_id):
    return shop.rows("SELECT number FROM orders WHERE id = :id", id=order_id)[0]


def cancel(browser, order_id=1):
    return browser.submit(f"/orders/{order_id}/cancel", page="/orders")


def delete(browser):
    return browser.submit("/account/delete", current=PASSWORD)


# ---------------------------------------------------------------- list


def test_only_customers_have_my_orders_in_their_navigation(shop, ada, staff, web_client):
    shows = [
        "My orders" in text_of(browser.get("/")) for browser in (ada, web_client("staff@example.com"), web_client())
    ]
    assert shows == [True, False, False]


def test_a_customer_without_orders_is_told_how_to_order(ada):
    assert "You have no orders yet." in text_of(ada.get("/orders"))


def test_my_orders_are_listed_newest_first_with_their_books_and_what_they_cost(shop, ada, emma):
    shop.order(1, {emma: 2})
    shop.order(1, {emma: 1, shop.book("Sanditon", stock=1, price_cents=1000): 1})
    words = text_of(ada.get("/orders"))
    first, second = (words.index(f"Order {number_of(shop, order_id)}") for order_id in (2, 1))
    assert first < second
    assert words.index("Total €19.50") < words.index("Total €19.00")
    assert "Emma Sanditon" in words


def test_many_orders_are_paginated(shop, ada, emma):
    shop.set_stock(emma, 50)
    for _order in range(21):
        shop.order(1, {emma: 1})
    assert f"Order {number_of(shop, 1)}" in text_of(ada.get("/orders?page=2"))
    assert ada.get("/orders?page=9").location == "/orders?page=2"


def test_other_customers_orders_are_not_found(shop, ada, emma, web_client):
    shop.customer(BEN)
    shop.order(1, {emma: 1})
    ben = web_client(BEN)
    assert number_of(shop, 1) not in ben.get("/orders").text
    assert [ben.get("/orders/1").status_code, cancel(ben).status_code] == [404, 404]
    assert shop.rows("SELECT status FROM orders") == ["placed"]


@pytest.mark.parametrize("order_id", ["0", "99", str(2**31), str(2**63)])
def test_an_unknown_order_is_404(ada, order_id):
    assert [ada.get(f"/orders/{order_id}").status_code, cancel(ada, order_id).status_code] == [404, 404]


# ---------------------------------------------------------------- one order

NEXT = {
    "placed": "Placed. Your books are reserved for collection, and we are getting them ready.",
    "ready": "Ready to collect. Your books are ready in the shop",
    "collected": "Collected. You collected it on",
    "cancelled": "Cancelled. It was cancelled on",
}
STEPS = {"placed": [], "ready": ["ready"], "collected": ["ready", "collected"], "cancelled": ["cancelled"]}


@pytest.mark.parametrize("status", NEXT)
def test_an_order_shows_its_status_and_what_happens_next(shop, ada, emma, staff, status):
    shop.order(1, {emma: 1})
    for step in STEPS[status]:
        shop.change_order(1, step, staff)
    page = ada.get("/orders/1")
    assert NEXT[status] in text_of(page)
    assert ("Cancel order" in page.text) is (status == "placed")


@pytest.mark.parametrize("status", NEXT)
def test_a_posted_order_does_not_mention_collection(shop, ada, emma, staff, status):
    shop.order(1, {emma: 1})
    shop.execute("UPDATE orders SET delivery = 'post', address = '1 Fen Street'")
    for step in STEPS[status]:
        shop.change_order(1, step, staff)
    words = text_of(ada.get("/orders/1"))
    assert ("collect" in words.lower(), "By post" in words, "1 Fen Street" in words) == (False, True, True)


def test_an_order_shows_titles_and_prices_as_sold(shop, ada, emma):
    shop.order(1, {emma: 2})
    shop.commit(lambda: services.catalog().update(emma, {"title": "Emma, revised", "price_cents": 5000}))
    shop.withdraw(emma)
    assert "Emma €9.50 2 €19.00 Total €19.00" in text_of(ada.get("/orders/1"))


def test_a_customer_cancels_an_order_and_the_waiting_one_is_notified(shop, ada, web_client):
    emma, ben = shop.book("Emma", stock=1), shop.customer(BEN)
    shop.order(1, {emma: 1})
    shop.reserve(ben, emma)
    answer = cancel(ada)
    assert (answer.status_code, answer.location) == (303, "/orders/1")
    assert "Your order is cancelled. There is nothing to pay." in text_of(ada.get("/orders/1"))
    assert (shop.stock(emma), shop.statuses(emma), shop.broken()) == (1, ["notified"], [])
    assert "1 back in stock" in text_of(web_client(BEN).get("/"))


def test_a_customer_is_asked_before_an_order_is_cancelled_and_can_keep_it(shop, ada, emma):
    shop.order(1, {emma: 2})
    assert 'href="/orders/1/cancel"' in ada.get("/orders/1").text
    asked = ada.get("/orders/1/cancel")
    assert ("Emma, 2 copies" in text_of(asked), 'href="/orders/1"' in asked.text) == (True, True)
    assert shop.rows("SELECT status FROM orders") == ["placed"]


def test_without_its_csrf_token_the_form_is_shown_again(shop, ada, emma):
    shop.order(1, {emma: 1})
    answer = ada.post("/orders/1/cancel")
    assert (answer.status_code, "What you typed is still here: send it again." in text_of(answer)) == (400, True)
    assert shop.rows("SELECT status FROM orders") == ["placed"]


@pytest.mark.parametrize("status", ["ready", "cancelled"])
def test_orders_that_cannot_be_cancelled_ask_no_question(shop, ada, emma, staff, status):
    shop.order(1, {emma: 1})
    shop.change_order(1, status, staff)
    assert ada.get("/orders/1/cancel").location == "/orders/1"
    assert shop.rows("SELECT status FROM orders") == [status]


def test_an_order_cancelled_twice_returns_its_copies_once(shop, ada, emma):
    shop.order(1, {emma: 2})
    assert [cancel(ada).status_code, cancel(ada).status_code] == [303, 303]
    assert "This order has already been cancelled." in text_of(ada.get("/orders/1"))
    assert (shop.stock(emma), shop.broken()) == (9, [])


@pytest.mark.parametrize("status", ["ready", "collected"])
def test_only_staff_can_cancel_a_ready_order(shop, ada, emma, staff, status):
    shop.order(1, {emma: 1})
    for step in STEPS[status]:
        shop.change_order(1, step, staff)
    cancel(ada)
    assert "You can cancel an order here only until it is ready." in text_of(ada.get("/orders/1"))
    assert shop.rows("SELECT status FROM orders") == [status]


# ---------------------------------------------------------------- data export, and deleting the account


def test_a_data_export_contains_all_orders_with_lines_and_the_cart(shop, ada, emma):
    shop.order(1, {emma: 2}, note="Ring twice")
    shop.fill_cart(1, {emma: 1})
    data = ada.get("/account/data.json").json
    (order,), (item,) = data["orders"], data["cart"]
    assert (order["number"], order["note"], order["status"]) == (number_of(shop, 1), "Ring twice", "placed")
    assert [(line["title"], line["quantity"], line["price_cents"]) for line in order["lines"]] == [("Emma", 2, 950)]
    assert (item["book_title"], item["quantity"], item["price_cents"]) == ("Emma", 1, 950)


def test_deleting_an_account_announces_what_happens_to_orders(shop, ada, emma, staff):
    assert "You have no open orders" in text_of(ada.get("/account/delete"))
    orders = [shop.order(1, {emma: 1}) for _order in range(3)]
    shop.change_order(orders[0], "ready", staff)
    shop.change_order(orders[1], "cancelled", staff)
    assert "Your 2 open orders will be cancelled, even those" in text_of(ada.get("/account/delete"))


def test_deleting_an_account_cancels_open_orders_and_notifies_waiting_customers(shop, ada, staff):
    emma, ben = shop.book("Emma", stock=3), shop.customer(BEN)
    orders = [shop.order(1, {emma: 1}) for _order in range(3)]
    for step in ("ready", "collected"):
        shop.change_order(orders[0], step, staff)
    shop.change_order(orders[1], "ready", staff)
    shop.reserve(ben, emma)
    assert delete(ada).status_code == 303
    assert shop.rows("SELECT status FROM orders ORDER BY id") == ["collected", "cancelled", "cancelled"]
    assert (shop.stock(emma), shop.statuses(emma), shop.broken()) == (2, ["notified"], [])


def test_a_deleted_account_is_not_notified_of_the_copies_it_returns(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.order(1, {emma: 1})
    shop.reserve(1, emma)
    delete(ada)
    assert (shop.stock(emma), shop.statuses(emma), shop.broken()) == (1, ["cancelled"], [])


def test_deleting_an_account_keeps_only_the_orders(shop, ada, emma, api_client):
    script = api_client(ADA)
    script.headers["Idempotency-Key"] = "ada's own key"
    shop.fill_cart(1, {emma: 1})
    fields = {"name": "Ada Lovelace", "phone": "030 1234", "note": "Dear all, Ada"}
    assert script.post("/api/v1/orders", fields).status_code == 201
    shop.fill_cart(1, {emma: 1})
    delete(ada)
    assert shop.rows("SELECT name, name_key, phone, address, note FROM orders") == [("", "", None, None, None)]
    assert shop.rows("SELECT 1 FROM cart_items UNION ALL SELECT 1 FROM idempotency_records") == []
    everything = str(shop.everything()).lower()
    assert (re.findall(r"\bada\b", everything), shop.broken()) == ([], [])  # hashes may have these letters, too


def test_staff_can_still_see_the_orders_of_deleted_accounts(shop, ada, emma, staff, web_client):
    shop.order(1, {emma: 1})
    delete(ada)
    grace = web_client("staff@example.com")
    assert [grace.get(path).status_code for path in ("/admin/orders?status=cancelled", "/admin/orders/1")] == [200, 200]


def test_the_orders_of_a_deactivated_customer_stay_for_staff(shop, emma, staff):
    shop.order(1, {emma: 1})
    shop.deactivate(ADA)
    assert shop.rows("SELECT status, name FROM orders") == [("placed", "Ada Lovelace")]
    assert shop.change_order(1, "ready", staff) == []


# ---------------------------------------------------------------- simultaneous requests

FORGET = (OrderRepository, "erase_personal_data")
CHANGE = (OrderRepository, "change_status")
LOCK_USER = (Authentication, "lock_active")


@pytest.fixture
def racers(app, shop):
    """Ada has an order, another book in her cart and a reservation; the racing actions by name."""
    ada, staff = shop.customer(ADA), shop.staff()
    third, ordered, other = shop.book("Emma"), shop.book("Sanditon", stock=1), shop.book("Persuasion", stock=1)
    shop.reserve(ada, third)
    shop.order(ada, {ordered: 1})
    shop.fill_cart(ada, {other: 1})
    works = {
        "leave": lambda: services.people().delete(ada, PASSWORD),
        "cancel": lambda: services.checkout().cancel(ada, 1),
        "make ready": lambda: services.checkout().change(1, "ready", staff),
        "order": lambda: services.checkout().place(ada, Checkout(name="Ada")).order.number,
        "restock": lambda: services.shelf().update_stock(StockChange(book_id=third, quantity=5)).notified,
    }
    return {name: partial(races.result_or_code, app, work) for name, work in works.items()}


@pytest.mark.parametrize(
    ("slow", "point", "fast"),
    [
        ("leave", FORGET, "order"),
        ("leave", FORGET, "cancel"),
        ("leave", FORGET, "make ready"),
        ("leave", FORGET, "restock"),
        ("order", LOCK_USER, "leave"),
        ("cancel", CHANGE, "leave"),
        ("make ready", CHANGE, "leave"),
    ],
    ids=lambda named: named if isinstance(named, str) else "",
)
def test_deleting_an_account_during_anything_else_leaves_nothing_open(shop, racers, slow, point, fast):
    races.interleave(point, racers[slow], racers[fast])
    open_ones = "SELECT count(*) FROM orders WHERE status IN ('placed', 'ready') OR name <> ''"
    assert (shop.rows(open_ones), shop.broken()) == ([0], [])
    assert shop.rows("SELECT deleted_at IS NULL FROM users WHERE id = 1")[0] in (False, 0)


def test_every_page_shows_a_ready_order_until_it_is_collected(shop, ada, emma, staff):
    order_id, seen = shop.order(1, {emma: 1}), []
    for status in (None, "ready", "collected"):
        if status:
            shop.change_order(order_id, status, staff)
        seen.append("My orders 1 ready" in text_of(ada.get("/")))
    assert seen == [False, True, False]
