"""Staff's order pages: lists, searching, changing one or many, and the pick list."""

import re

import pytest

from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN, STAFF = "ada@example.com", "ben@example.com", "staff@example.com"
LONG_AGO = "2026-01-02 10:00:00+00:00"
STEPS = {"placed": (), "ready": ("ready",), "collected": ("ready", "collected"), "cancelled": ("cancelled",)}
PATHS = {"ready": "/admin/orders/ready", "collected": "/admin/orders/collected", "cancelled": "/admin/orders/cancel"}


@pytest.fixture
def staff(shop, web_client):
    shop.staff(STAFF)
    return web_client(STAFF)


@pytest.fixture
def ada(shop):
    return shop.customer(ADA)


@pytest.fixture
def emma(shop):
    return shop.book("Emma", stock=500, isbn="9780141439587")


@pytest.fixture
def order(shop, staff, ada, emma):
    """Create an order of a copy of Emma in a status; return its id."""

    def make(status="placed", copies=1, user_id=ada, **fields):
        order_id = shop.order(user_id, {emma: copies}, **fields)
        for step in STEPS[status]:
            shop.change_order(order_id, step, shop.rows("SELECT id FROM users WHERE role = 'bookseller'")[0])
        return order_id

    return make


def number_of(shop, order_id):
    return shop.rows("SELECT number FROM orders WHERE id = :id", id=order_id)[0]


def status_of(shop, order_id):
    return shop.rows("SELECT status FROM orders WHERE id = :id", id=order_id)[0]


def listed_ids(page):
    """Return the ids of the orders listed on a page, in order."""
    return [int(found) for found in re.findall(r'href="/admin/orders/(\d+)"', page.text)]


def press(staff, change, *ids, **fields):
    """Press a button with these orders ticked; return the text of the next page."""
    answer = staff.submit(PATHS[change], page="/admin", order=[str(number) for number in ids], **fields)
    assert answer.status_code == 303
    return text_of(staff.get(answer.location))


# ---------------------------------------------------------------- lists


def test_each_status_has_a_tab_with_its_count(staff, order):
    made = {status: order(status) for status in STEPS}
    for status, order_id in made.items():
        page = staff.get(f"/admin/orders?status={status}")
        assert (listed_ids(page), f"{status.capitalize()} 1" in text_of(page)) == ([order_id], True)
    page = staff.get("/admin/orders?status=all")
    assert (listed_ids(page), "All 4" in text_of(page)) == (sorted(made.values(), reverse=True), True)


@pytest.mark.parametrize("query", ["", "?status=placed", "?status=nonsense", "?status=", "?status=%00", "?q=%20%0A"])
def test_with_an_unknown_status_orders_to_prepare_are_listed_oldest_first(staff, order, query):
    first, second, _ready = order(), order(), order("ready")
    assert listed_ids(staff.get(f"/admin/orders{query}")) == [first, second]


def test_a_row_shows_the_customer_contents_and_cost_of_an_order(shop, staff, ada, emma):
    shop.order(ada, {emma: 2, shop.book("Persuasion", stock=1): 1}, name="Ada <b>")
    words = text_of(staff.get("/admin/orders"))
    assert "Ada <b> ada@example.com 3 copies of 2 books Emma · Persuasion €28.50" in words


def test_the_order_of_a_deleted_account_is_marked(shop, staff, order):
    order_id = order("ready")
    shop.execute("UPDATE users SET deleted_at = created_at, email = 'deleted-9' WHERE email = :email", email=ADA)
    shop.execute("UPDATE orders SET name = ''")
    for path in ("/admin/orders?status=ready", f"/admin/orders/{order_id}"):
        words = text_of(staff.get(path))
        assert ("deleted account" in words, "deleted-9" in words) == (True, False)


def test_orders_open_for_more_than_14_days_are_uncollected_and_cancelled_with_one_click(shop, staff, order, emma):
    placed, ready, _new, collected = order(copies=2), order("ready"), order("ready"), order("collected")
    shop.execute("UPDATE orders SET created_at = :ago WHERE id = :id", ago=LONG_AGO, id=placed)
    for order_id in (ready, collected):
        shop.execute("UPDATE orders SET ready_at = :ago WHERE id = :id", ago=LONG_AGO, id=order_id)
    page = staff.get("/admin/orders?status=uncollected")
    assert (listed_ids(page), f'name="only" value="{placed}"' in page.text) == ([placed, ready], True)
    page_text = press(staff, "cancelled", ready, only=str(placed), next="/admin/orders?status=uncollected")
    assert f"Order {number_of(shop, placed)} is cancelled. 2 copies have gone back into stock." in page_text
    assert (status_of(shop, placed), status_of(shop, ready), shop.broken()) == ("cancelled", "ready", [])


