"""Staff's stock API: changes, notifications and the ledger."""

import re
from typing import Any

import pytest

from tests.support.clients import ApiClient

pytestmark = pytest.mark.one_postgresql_case

MEMBERS = {
    "id", "isbn", "title", "authors", "publisher", "language", "published_year", "description", "price_cents",
    "currency", "in_stock", "created_at", "updated_at", "stock_quantity", "waiting_count", "notified_count",
    "alerts_queued",
}  # fmt: skip
LINE = {"id", "delta", "quantity_after", "reason", "note", "user", "order_id", "created_at"}
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def staff(shop, api_client):
    shop.staff("staff@example.com")
    return api_client("staff@example.com")


def change(staff: ApiClient, book_id: int, **body: Any) -> Any:
    return staff.patch(f"/api/v1/books/{book_id}/stock", body)


def ledger(staff: ApiClient, book_id: int, **query: Any) -> Any:
    return staff.get(f"/api/v1/books/{book_id}/movements", **query).json


def test_a_restock_returns_the_book_and_the_number_of_notified_customers(shop, staff):
    book_id = shop.book("Emma")
    for user_id in shop.customers(3):
        shop.reserve(user_id, book_id)
    answer = change(staff, book_id, quantity=1)
    assert (answer.status_code, set(answer.json)) == (200, MEMBERS)
    figures = {name: answer.json[name] for name in ("notified_count", "stock_quantity", "waiting_count", "in_stock")}
    assert figures == {"notified_count": 3, "stock_quantity": 1, "waiting_count": 0, "in_stock": True}


@pytest.mark.parametrize(
    ("body", "after", "reason"),
    [
        ({"quantity": 9}, 9, "received"),
        ({"quantity": 2}, 2, "correction"),
        ({"quantity": 0}, 0, "correction"),
        ({"delta": 4}, 9, "received"),
        ({"delta": -5}, 0, "correction"),
        ({"delta": -1, "reason": "sale"}, 4, "sale"),
        ({"delta": 1, "reason": "return"}, 6, "return"),
        ({"quantity": 7, "reason": "import"}, 7, "import"),
        ({"quantity": 7, "reason": "correction", "note": " counted \u00e9 "}, 7, "correction"),
        ({"quantity": 1_000_000}, 1_000_000, "received"),
    ],
)
def test_stock_is_set_or_moved_and_the_ledger_shows_the_reason(shop, staff, body, after, reason):
    book_id = shop.book("Emma", stock=5)
    assert change(staff, book_id, **body).json["stock_quantity"] == after
    line = ledger(staff, book_id)["items"][0]
    assert (line["delta"], line["quantity_after"], line["reason"]) == (after - 5, after, reason)
    assert (line["note"], line["user"]) == (body.get("note", "").strip() or None, "staff@example.com")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"quantity": -1}, "#/quantity"),
        ({"quantity": 1_000_001}, "#/quantity"),
        ({"delta": -6}, "#/delta"),
        ({"delta": 999_996}, "#/delta"),
        ({"quantity": "5"}, "#/quantity"),
        ({"quantity": True}, "#/quantity"),
        ({"delta": 1.0}, "#/delta"),
        ({"quantity": None}, "#"),
        ({}, "#"),
        ({"quantity": 1, "delta": 1}, "#"),
        ({"quantity": 1, "reason": "gift"}, "#/reason"),
        ({"quantity": 1, "note": "x" * 501}, "#/note"),
        ({"quantity": 1, "note": "two\nlines"}, "#/note"),
        ({"quantity": 1, "expected": 5}, "#/expected"),
        ({"delta": 1, "reason": "sale"}, "#/reason"),
        ({"delta": -1, "reason": "received"}, "#/reason"),
        ({"quantity": 1, "reason": "return"}, "#/reason"),
    ],
)
def test_an_impossible_change_is_refused_and_nothing_is_written(shop, staff, body, pointer):
    book_id = shop.book("Emma", stock=5)
    before = shop.everything()
    answer = change(staff, book_id, **body)
    assert (answer.status_code, answer.json["code"]) == (422, "VALIDATION_ERROR")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert shop.everything() == before


@pytest.mark.parametrize("body", [{"quantity": 5}, {"delta": 0}])
def test_a_change_without_effect_writes_no_movement(shop, staff, body):
    book_id = shop.book("Emma", stock=5)
    before = shop.everything()
    answer = change(staff, book_id, **body)
    assert (answer.status_code, answer.json["stock_quantity"], answer.json["notified_count"]) == (200, 5, 0)
    assert shop.everything() == before


def test_the_ledger_lists_the_newest_movement_first_and_who_made_it(shop, staff):
    book_id = shop.book("Emma", stock=5)
    change(staff, book_id, delta=-2, reason="sale", note="to Ada")
    found = ledger(staff, book_id)
    assert [(line["delta"], line["user"]) for line in found["items"]] == [(-2, "staff@example.com"), (5, None)]
    assert {name: found[name] for name in ("total", "page", "size")} == {"total": 2, "page": 1, "size": 20}
    assert [set(line) for line in found["items"]] == [LINE, LINE]
    assert all(UTC.fullmatch(line["created_at"]) for line in found["items"])


def test_the_ledger_is_paginated(shop, staff):
    book_id = shop.book("Emma")
    for quantity in (1, 2, 3):
        shop.set_stock(book_id, quantity)
    second = ledger(staff, book_id, page=2, size=2)
    assert ([line["quantity_after"] for line in second["items"]], second["total"]) == ([1], 3)
    assert ledger(staff, book_id, page=9)["items"] == []


def test_the_ledger_of_an_unknown_book_is_a_404(staff):
    answer = staff.get("/api/v1/books/999/movements")
    assert (answer.status_code, answer.json["code"]) == (404, "BOOK_NOT_FOUND")


def test_a_withdrawn_books_stock_can_be_counted_and_its_ledger_read(shop, staff):
    book_id = shop.book("Emma")
    shop.withdraw(book_id)
    assert change(staff, book_id, quantity=3).json["notified_count"] == 0
    assert ledger(staff, book_id)["total"] == 1
