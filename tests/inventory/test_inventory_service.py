"""How stock changes from every source affect waiting customers (DESIGN 2.4 to 2.7)."""

import pytest

from bookshop.inventory.service import StockChange
from bookshop.kit.exceptions import Invalid
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support.clients import ApiClient, WebClient

NOTIFIED = "SELECT notified_at FROM prebookings ORDER BY id"


def by_page(app):
    """Set a stock by the form."""
    staff = WebClient(app, "staff@example.com")

    def set_stock(book_id, quantity, expected):
        path = f"/admin/books/{book_id}/stock"
        answer = staff.submit(path, change="correction", copies=quantity, expected=expected)
        assert answer.status_code == 303

    return set_stock


def by_json(app):
    """Set a stock by JSON."""
    staff = ApiClient(app, "staff@example.com")

    def set_stock(book_id, quantity, expected):
        assert staff.set_stock(book_id, quantity).status_code == 200

    return set_stock


@pytest.fixture(params=[by_page, by_json], ids=["page", "json"])
def set_stock(request, app, shop):
    """Set a book's stock by page or by JSON: set_stock(book_id, quantity, expected)."""
    shop.staff("staff@example.com")
    return request.param(app)


@pytest.fixture
def emma(shop):
    """A book that is out of stock, with three waiting customers."""
    book_id = shop.book("Emma")
    for user_id in shop.customers(3):
        shop.reserve(user_id, book_id)
    return book_id


@pytest.mark.parametrize("copies", [1, 100])
def test_all_waiting_customers_are_notified_even_by_a_single_copy(shop, emma, set_stock, copies):
    set_stock(emma, copies, 0)
    assert shop.statuses(emma) == ["notified"] * 3
    assert shop.broken() == []


def test_reservations_of_another_book_stay_waiting(shop, emma, set_stock):
    other = shop.book("Persuasion")
    shop.reserve(shop.customer(), other)
    set_stock(emma, 1, 0)
    assert shop.statuses(other) == ["waiting"]


def test_cancelled_reservations_are_not_notified(shop, emma, set_stock):
    shop.cancel(*shop.rows("SELECT user_id, id FROM prebookings ORDER BY id")[0])
    set_stock(emma, 1, 0)
    assert shop.statuses(emma) == ["cancelled", "notified", "notified"]


def test_notified_is_final_and_unaffected_by_later_stock_changes(shop, emma, set_stock):
    set_stock(emma, 5, 0)
    notified_rows = shop.rows("SELECT * FROM prebookings ORDER BY id")
    for before, after in ((5, 9), (9, 2), (2, 0), (0, 7)):
        set_stock(emma, after, before)
        assert shop.rows("SELECT * FROM prebookings ORDER BY id") == notified_rows


def test_only_new_reservations_are_notified_at_the_next_restock(shop, emma, set_stock):
    set_stock(emma, 5, 0)
    set_stock(emma, 0, 5)
    notified_rows = shop.rows(NOTIFIED)
    shop.reserve(shop.customer("ada@example.com"), emma)
    set_stock(emma, 1, 0)
    assert shop.rows(NOTIFIED)[:3] == notified_rows
    assert shop.statuses(emma) == ["notified"] * 4


def test_a_notified_pre_booking_names_its_movement(shop, emma, set_stock):
    set_stock(emma, 5, 0)
    set_stock(emma, 6, 5)
    movement_id = shop.rows("SELECT id FROM movements WHERE delta = 5")[0]
    assert shop.rows("SELECT DISTINCT movement_id FROM prebookings") == [movement_id]


def test_the_service_returns_the_addresses_of_notified_customers(shop, emma):
    assert sorted(shop.set_stock(emma, 1)) == [f"customer{number}@example.com" for number in range(3)]
    assert shop.set_stock(emma, 2) == shop.set_stock(emma, 0) == shop.set_stock(emma, 3) == []


@pytest.fixture
def failing(monkeypatch):
    """Make the notification fail after the stock and the reservations were changed."""
    notify = PreBookRepository.notify_waiting_by_book

    def fail(self, movements):
        notify(self, movements)
        raise RuntimeError("the power went out")

    monkeypatch.setattr(PreBookRepository, "notify_waiting_by_book", fail)


def test_a_restock_that_cannot_notify_changes_no_stock(shop, api_client, web_client, emma, failing):
    shop.staff("staff@example.com")
    staff, browser = api_client("staff@example.com"), web_client("staff@example.com")
    before = shop.everything()
    path = f"/admin/books/{emma}/stock"
    assert staff.set_stock(emma, 5).status_code == 500
    assert browser.submit(path, change="received", copies=5, expected=0).status_code == 500
    assert shop.everything() == before


def test_a_savepoint_undoes_a_failed_restock_in_a_continuing_transaction(shop, emma, failing):
    def restock_and_go_on():
        with pytest.raises(RuntimeError, match="power"):
            services.inventory().update_stock(StockChange(book_id=emma, quantity=5))
        return services.catalog().create({"title": "Other", "authors": "A", "price_cents": 1, "currency": "EUR"})

    other = shop.commit(restock_and_go_on)
    assert (shop.stock(emma), shop.statuses(emma), shop.stock(other)) == (0, ["waiting"] * 3, 0)
    assert shop.rows("SELECT id FROM movements") == []


def test_many_stock_changes_are_all_written_or_none(shop, emma):
    other = shop.book("Persuasion", stock=1)
    changes = [StockChange(book_id=emma, quantity=5), StockChange(book_id=other, delta=-2)]
    before = shop.everything()
    with pytest.raises(Invalid, match="cannot fall below 0"):
        shop.commit(lambda: services.inventory().update_stocks(changes))
    assert shop.everything() == before


def test_the_service_does_not_commit(shop, emma):
    with shop.app.app_context():
        services.inventory().update_stock(StockChange(book_id=emma, quantity=5))
    assert (shop.stock(emma), shop.statuses(emma)) == (0, ["waiting"] * 3)
