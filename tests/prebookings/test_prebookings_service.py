"""The rules of reservations (DESIGN 2), each by page and by JSON."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.extensions import db
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import Shop
from tests.support.settings import settings_for

IN_STOCK = "Book is in stock — add to cart instead"
CODES = {
    "PREBOOK_BOOK_IN_STOCK": IN_STOCK,
    "PREBOOK_DUPLICATE": "You have already reserved this book.",
    "PREBOOK_LIMIT_REACHED": "You are waiting for 2 books, the most you can reserve at a time.",
    "PREBOOK_ALREADY_CANCELLED": "This reservation has already been cancelled.",
    "PREBOOK_ALREADY_NOTIFIED": "This book is back in stock, so there is nothing to cancel.",
}


class PageCustomer:
    """A customer on the pages. `reserve` and `cancel` return '' or the flashed message."""

    def __init__(self, app, email):
        self.browser = WebClient(app, email)

    def reserve(self, book_id):
        return self._submit(f"/books/{book_id}/reserve")

    def cancel(self, prebook_id):
        return self._submit(f"/reservations/{prebook_id}/cancel")

    def _submit(self, path: str) -> str:
        answer = self.browser.submit(path, page="/account/password")
        if answer.status_code == 404:
            return "404"
        assert answer.status_code == 303
        flashed = text_of(self.browser.get(answer.headers["Location"]))
        return "" if "Reserved." in flashed or "Your reservation of " in flashed else flashed


class ApiCustomer:
    """A customer's script. `reserve` and `cancel` return '' or the reason of a refusal."""

    def __init__(self, app, email):
        self.api_client = ApiClient(app, email)

    def reserve(self, book_id):
        return self._why_not(self.api_client.reserve(book_id), 201)

    def cancel(self, prebook_id):
        return self._why_not(self.api_client.delete(f"/api/v1/prebookings/{prebook_id}"), 204)

    def _why_not(self, answer: TestResponse, expected: int) -> str:
        if answer.status_code == expected:
            return ""
        if answer.status_code == 404:
            return "404"
        problem: Any = answer.json
        assert answer.status_code == 409
        assert problem["detail"].startswith(CODES[problem["code"]])
        return str(problem["detail"])


@pytest.fixture(params=[PageCustomer, ApiCustomer], ids=["page", "json"])
def customer_class(request):
    return request.param


@pytest.fixture
def ada(shop, app, customer_class):
    """The customer Ada, on the pages or in JSON; `ada.id` is her user id."""
    user_id = shop.customer("ada@example.com")
    found = customer_class(app, "ada@example.com")
    found.id = user_id
    return found


@pytest.fixture
def small_shop(app, database_url, customer_class):
    """A shop with a limit of two waiting reservations, and Ada in it."""
    other = create_app(settings_for(database_url, max_waiting=2))
    shop = Shop(other)
    shop.customer("ada@example.com")
    yield shop, customer_class(other, "ada@example.com")
    with other.app_context():
        db.engine.dispose()


def test_a_book_in_stock_cannot_be_reserved(shop, ada):
    book_id = shop.book(stock=1)
    assert IN_STOCK in ada.reserve(book_id)
    assert shop.statuses(book_id) == []


def test_a_book_cannot_be_reserved_twice(shop, ada):
    book_id = shop.book()
    assert ada.reserve(book_id) == ""
    assert CODES["PREBOOK_DUPLICATE"] in ada.reserve(book_id)
    assert shop.statuses(book_id) == ["waiting"]


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_book_that_is_not_on_sale_cannot_be_reserved(shop, ada, withdrawn):
    book_id = shop.book() if withdrawn else 999
    if withdrawn:
        shop.withdraw(book_id)
    assert ada.reserve(book_id) == "404"
    assert shop.statuses(book_id) == []


def test_reserving_again_after_a_cancellation_creates_a_new_record(shop, ada):
    book_id = shop.book()
    assert ada.reserve(book_id) == ada.cancel(shop.rows("SELECT id FROM prebookings")[0]) == ada.reserve(book_id) == ""
    assert shop.statuses(book_id) == ["cancelled", "waiting"]
    assert shop.rows("SELECT cancelled_at IS NOT NULL FROM prebookings ORDER BY id") == [True, False]


