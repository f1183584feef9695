"""The order services: what a checkout sells and records, status changes, and cancellation."""

import pytest

from bookshop.checkout.service import Checkout
from bookshop.kit.exceptions import Conflict, InsufficientStock, Invalid, NotFound
from bookshop.web import services

ADA, BEN = "ada@example.com", "ben@example.com"


@pytest.fixture
def ada(shop):
    return shop.customer(ADA)


@pytest.fixture
def staff(shop):
    return shop.staff()


def place(shop, user_id, **fields):
    return shop.commit(lambda: services.checkout().place(user_id, Checkout(**fields)))


def order_of(shop, order_id):
    with shop.app.app_context():
        return services.orders().get_any(order_id)


def test_the_checkout_sells_the_copies_and_records_titles_and_prices(shop, ada):
    emma, persuasion = shop.book("Emma", stock=3), shop.book("Persuasion", stock=1, price_cents=1200)
    order = order_of(shop, shop.order(ada, {emma: 2, persuasion: 1}, note="Ring twice", phone="030 1234"))
    assert (order.status, order.payment, order.delivery) == ("placed", "on_collection", "collect")
    assert (order.name, order.note, order.phone, order.user.email) == ("Ada Lovelace", "Ring twice", "030 1234", ADA)
    lines = [(line.title, line.quantity, line.price_cents, line.currency) for line in order.lines]
    assert lines == [("Emma", 2, 950, "EUR"), ("Persuasion", 1, 1200, "EUR")]
    assert (shop.stock(emma), shop.stock(persuasion)) == (1, 0)
    sales = "SELECT book_id, delta, reason, user_id, order_id FROM movements WHERE reason = 'sale' ORDER BY book_id"
    assert shop.rows(sales) == [(emma, -2, "sale", ada, order.id), (persuasion, -1, "sale", ada, order.id)]
    assert (shop.rows("SELECT * FROM cart_items"), shop.broken()) == ([], [])


def test_sold_lines_keep_title_and_price(shop, ada):
    emma = shop.book("Emma", stock=1)
    order_id = shop.order(ada, {emma: 1})
    shop.commit(lambda: services.catalog().update(emma, {"title": "Emma, revised", "price_cents": 5000}))
    line = order_of(shop, order_id).lines[0]
    assert (line.title, line.price_cents) == ("Emma", 950)


def test_with_short_stock_nothing_is_sold_and_every_short_line_is_named(shop, ada):
    emma, persuasion, sanditon = (shop.book(title, stock=3) for title in ("Emma", "Persuasion", "Sanditon"))
    shop.fill_cart(ada, {emma: 3, persuasion: 1, sanditon: 1})
    shop.set_stock(emma, 1)
    shop.set_stock(sanditon, 0)
    before = shop.everything()
    with pytest.raises(InsufficientStock) as refused:
        place(shop, ada)
    assert [(line["book_id"], line["quantity"], line["left"]) for line in refused.value.lines] == [
        (emma, 3, 1),
        (sanditon, 1, 0),
    ]
    assert shop.everything() == before


def test_a_withdrawn_book_cannot_be_ordered(shop, ada):
    emma = shop.book("Emma", stock=3)
    shop.fill_cart(ada, {emma: 1})
    shop.withdraw(emma)
    with pytest.raises(InsufficientStock):
        place(shop, ada)


def test_an_empty_cart_cannot_be_ordered(shop, ada):
    with pytest.raises(Conflict) as refused:
        place(shop, ada)
    assert refused.value.code == "ORDER_CART_EMPTY"


@pytest.mark.parametrize("change", ["price", "quantity"])
def test_a_cart_that_differs_from_the_one_shown_is_not_ordered(shop, ada, change):
    emma = shop.book("Emma", stock=3)
    shop.fill_cart(ada, {emma: 1})
    with shop.app.app_context():
        shown = services.cart().get(ada).fingerprint
    if change == "price":
        shop.commit(lambda: services.catalog().update(emma, {"price_cents": 5000}))
    else:
        shop.fill_cart(ada, {emma: 1})
    with pytest.raises(Conflict, match="Nothing was ordered"):
        place(shop, ada, shown=shown)
    assert shop.stock(emma) == 3


