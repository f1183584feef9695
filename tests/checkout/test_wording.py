"""The button says whether customers reserve books or owe them, and so does everything after it."""

import pytest

from bookshop.web import services
from tests.support import mailbox as mails
from tests.support.clients import text_of
from tests.support.links import fields_of

ADA = "ada@example.com"
SETTINGS = {"name": "Corner Books", "time_zone": "UTC", "currency": "EUR", "collect_days": "14", "version": "0"}
TERMS = {"title": "Terms", "body": "You pay.", "state": "published"}
WORDS = {
    "reserve": (
        "Reserve for collection",
        "Your books are reserved for collection",
        "reservation for collection",
        "We have your reservation ",
    ),
    "pay": (
        "Your order obliges you to pay for these books. You pay in the shop when you collect. Our terms apply. "
        "Order with obligation to pay",
        "Your order has been placed",
        "You can cancel this order",
        "We have your order ",
    ),
}


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada is logged in, with a book in her cart."""
    shop.fill_cart(shop.customer(ADA), {shop.book("Emma", stock=9): 1})
    return web_client(ADA)


def ordered(browser, page=None):
    page = page or browser.get("/checkout")
    return browser.post("/checkout", **{**fields_of(page.text), "name": "Ada"})


@pytest.mark.parametrize("wording", WORDS)
def test_page_order_and_e_mail_say_the_same_even_after_the_setting_has_changed(shop, ada, mailbox, wording):
    button, thanks, name, subject = WORDS[wording]
    shop.describe(order_wording=wording)
    shop.commit(lambda: services.content().change("terms", TERMS, 0))
    page = ada.get("/checkout")
    assert button in text_of(page)
    ordered(ada, page)
    shop.describe(order_wording="pay" if wording == "reserve" else "reserve")
    found = text_of(ada.get("/orders/1"))
    assert (thanks in found, name in found) == (True, True)
    (message,) = mailbox.deliver()
    assert message["Subject"].startswith(subject)
    assert ("when you pay" in " ".join(mails.part(message, "plain").split())) == (wording == "reserve")


def test_a_customer_who_reserved_is_not_obliged_to_pay_because_an_owner_changes_the_button(shop, ada):
    page = ada.get("/checkout")
    shop.describe(order_wording="pay")
    assert ordered(ada, page).status_code == 409
    assert (ordered(ada).location, shop.rows("SELECT wording FROM orders")) == ("/orders/1", ["pay"])


def test_orders_by_post_need_the_button_that_obliges_to_pay(shop, web_client, ada):
    shop.owner()
    owner, posting = web_client("owner@example.com"), {**SETTINGS, "post_orders": "y", "postage": "3.50"}
    refused = owner.submit("/admin/settings", **posting, order_wording="reserve")
    assert (refused.status_code, "An order by post obliges the customer to pay" in text_of(refused)) == (400, True)
    assert owner.submit("/admin/settings", **posting, order_wording="pay").status_code == 303
    assert "Order with obligation to pay" in ada.get("/checkout").text