def test_a_book_restocked_after_a_cancellation_cannot_be_reserved(shop, ada):
    book_id = shop.book()
    shop.cancel(ada.id, shop.reserve(ada.id, book_id))
    shop.set_stock(book_id, 1)
    assert IN_STOCK in ada.reserve(book_id)
    assert shop.statuses(book_id) == ["cancelled"]


def test_a_reservation_cannot_be_cancelled_twice(shop, ada):
    prebook_id = shop.reserve(ada.id, shop.book())
    assert ada.cancel(prebook_id) == ""
    before = shop.everything()
    assert CODES["PREBOOK_ALREADY_CANCELLED"] in ada.cancel(prebook_id)
    assert shop.everything() == before


def test_a_notified_reservation_cannot_be_cancelled(shop, ada):
    book_id = shop.book()
    prebook_id = shop.reserve(ada.id, book_id)
    shop.set_stock(book_id, 1)
    before = shop.everything()
    assert CODES["PREBOOK_ALREADY_NOTIFIED"] in ada.cancel(prebook_id)
    assert shop.everything() == before


def test_another_customers_reservation_cannot_be_cancelled_and_looks_unknown(shop, ada):
    prebook_id = shop.reserve(shop.customer("ben@example.com"), shop.book())
    assert ada.cancel(prebook_id) == ada.cancel(999) == "404"
    assert shop.rows("SELECT status FROM prebookings") == ["waiting"]


def test_a_notified_customer_can_reserve_again_when_the_book_sells_out(shop, ada):
    book_id = shop.book()
    shop.reserve(ada.id, book_id)
    for quantity in (3, 0):
        shop.set_stock(book_id, quantity)
    assert ada.reserve(book_id) == ""
    assert shop.statuses(book_id) == ["notified", "waiting"]
    assert shop.set_stock(book_id, 1) == ["ada@example.com"]
    assert len(set(shop.rows("SELECT movement_id FROM prebookings"))) == 2


def test_reservations_are_limited(small_shop):
    shop, ada = small_shop
    first, second, third = (shop.book(title) for title in ("Emma", "Persuasion", "Sanditon"))
    assert ada.reserve(first) == ada.reserve(second) == ""
    assert CODES["PREBOOK_LIMIT_REACHED"] in ada.reserve(third)
    assert shop.statuses(third) == []


@pytest.mark.parametrize("how", ["cancelled", "notified"])
def test_only_waiting_reservations_count_towards_the_limit(small_shop, how):
    shop, ada = small_shop
    first, second, third = (shop.book(title) for title in ("Emma", "Persuasion", "Sanditon"))
    assert ada.reserve(first) == ada.reserve(second) == ""
    if how == "cancelled":
        assert ada.cancel(shop.rows("SELECT min(id) FROM prebookings")[0]) == ""
    else:
        shop.set_stock(first, 1)
    assert ada.reserve(third) == ""
    assert shop.statuses(first) == [how]


def test_the_first_reason_wins_unknown_in_stock_duplicate_limit(small_shop):
    shop, ada = small_shop
    reserved, other, free, in_stock = shop.book("Emma"), shop.book("Persuasion"), shop.book("Lady Susan"), shop.book()
    shop.set_stock(in_stock, 1)
    assert ada.reserve(reserved) == ada.reserve(other) == ""
    assert ada.reserve(999) == "404"
    assert IN_STOCK in ada.reserve(in_stock)
    assert CODES["PREBOOK_DUPLICATE"] in ada.reserve(reserved)
    assert CODES["PREBOOK_LIMIT_REACHED"] in ada.reserve(free)


def test_staff_have_no_reservations(shop, app, customer_class):
    shop.staff("staff@example.com")
    book_id = shop.book()
    asker = customer_class(app, "staff@example.com")
    if customer_class is ApiCustomer:
        assert asker.api_client.reserve(book_id).json["code"] == "FORBIDDEN"
    else:
        assert asker.browser.submit(f"/books/{book_id}/reserve", page="/").status_code == 403
    assert shop.statuses(book_id) == []
