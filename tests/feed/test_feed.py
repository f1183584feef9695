"""The event feed for scripts: its content, order and pagination."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import event

from bookshop.events import repository
from bookshop.events.kinds import KINDS, expand_kinds
from bookshop.extensions import db
from bookshop.feed import service
from bookshop.feed.schemas import FeedOut
from bookshop.inventory.service import StockChange
from bookshop.kit.database import ID_MAX
from bookshop.web import services
from tests.support import races
from tests.support.bad_input import assert_problem
from tests.support.clients import ApiClient, WebClient

EVENTS = "/api/v1/events"
STAFF = "staff@example.com"


@pytest.fixture
def staff(app, shop):
    shop.staff(STAFF)
    return ApiClient(app, STAFF)


def read(api_client, after=0, **query):
    """Return the events from there to the end of the feed."""
    items, more = [], True
    while more:
        page = api_client.get(EVENTS, after=after, **query).get_json()
        items += page["items"]
        after, more = page["next"], page["more"]
    return items


def kinds_and_data(events):
    return [(one["kind"], one["data"]) for one in events]


def end(api_client):
    return read(api_client)[-1]["id"] if read(api_client) else 0


def test_the_feed_of_an_empty_shop_is_empty(staff):
    assert staff.get(EVENTS).get_json() == {"items": [], "next": 0, "more": False}


def test_a_restock_in_the_form_shows_stock_return_and_notified_customers_in_this_order(app, shop, staff):
    emma, (ada, ben) = shop.book("Emma", isbn="9780141439587"), shop.customers(2)
    reserved = [shop.reserve(ada, emma), shop.reserve(ben, emma)]
    begun = end(staff)
    WebClient(app, STAFF).submit(f"/admin/books/{emma}/stock", change="received", copies="3", expected="0")
    book = {"book_id": emma, "isbn": "9780141439587"}
    movement = {"movement_id": 1, **book}
    assert kinds_and_data(read(staff, begun)) == [
        ("stock.changed", {**movement, "delta": 3, "stock_quantity": 3, "reason": "received", "order_id": None}),
        ("book.restocked", {**movement, "stock_quantity": 3, "notified_count": 2}),
        *[("prebooking.notified", {"prebooking_id": one, **book}) for one in reserved],
    ]


def test_reserving_and_cancelling_create_one_event_each(app, shop, staff):
    shop.customer()
    emma, ada = shop.book(), ApiClient(app, "ada@example.com")
    prebook_id = ada.reserve(emma).get_json()["id"]
    ada.reserve(emma)  # a second one is refused
    ada.delete(f"/api/v1/prebookings/{prebook_id}")
    ada.delete(f"/api/v1/prebookings/{prebook_id}")
    data = {"prebooking_id": prebook_id, "book_id": emma, "isbn": None}
    assert kinds_and_data(read(staff)) == [("prebooking.created", data), ("prebooking.cancelled", data)]


def test_an_order_creates_events_from_checkout_to_collection(app, shop, staff):
    ada, emma = shop.customer(), shop.book(stock=2)
    shop.fill_cart(ada, {emma: 2})
    begun = end(staff)
    made = ApiClient(app, "ada@example.com").post("/api/v1/orders", {"name": "Ada"}).get_json()
    for change in ("ready", "collected", "collected"):
        staff.post(f"/api/v1/admin/orders/{made['id']}/{change}")
    order = {"order_id": made["id"], "number": made["number"]}
    sale = {"delta": -2, "stock_quantity": 0, "reason": "sale", "order_id": made["id"]}
    assert kinds_and_data(read(staff, begun)) == [
        ("order.placed", order),
        ("stock.changed", {"movement_id": 2, "book_id": emma, "isbn": None, **sale}),
        ("order.ready", order),
        ("order.collected", order),
    ]


def test_cancelling_an_order_puts_its_book_back_in_stock(app, shop, staff):
    (ada, ben), emma = shop.customers(2), shop.book(stock=1)
    order = shop.order(ada, {emma: 1})
    shop.reserve(ben, emma)
    begun = end(staff)
    assert staff.post(f"/api/v1/admin/orders/{order}/cancel").status_code == 200
    kinds = ["order.cancelled", "stock.changed", "book.restocked", "prebooking.notified"]
    events = read(staff, begun)
    assert [one["kind"] for one in events] == kinds
    assert (events[1]["data"]["reason"], events[1]["data"]["order_id"]) == ("return", order)


def test_withdrawing_a_book_and_deleting_an_account_cancel_waiting_reservations(shop, staff):
    (ada, ben), (emma, other) = shop.customers(2), (shop.book(), shop.book())
    for book_id in (emma, other):
        shop.reserve(ada, book_id)
    shop.reserve(ben, emma)
    begun = end(staff)
    shop.withdraw(emma)
    shop.deactivate("customer0@example.com")
    cancelled = [one["data"]["prebooking_id"] for one in read(staff, begun, kinds="prebooking.cancelled")]
    assert cancelled == [1, 3, 2]


def test_deliveries_and_imports_create_one_event_per_book(app, shop, staff, tmp_path):
    isbns = ["9780141439587", "9780141439518"]
    for isbn in isbns:
        shop.book(isbn=isbn)
    form = {"lines": f"{isbns[0]}\n{isbns[1]} x2", "previewed": f"{isbns[0]}x1 {isbns[1]}x2", "receive": "yes"}
    browser = WebClient(app, STAFF)
    browser.submit("/admin/delivery", **form)
    (tmp_path / "books.csv").write_text(f"title,authors,isbn,stock_quantity\nEmma,Jane Austen,{isbns[0]},0\n")
    app.test_cli_runner().invoke(args=["books", "import", str(tmp_path / "books.csv")])
    told = [(one["data"]["isbn"], one["data"]["delta"]) for one in read(staff, kinds="stock.changed")]
    assert told == [(isbns[0], 1), (isbns[1], 2), (isbns[0], -1)]


def test_refused_and_rolled_back_changes_create_no_event(app, shop, staff):
    emma = shop.book(stock=1)
    before = read(staff)
    assert staff.patch(f"/api/v1/books/{emma}/stock", {"delta": -2}).status_code == 422

    def fails():
        services.shelf().update_stock(StockChange(book_id=emma, quantity=5))
        raise LookupError

    with app.app_context(), pytest.raises(LookupError):
        services.commit(fails)
    assert read(staff) == before


def test_the_feed_contains_no_personal_data(app, shop, staff):
    ada, emma = shop.customer(), shop.book()
    shop.reserve(ada, emma)
    shop.set_stock(emma, 1)
    shop.order(ada, {emma: 1}, phone="030 5550 173")
    text = staff.get(EVENTS).text
    assert not [word for word in ("ada", "Ada", "Lovelace", "5550", "user") if word in text]


def many_events(shop, number=25):
    emma = shop.book()
    for quantity in range(1, number + 1):
        shop.set_stock(emma, quantity)


def test_pages_follow_each_other_by_after_and_positions_have_no_gaps(shop, staff):
    many_events(shop)
    first = staff.get(EVENTS, size=10).get_json()
    assert ([one["id"] for one in first["items"]], first["next"], first["more"]) == ([*range(1, 11)], 10, True)
    assert [one["id"] for one in read(staff, size=7)] == [*range(1, 27)]
    last = staff.get(EVENTS, after=20, size=6).get_json()
    assert (last["next"], last["more"]) == (26, False)
    assert staff.get(EVENTS, after=26).get_json() == {"items": [], "next": 26, "more": False}
    assert staff.get(EVENTS, after=ID_MAX).get_json() == {"items": [], "next": ID_MAX, "more": False}


def test_a_page_scans_only_part_of_the_feed_and_says_how_far(shop, staff, monkeypatch):
    monkeypatch.setattr(service, "SCAN_MAX", 10)
    many_events(shop)
    assert staff.get(EVENTS, kinds="order.*").get_json() == {"items": [], "next": 10, "more": True}
    assert read(staff, kinds="order.*") == []
    assert [one["id"] for one in read(staff, kinds="book.*", size=1)] == [2]


def test_kinds_are_given_in_full_by_prefix_or_all(shop, staff):
    ada, emma = shop.customer(), shop.book(stock=1)
    shop.order(ada, {emma: 1})
    shop.reserve(ada, emma)

    def kinds(wanted):
        return [one["kind"] for one in read(staff, kinds=wanted)]

    assert kinds("*") == kinds("stock.*,book.*,order.*,prebooking.*")
    assert kinds("prebooking.*") == ["prebooking.created"]
    assert kinds("order.placed, book.*") == ["book.restocked", "order.placed"]
    assert set(expand_kinds(["order.*", "order.placed"])) == {kind for kind in KINDS if kind.startswith("order")}


@pytest.mark.parametrize("wanted", ["", "stock", "stock.", "stock.moved", "order*", ".*", "*.placed", "order.*,"])
def test_an_unknown_kind_is_refused_and_the_known_ones_are_named(staff, wanted):
    answer = staff.get(EVENTS, kinds=wanted)
    assert_problem(answer, 422, "VALIDATION_ERROR")
    (error,) = answer.get_json()["errors"]
    assert ("is not a kind of event: use stock.changed, " in error["detail"], error["pointer"]) == (True, "#/kinds")


@pytest.mark.parametrize("query", [{"after": -1}, {"after": 2**31}, {"after": "x"}, {"size": 0}, {"size": 1001}])
def test_an_invalid_position_or_size_is_refused(staff, query):
    assert_problem(staff.get(EVENTS, **query), 422, "VALIDATION_ERROR")


def test_the_contract_has_one_model_per_kind_of_data():
    found = FeedOut.model_json_schema()["properties"]["items"]["items"]
    assert found["discriminator"]["propertyName"] == "kind"
    assert (set(found["discriminator"]["mapping"]), len(found["oneOf"])) == (set(KINDS), 4)


# -- positions


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_many_events_get_their_positions_in_several_transactions_before_the_response(shop, staff, monkeypatch):
    monkeypatch.setattr(repository, "BATCH", 4)
    many_events(shop)
    assert shop.rows("SELECT count(*) FROM events WHERE position IS NULL") == [26]
    page = staff.get(EVENTS, after=25).get_json()
    assert ([one["id"] for one in page["items"]], page["more"]) == ([26], False)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_reader_during_another_assignment_sees_all_earlier_commits(app, shop, staff):
    """Another reader, whose snapshot is older than the last event, holds the lock until then."""
    emma = shop.book(stock=1)
    with app.app_context():
        with db.engine.begin() as other:
            other.execute(repository.POSITIONS_LOCK)
            asked = partial(staff.get, EVENTS)
            shop.set_stock(emma, 2)
            with ThreadPoolExecutor(1) as pool:
                with races.waiting_for_lock(db.engine) as is_blocked:
                    answer = pool.submit(asked)
                    races.wait_for(answer.done, is_blocked, races.SHORT)
                assert not answer.done()
                other.rollback()
        assert [one["id"] for one in answer.result().get_json()["items"]] == [1, 2, 3]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_reader_takes_no_lock_when_there_is_nothing_new(app, shop, staff):
    many_events(shop, 2)
    staff.get(EVENTS)
    sent = []
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_more: sent.append(statement))
    staff.get(EVENTS)
    assert not [statement for statement in sent if "advisory" in statement]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_on_sqlite_an_event_gets_its_position_when_it_is_written(shop, staff):
    ada, emma = shop.customer(), shop.book()
    shop.reserve(ada, emma)
    shop.set_stock(emma, 1)
    assert shop.rows("SELECT id, position FROM events ORDER BY id") == [(n, n) for n in range(1, 5)]