@pytest.mark.parametrize("tab", ["placed", "ready", "uncollected", "all"])
def test_a_list_offers_each_order_only_its_next_step(shop, staff, order, tab):
    placed, ready = order(), order("ready")
    shop.execute("UPDATE orders SET created_at = :ago", ago=LONG_AGO)
    shop.execute("UPDATE orders SET ready_at = :ago WHERE id = :id", ago=LONG_AGO, id=ready)
    page = staff.get(f"/admin/orders?status={tab}").text
    offered = re.findall(r'name="only" value="(\d+)" formaction="/admin/orders/(ready|collected)"', page)
    steps = {"placed": [(str(placed), "ready")], "ready": [(str(ready), "collected")]}
    assert sorted(offered) == sorted(steps.get(tab) or [*steps["placed"], *steps["ready"]])
    bulk = re.findall(r'form="chosen" formaction="/admin/orders/(\w+)">', page)
    assert bulk == {"placed": ["ready", "cancel"], "ready": ["collected", "cancel"]}.get(tab, ["cancel"])


def test_an_old_order_that_became_ready_today_is_not_uncollected(shop, staff, order):
    shop.execute("UPDATE orders SET created_at = :ago WHERE id = :id", ago=LONG_AGO, id=order("ready"))
    assert listed_ids(staff.get("/admin/orders?status=uncollected")) == []


@pytest.mark.parametrize("status", ["placed", "ready", "uncollected", "collected", "cancelled", "all"])
def test_an_empty_list_says_so(staff, status):
    page = staff.get(f"/admin/orders?status={status}")
    assert (page.status_code, "<table" in page.text, 'role="alert"' in page.text) == (200, False, False)


def test_pagination_keeps_status_and_search(shop, staff, order):
    for _order in range(51):
        order()
    page = staff.get("/admin/orders?status=placed&q=lovelace")
    assert (len(listed_ids(page)), "51 orders found" in text_of(page)) == (50, True)
    following = re.findall(r'href="(/admin/orders\?[^"]*page=2)"', page.text)[0].replace("&amp;", "&")
    assert ("status=placed" in following, len(listed_ids(staff.get(following)))) == (True, 1)


# ---------------------------------------------------------------- searching


def test_an_order_is_found_by_number_name_address_and_isbn_in_any_status(shop, staff, order, emma):
    found = order("collected", user_id=shop.customer(BEN), name="Björn Ångström")
    persuasion = shop.book("Persuasion", stock=1, isbn="9780141439686")
    shop.order(shop.rows("SELECT id FROM users WHERE email = :email", email=ADA)[0], {persuasion: 1})
    number = number_of(shop, found)
    numbers = [number, number.replace("-", ""), f" {number.replace('-', ' ')} ", f"%23{number}"]
    for q in (*numbers, "bjorn", "Ångström", "BEN@example", "9780141439587", "978-0-14-143958-7", "0141439580"):
        assert listed_ids(staff.get(f"/admin/orders?q={q}")) == [found], q


def test_an_order_is_found_by_part_of_its_number_phone_and_isbn_however_they_are_written(shop, staff, order):
    found = order(phone="(030) 99 00-17/4")
    order(phone="020 7946 0018", user_id=shop.customer(BEN))
    shop.execute("UPDATE orders SET number = CASE id WHEN :id THEN '6405-3308' ELSE '1234-5674' END", id=found)
    other = shop.book("Persuasion", stock=1, isbn="9780141439686")
    by_isbn = shop.order(shop.rows("SELECT id FROM users WHERE email = :email", email=BEN)[0], {other: 1})
    for q in ("6405", "53308", "405-33", "#6405", "0309900174", "030/9900", "99 00 17", "(030)"):
        assert listed_ids(staff.get("/admin/orders", query_string={"q": q})) == [found], q
    assert listed_ids(staff.get("/admin/orders?q=439-686")) == [by_isbn]


def test_digits_that_are_no_order_number_are_still_found_in_a_phone(shop, staff, order):
    found = order(phone="020 7946 0018")
    page = staff.get("/admin/orders?q=7946+0018")
    assert (listed_ids(page), "one of its digits is wrong" in text_of(page)) == ([found], False)


