"""Staff see that the customer of an order has withdrawn from it before they get it ready or post it."""

import pytest

from tests.support.clients import text_of

POST = {"delivery": "post", "address": "1 Fen Street"}
PATHS = {"ready": "/admin/orders/ready", "collected": "/admin/orders/collected"}


@pytest.fixture
def staff(shop, web_client):
    shop.staff()
    return web_client("staff@example.com")


@pytest.fixture
def orders(shop, staff):
    """Three placed orders by post: the customer withdraws from the first, and from a book of the second."""
    shop.describe(post_orders=True, postage_cents=350)
    emma, ada = shop.book("Emma", stock=9), shop.customer("ada@example.com")
    found = [shop.order(ada, {emma: 1}, **POST) for _order in range(3)]
    shop.give_back(found[0], books="Emma")
    shop.give_back(found[0])
    shop.give_back(found[1], books="Emma")
    return found


def press(staff, change, *ids):
    answer = staff.submit(PATHS[change], page="/admin", order=[str(order_id) for order_id in ids])
    return text_of(staff.get(answer.location))


def statuses(shop):
    return shop.rows("SELECT status FROM orders ORDER BY id")


def test_lists_and_the_page_of_the_order_say_so_until_the_return_is_handled(shop, staff, orders):
    paths = ["/admin/orders", "/admin/orders/pick-list", f"/admin/orders/{orders[0]}", f"/admin/orders/{orders[1]}"]
    found = [text_of(staff.get(path)).casefold() for path in paths]
    assert [page.count("withdrawn on") for page in found] == [2, 2, 1, 1]
    assert ["some books withdrawn on" in page for page in found] == [True, True, False, True]
    shop.execute("UPDATE returns SET handled_at = created_at")
    assert [text_of(staff.get(path)).casefold().count("withdrawn on") for path in paths] == [0, 0, 0, 0]


@pytest.mark.parametrize("change", PATHS)
def test_a_button_for_several_orders_leaves_withdrawn_ones_out_and_names_them(shop, staff, orders, change):
    numbers, before = shop.rows("SELECT number FROM orders ORDER BY id"), "placed"
    if change == "collected":
        before = "ready"
        for order_id in orders:
            shop.change_order(order_id, "ready", 1)
    words = press(staff, change, *orders)
    assert statuses(shop) == [before, before, change]
    for number in numbers[:2]:
        assert f"{number} (withdrawn on" in words
    assert "To change one of them all the same, open it" in words


def test_staff_can_still_decide_about_a_single_order_and_are_told(shop, staff, orders):
    words = press(staff, "ready", orders[0])
    assert "is ready. The customer withdrew from it on" in words
    words = press(staff, "ready", orders[1])
    assert "is ready. The customer withdrew from some of its books on" in words
    assert "withdrew" not in press(staff, "ready", orders[2])
    assert statuses(shop) == ["ready"] * 3


def test_withdrawn_orders_are_cancelled_together_like_others(shop, staff, orders):
    staff.submit("/admin/orders/cancel", page="/admin", order=[str(order_id) for order_id in orders])
    assert (statuses(shop), shop.broken()) == (["cancelled"] * 3, [])
