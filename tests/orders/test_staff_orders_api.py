"""Staff's order API: listing, searching, ready, collected, cancel."""

import pytest

from tests.support.bad_input import assert_problem

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN, STAFF = "ada@example.com", "ben@example.com", "staff@example.com"
LONG_AGO = "2026-01-02 10:00:00+00:00"
ORDERS = "/api/v1/admin/orders"
MEMBERS = {
    "id", "number", "status", "payment", "delivery", "name", "phone", "address", "note", "lines", "totals", "email",
    "created_at", "ready_at", "collected_at", "cancelled_at", "postage_cents", "postage_currency",
}  # fmt: skip
STEPS = {"placed": (), "ready": ("ready",), "collected": ("ready", "collected"), "cancelled": ("cancel",)}
ANSWERS = {"ready": "ready", "collected": "collected", "cancel": "cancelled"}


@pytest.fixture
def staff(shop, api_client):
    shop.staff(STAFF)
    return api_client(STAFF)


@pytest.fixture
def emma(shop):
    return shop.book("Emma", stock=9, isbn="9780141439587")


@pytest.fixture
def order(shop, staff, emma):
    """Create an order in a status; return its id."""
    ada = shop.customer(ADA)

    def make(status="placed", user_id=ada, **fields):
        order_id = shop.order(user_id, {emma: 1}, **fields)
        for step in STEPS[status]:
            assert staff.post(f"{ORDERS}/{order_id}/{step}").status_code == 200
        return order_id

    return make


def ids(answer):
    assert answer.status_code == 200
    return [item["id"] for item in answer.json["items"]]


def test_an_order_has_all_its_members_and_its_customers_address(staff, order):
    order(note="Ring twice")
    found = staff.get(ORDERS).json
    assert {name: found[name] for name in ("total", "page", "size")} == {"total": 1, "page": 1, "size": 20}
    [item] = found["items"]
    assert (set(item), item["email"], item["note"], item["status"]) == (MEMBERS, ADA, "Ring twice", "placed")
    assert [(line["title"], line["quantity"]) for line in item["lines"]] == [("Emma", 1)]
    assert item["totals"] == [{"amount_cents": 950, "currency": "EUR"}]


def test_the_order_of_a_deleted_account_has_no_address(shop, staff, order):
    order()
    shop.execute("UPDATE users SET deleted_at = created_at WHERE email = :email", email=ADA)
    assert staff.get(ORDERS).json["items"][0]["email"] is None


def test_orders_are_listed_by_status_or_all_without_one(staff, order):
    made = {status: order(status) for status in STEPS}
    assert {status: ids(staff.get(ORDERS, status=status)) for status in STEPS} == {
        status: [order_id] for status, order_id in made.items()
    }
    assert ids(staff.get(ORDERS)) == sorted(made.values(), reverse=True)


def test_uncollected_orders_are_listed_oldest_first(shop, staff, order):
    placed, _new, ready, _collected = order(), order(), order("ready"), order("collected")
    shop.execute("UPDATE orders SET created_at = :ago WHERE id <> :new", ago=LONG_AGO, new=_new)
    shop.execute("UPDATE orders SET ready_at = :ago WHERE ready_at IS NOT NULL", ago=LONG_AGO)
    assert ids(staff.get(ORDERS, uncollected="true")) == [placed, ready]
    assert ids(staff.get(ORDERS, uncollected="true", status="ready")) == [ready]


def test_an_order_is_found_by_number_name_address_and_isbn(shop, staff, order):
    found = order(user_id=shop.customer(BEN), name="Björn")
    order(name="Somebody else")
    shop.execute("UPDATE order_lines SET book_id = :other WHERE order_id <> :id", other=shop.book(), id=found)
    number = staff.get(ORDERS, q="bjorn").json["items"][0]["number"]
    for q in (number, number.replace("-", ""), "bjorn", "ben@", "9780141439587", "0-14-143958-0"):
        assert ids(staff.get(ORDERS, q=q)) == [found], q


def test_the_list_is_paginated(staff, order):
    made = [order() for _order in range(3)]
    second = staff.get(ORDERS, page=2, size=2)
    assert (ids(second), second.json["total"], ids(staff.get(ORDERS, page=9))) == ([made[0]], 3, [])


@pytest.mark.parametrize("q", ["\0", "a\nb", "%", "_", "\ufffd", "x" * 5000])
def test_a_search_without_matches_finds_nothing(staff, order, q):
    order()
    assert ids(staff.get(ORDERS, q=q)) == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"q": "4821-7304"}, "#/q"),
        ({"status": "nonsense"}, "#/status"),
        ({"uncollected": "perhaps"}, "#/uncollected"),
        ({"page": "0"}, "#/page"),
        ({"size": "101"}, "#/size"),
        ({"state": "placed"}, "#/state"),
    ],
)
def test_an_invalid_query_is_422(staff, query, pointer):
    answer = staff.get(ORDERS, **query)
    assert_problem(answer, 422, "VALIDATION_ERROR")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


WAYS = {"placed": {"ready", "cancel"}, "ready": {"collected", "cancel"}, "collected": set(), "cancelled": set()}


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("change", ANSWERS)
def test_an_order_changes_status_as_allowed_or_409(shop, staff, order, status, change):
    order_id = order(status)
    before, answer = shop.everything(), staff.post(f"{ORDERS}/{order_id}/{change}")
    if change in WAYS[status]:
        assert (answer.status_code, set(answer.json), answer.json["status"]) == (200, MEMBERS, ANSWERS[change])
        assert (answer.json[f"{ANSWERS[change]}_at"] is not None, shop.broken()) == (True, [])
    else:
        assert_problem(answer, 409, "ORDER_STATE")
        assert shop.everything() == before


def test_cancelling_returns_the_copies_and_notifies_waiting_customers(shop, staff, order, emma):
    order_id = order("ready")
    shop.set_stock(emma, 0)
    shop.reserve(shop.customer(BEN), emma)
    assert staff.post(f"{ORDERS}/{order_id}/cancel").status_code == 200
    assert (shop.stock(emma), shop.statuses(emma), shop.broken()) == (1, ["notified"], [])
    returned = staff.get(f"/api/v1/books/{emma}/movements").json["items"][0]
    members = {name: returned[name] for name in ("delta", "reason", "user", "order_id")}
    assert members == {"delta": 1, "reason": "return", "user": STAFF, "order_id": order_id}


@pytest.mark.parametrize("change", ANSWERS)
@pytest.mark.parametrize("number", ["999", "0", "2147483648", str(2**63)])
def test_an_unknown_order_is_404(staff, change, number):
    assert_problem(staff.post(f"{ORDERS}/{number}/{change}"), 404, "ORDER_NOT_FOUND")


def test_customers_are_refused(api_client, order):
    order_id, ada = order(), api_client(ADA)
    assert_problem(ada.get(ORDERS), 403, "FORBIDDEN")
    for change in ANSWERS:
        assert_problem(ada.post(f"{ORDERS}/{order_id}/{change}"), 403, "FORBIDDEN")


@pytest.mark.parametrize("q", ["nobody", "\0", "x" * 500])
def test_a_search_without_results_shows_the_requested_page(staff, q):
    found = staff.get(ORDERS, q=q, page=3, size=7).json
    assert found == {"items": [], "total": 0, "page": 3, "size": 7}