def test_an_order_number_with_a_wrong_digit_gets_a_friendly_error(shop, staff, order):
    number = number_of(shop, order())
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    page = staff.get(f"/admin/orders?q={wrong}")
    assert (page.status_code, listed_ids(page)) == (200, [])
    assert f"No order can have the number {wrong}: one of its digits is wrong." in text_of(page)
    assert f'value="{wrong}"' in page.text


@pytest.mark.parametrize("q", ["%25", "_", "%00", "a%00", "%EF%BF%BD", "a%0Ab", "nobody", "9780000000000", "x" * 5000])
def test_a_search_without_matches_finds_nothing(staff, order, q):
    order()
    page = staff.get(f"/admin/orders?q={q}")
    assert (page.status_code, listed_ids(page), "0 orders found" in text_of(page)) == (200, [], True)


def test_an_underscore_in_an_address_matches_literally(shop, staff, order):
    found = order(user_id=shop.customer("a_b@example.com"))
    order(user_id=shop.customer("axb@example.com"))
    assert listed_ids(staff.get("/admin/orders?q=a_b")) == [found]


def test_the_search_is_limited_to_the_status_in_the_address(staff, order):
    order()
    ready = order("ready")
    assert listed_ids(staff.get("/admin/orders?status=ready&q=lovelace")) == [ready]


# ---------------------------------------------------------------- one order


def test_the_order_page_shows_all_details(shop, staff, order, emma, ada):
    order_id = order("ready", copies=3, phone="030 1234", note="Ring <twice>")
    words = text_of(staff.get(f"/admin/orders/{order_id}"))
    assert f"Order {number_of(shop, order_id)} Ready to collect · placed on" in words
    for part in ("Ada Lovelace", ADA, "030 1234", "Ring <twice>", "In the shop", "Emma", "9780141439587"):
        assert part in words
    assert "9780141439587 · 497 more in stock 3 €9.50 Total 3 €28.50" in words


def test_the_order_page_shows_which_reservation_it_ended(shop, staff, ada):
    book_id = shop.book("Persuasion")
    shop.reserve(ada, book_id)
    shop.set_stock(book_id, 2)
    with_one, without = shop.order(ada, {book_id: 1}), shop.order(ada, {book_id: 1})
    page_text = ["Reserved by" in text_of(staff.get(f"/admin/orders/{order_id}")) for order_id in (with_one, without)]
    assert page_text == [True, False]


BUTTONS = {
    "placed": {"Mark ready", "Cancel order"},
    "ready": {"Mark collected", "Cancel order"},
    "collected": set(),
    "cancelled": set(),
}


@pytest.mark.parametrize("status", BUTTONS)
def test_the_order_page_has_only_applicable_buttons(staff, order, status):
    page = staff.get(f"/admin/orders/{order(status)}")
    assert set(re.findall(r"formaction[^>]*>([\w ]+)<", page.text)) == BUTTONS[status]


@pytest.mark.parametrize("number", [999, 0, 2**31, 2**63])
def test_an_unknown_order_has_no_page(staff, number):
    assert staff.get(f"/admin/orders/{number}").status_code == 404


# ---------------------------------------------------------------- changing orders

WAYS = {"placed": {"ready", "cancelled"}, "ready": {"collected", "cancelled"}, "collected": set(), "cancelled": set()}


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("change", PATHS)
def test_an_order_that_cannot_change_status_is_left_alone(shop, staff, order, status, change):
    order_id, before = order(status), shop.everything()
    page_text = press(staff, change, order_id, next=f"/admin/orders/{order_id}")
    if change in WAYS[status]:
        assert (status_of(shop, order_id), f"is {change}." in page_text) == (change, True)
    else:
        assert (shop.everything(), "Not changed" in page_text) == (before, True)
    assert shop.broken() == []


def test_many_orders_are_changed_at_once_and_impossible_ones_are_named(shop, staff, order):
    placed, other, ready, collected = order(), order(), order("ready"), order("collected")
    page_text = press(staff, "collected", placed, ready, collected, other)
    assert f"Order {number_of(shop, ready)} is collected." in page_text
    reasons = [f"{number_of(shop, order_id)} (must be marked ready first)" for order_id in (placed, other)]
    reasons.insert(1, f"{number_of(shop, collected)} (already collected)")
    assert all(reason in page_text for reason in reasons)
    assert "2 orders are ready." in press(staff, "ready", placed, other)