def test_an_order_is_posted_only_if_the_shop_posts_orders(shop, ada):
    shop.fill_cart(ada, {shop.book(stock=1): 1})
    with pytest.raises(Invalid, match="does not post") as refused:
        place(shop, ada, delivery="post", address="1 Fen Street")
    assert refused.value.field == "delivery"


def test_a_deactivated_customer_cannot_order(shop, ada):
    shop.fill_cart(ada, {shop.book(stock=1): 1})
    shop.deactivate(ADA)
    with pytest.raises(Exception, match="no longer active"):
        place(shop, ada)


def test_an_order_line_names_the_reservation_it_ends(shop, ada):
    emma = shop.book("Emma")
    prebook = shop.reserve(ada, emma)
    shop.set_stock(emma, 2)
    order = order_of(shop, shop.order(ada, {emma: 1}))
    assert [line.prebooking_id for line in order.lines] == [prebook]
    again = order_of(shop, shop.order(ada, {emma: 1}))
    assert ([line.prebooking_id for line in again.lines], shop.broken()) == ([None], [])


def test_a_cancelled_orders_reservation_can_be_fulfilled_again(shop, ada):
    emma = shop.book("Emma")
    prebook = shop.reserve(ada, emma)
    shop.set_stock(emma, 1)
    shop.cancel_order(ada, shop.order(ada, {emma: 1}))
    order = order_of(shop, shop.order(ada, {emma: 1}))
    assert ([line.prebooking_id for line in order.lines], shop.broken()) == ([prebook], [])


def test_a_customer_cancels_a_placed_order_and_waiting_customers_are_notified(shop, ada):
    ben, emma = shop.customer(BEN), shop.book("Emma", stock=1)
    order_id = shop.order(ada, {emma: 1})
    shop.reserve(ben, emma)
    assert shop.cancel_order(ada, order_id) == [BEN]
    assert (order_of(shop, order_id).status, shop.stock(emma), shop.statuses(emma)) == ("cancelled", 1, ["notified"])
    returned = "SELECT delta, reason, user_id, order_id FROM movements ORDER BY id DESC LIMIT 1"
    assert (shop.rows(returned), shop.broken()) == ([(1, "return", ada, order_id)], [])


def test_a_customer_cannot_cancel_a_ready_order_or_someone_elses(shop, ada, staff):
    ben, emma = shop.customer(BEN), shop.book("Emma", stock=1)
    order_id = shop.order(ada, {emma: 1})
    with pytest.raises(NotFound):
        shop.cancel_order(ben, order_id)
    shop.change_order(order_id, "ready", staff)
    with pytest.raises(Conflict) as refused:
        shop.cancel_order(ada, order_id)
    assert (refused.value.code, shop.stock(emma)) == ("ORDER_STATE", 0)


WAYS = {
    "placed": {"ready", "cancelled"},
    "ready": {"collected", "cancelled"},
    "collected": set(),
    "cancelled": set(),
}
REACHED = {"placed": (), "ready": ("ready",), "collected": ("ready", "collected"), "cancelled": ("cancelled",)}


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("other", ["ready", "collected", "cancelled"])
def test_an_order_changes_status_only_as_allowed(shop, ada, staff, status, other):
    emma = shop.book("Emma", stock=1)
    order_id = shop.order(ada, {emma: 1})
    for step in REACHED[status]:
        shop.change_order(order_id, step, staff)
    if other in WAYS[status]:
        shop.change_order(order_id, other, staff)
    else:
        with pytest.raises(Conflict) as refused:
            shop.change_order(order_id, other, staff)
        assert refused.value.code == "ORDER_STATE"
    expected = other if other in WAYS[status] else status
    assert order_of(shop, order_id).status == expected
    assert (shop.stock(emma), shop.broken()) == (1 if expected == "cancelled" else 0, [])