def test_only_five_of_many_unchanged_orders_are_named(staff, order):
    assert ", and 2 more." in press(staff, "collected", *[order() for _order in range(7)])


def test_cancelling_shows_how_many_copies_returned_and_customers_were_notified(shop, staff, ada):
    last, other = shop.book("The last", stock=1), shop.book("Other", stock=9)
    orders = [shop.order(ada, {last: 1, other: 2}), shop.order(ada, {other: 3})]
    shop.reserve(shop.customer(BEN), last)
    page_text = press(staff, "cancelled", *orders)
    assert "2 orders are cancelled. 6 copies have gone back into stock. 1 waiting customer was notified." in page_text
    assert (shop.stock(last), shop.stock(other), shop.statuses(last), shop.broken()) == (1, 9, ["notified"], [])


def test_an_order_named_twice_is_changed_once(shop, staff, order, emma):
    order_id = order()
    assert "1 copy has gone back into stock" in press(staff, "cancelled", order_id, order_id)
    assert (shop.stock(emma), shop.broken()) == (500, [])


@pytest.mark.parametrize("ids", [[], ["x"], ["", "-1", "0", "1.5", "\0"], [str(2**63)], ["9" * 5000], ["999"], ["②"]])
@pytest.mark.parametrize("change", PATHS)
def test_an_invalid_selection_changes_nothing_and_asks_to_tick_an_order(shop, staff, order, ids, change):
    order(), order("ready")
    before = shop.everything()
    assert "Tick the orders first" in press(staff, change, *ids)
    assert shop.everything() == before


def test_more_than_100_at_once_are_refused_and_nothing_changes(shop, staff, order):
    order_id = order()
    assert "You ticked 101 orders, so none was changed" in press(staff, "ready", *range(order_id, order_id + 101))
    assert status_of(shop, order_id) == "placed"
    assert f"Order {number_of(shop, order_id)} is ready." in press(staff, "ready", *range(order_id, order_id + 100))


@pytest.mark.parametrize("change", PATHS)
def test_the_button_returns_only_to_the_page_it_was_on(staff, order, change):
    order_id = str(order())
    for target, back in {
        "/admin/orders?status=ready&page=2": "/admin/orders?status=ready&page=2",
        f"/admin/orders/{order_id}": f"/admin/orders/{order_id}",
        "//evil.example": "/",
        "https://evil.example/admin/orders": "/",
    }.items():
        assert staff.submit(PATHS[change], page="/admin", order=order_id, next=target).location == back
    assert staff.submit(PATHS[change], page="/admin", order=order_id).location == "/admin/orders"


# ---------------------------------------------------------------- pick list


def test_the_pick_list_sums_all_placed_orders_by_author(shop, staff, ada, order, emma):
    zola = shop.book("Nana", authors="Émile Zola", stock=9)
    first, second = order(copies=2), shop.order(ada, {emma: 1, zola: 1})
    order("ready"), order("cancelled")
    numbers = [number_of(shop, order_id) for order_id in (first, second)]
    words = text_of(staff.get("/admin/orders/pick-list"))
    assert "4 copies of 2 books" in words
    assert f"Jane Austen Emma 9780141439587 3 {numbers[0]} × 2 Ada Lovelace {numbers[1]} Ada Lovelace" in words  # noqa: RUF001
    assert f"Émile Zola Nana 1 {numbers[1]}" in words
    assert words.index("Jane Austen") < words.index("Émile Zola")  # in shelf order


def test_the_pick_list_shows_orders_to_post_and_notes(shop, staff, ada, emma):
    shop.order(ada, {emma: 1}, note="Please wrap it")
    assert "Ada Lovelace , see note" in text_of(staff.get("/admin/orders/pick-list"))


def test_all_orders_of_a_page_can_be_ticked_at_once(staff, order):
    order(), order()
    assert staff.get("/admin/orders").text.count(" checked>") == 0
    assert staff.get("/admin/orders?ticked=all").text.count(" checked>") == 2


def test_without_placed_orders_the_pick_list_says_so(staff, order):
    order("ready")
    page = staff.get("/admin/orders/pick-list")
    assert ("Nothing to pick" in text_of(page), "<table" in page.text) == (True, False)


@pytest.mark.parametrize("path", ["/admin/orders", "/admin/orders/1", "/admin/orders/pick-list"])
def test_customers_cannot_see_staff_pages(shop, web_client, order, path):
    order()
    assert (web_client(ADA).get(path).status_code, web_client().get(path).status_code) == (403, 303)