def test_staff_cancel_many_orders_of_one_book_at_once(shop, ada, staff):
    emma = shop.book("Emma", stock=3)
    orders = [shop.order(ada, {emma: 1}) for _order in range(3)]
    shop.change_order(orders[1], "ready", staff)
    shop.change_order(orders[1], "collected", staff)
    changed, emails = shop.commit(lambda: services.checkout().change_all(orders, "cancelled", staff))
    assert (changed, emails, shop.stock(emma), shop.broken()) == ([orders[0], orders[2]], [], 2, [])


def test_every_order_has_its_own_number_with_a_check_digit(shop, ada):
    emma = shop.book("Emma", stock=9)
    numbers = {order_of(shop, shop.order(ada, {emma: 1})).number for _order in range(9)}
    assert len(numbers) == 9
    assert all(len(number) == 9 and number[4] == "-" for number in numbers)


def test_an_order_whose_copies_no_longer_fit_into_the_stock_cannot_be_cancelled(shop, ada):
    emma = shop.book("Emma", stock=1)
    order_id = shop.order(ada, {emma: 1})
    shop.set_stock(emma, 1_000_000)
    with pytest.raises(Conflict, match="cannot be cancelled now") as refused:
        shop.cancel_order(ada, order_id)
    assert (refused.value.code, order_of(shop, order_id).status) == ("ORDER_STATE", "placed")


def test_a_placed_order_must_be_ready_before_it_is_collected(shop, ada, staff):
    order_id = shop.order(ada, {shop.book(stock=1): 1})
    with pytest.raises(Conflict, match="must be marked ready first"):
        shop.change_order(order_id, "collected", staff)


# ---------------------------------------------------------------- the limit of open orders


@pytest.fixture
def allow(app, monkeypatch):
    """A function that sets how many open orders a customer can have."""

    def allow(number):
        changed = app.config["SETTINGS"].model_copy(update={"max_open_orders": number})
        monkeypatch.setitem(app.config, "SETTINGS", changed)

    return allow


def test_a_customer_can_have_as_many_open_orders_as_the_setting_allows(shop, ada, allow):
    allow(2)
    emma = shop.book("Emma", stock=9)
    assert [shop.order(ada, {emma: 1}) for _order in range(2)] == [1, 2]
    shop.fill_cart(ada, {emma: 1})
    before = shop.everything()
    with pytest.raises(Conflict, match=r"You can have at most 2 open orders at a time\.") as refused:
        place(shop, ada)
    assert (refused.value.code, shop.everything()) == ("ORDER_LIMIT", before)


def test_a_ready_order_counts_towards_the_limit(shop, ada, staff, allow):
    allow(1)
    emma = shop.book("Emma", stock=9)
    shop.change_order(shop.order(ada, {emma: 1}), "ready", staff)
    with pytest.raises(Conflict, match="open orders"):
        shop.order(ada, {emma: 1})


@pytest.mark.parametrize("status", ["collected", "cancelled"])
def test_a_finished_order_does_not_count_towards_the_limit(shop, ada, staff, allow, status):
    allow(1)
    emma = shop.book("Emma", stock=9)
    order_id = shop.order(ada, {emma: 1})
    for step in REACHED[status]:
        shop.change_order(order_id, step, staff)
    assert shop.order(ada, {emma: 1}) == 2


def test_the_orders_of_other_customers_do_not_count_towards_the_limit(shop, ada, allow):
    allow(1)
    emma = shop.book("Emma", stock=9)
    assert [shop.order(user_id, {emma: 1}) for user_id in (ada, shop.customer(BEN))] == [1, 2]
