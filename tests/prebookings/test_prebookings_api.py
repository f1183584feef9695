"""The JSON contract of pre-bookings."""

import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

pytestmark = pytest.mark.one_postgresql_case

MEMBERS = ["id", "book_id", "book_title", "book_authors", "status", "created_at", "notified_at", "cancelled_at"]
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
URL = "/api/v1/prebookings"


@pytest.fixture
def ada(shop, api_client):
    shop.customer("ada@example.com")
    return api_client("ada@example.com")


def refusal(answer: TestResponse) -> tuple[int, str]:
    problem: Any = answer.json
    return answer.status_code, problem["code"]


def times(prebook: dict[str, Any]) -> set[str]:
    """Return which of the three times are set, after checking their format."""
    found = {name: value for name, value in prebook.items() if name.endswith("_at") and value is not None}
    assert all(UTC.fullmatch(value) for value in found.values())
    return set(found)


def test_a_created_pre_booking_is_returned_as_it_will_be_read_with_its_location(shop, ada):
    book_id = shop.book("Emma")
    made = ada.reserve(book_id)
    assert (made.status_code, made.mimetype, sorted(made.json)) == (201, "application/json", sorted(MEMBERS))
    assert made.headers["Location"].endswith(f"{URL}/{made.json['id']}")
    assert ada.get(made.headers["Location"]).json == made.json
    assert (made.json["book_id"], made.json["book_title"], made.json["book_authors"]) == (
        book_id,
        "Emma",
        "Jane Austen",
    )
    assert (made.json["status"], times(made.json)) == ("waiting", {"created_at"})


def test_a_restock_and_a_cancellation_create_events_with_their_times(shop, ada):
    book_id = shop.book()
    cancelled = ada.reserve(book_id).json
    assert ada.delete(f"{URL}/{cancelled['id']}").status_code == 204
    notified = ada.reserve(book_id).json
    shop.set_stock(book_id, 1)
    assert times(ada.get(f"{URL}/{cancelled['id']}").json) == {"created_at", "cancelled_at"}
    assert times(ada.get(f"{URL}/{notified['id']}").json) == {"created_at", "notified_at"}


def test_a_cancellation_has_an_empty_response(shop, ada):
    answer = ada.delete(f"{URL}/{ada.reserve(shop.book()).json['id']}")
    assert (answer.status_code, answer.data) == (204, b"")


@pytest.fixture
def three(shop, ada):
    """The ids of Ada's three pre-bookings, one of each status, oldest first."""
    books = [shop.book(title) for title in ("Emma", "Persuasion", "Sanditon")]
    ids = [ada.reserve(book_id).json["id"] for book_id in books]
    shop.set_stock(books[0], 1)
    ada.delete(f"{URL}/{ids[1]}")
    return ids


def test_a_customers_reservations_are_listed_newest_first_in_every_status(three, ada):
    found = ada.get(URL).json
    assert sorted(found) == ["items", "page", "size", "total"]
    assert [item["id"] for item in found["items"]] == three[::-1]
    assert [item["status"] for item in found["items"]] == ["waiting", "cancelled", "notified"]
    assert [sorted(item) for item in found["items"]] == [sorted(MEMBERS)] * 3
    assert (found["total"], found["page"], found["size"]) == (3, 1, 20)


@pytest.mark.parametrize(("status", "which"), [("notified", 0), ("cancelled", 1), ("waiting", 2)])
def test_a_list_can_be_filtered_by_status(three, ada, status, which):
    found = ada.get(URL, status=status).json
    assert ([item["id"] for item in found["items"]], found["total"]) == ([three[which]], 1)


@pytest.mark.parametrize(("page", "expected"), [(1, [2, 1]), (2, [0]), (3, []), (2**31 - 1, [])])
def test_a_list_is_paginated(three, ada, page, expected):
    found = ada.get(URL, page=page, size=2).json
    assert [item["id"] for item in found["items"]] == [three[which] for which in expected]
    assert (found["total"], found["page"], found["size"]) == (3, page, 2)


@pytest.mark.parametrize(
    "query", [{"status": "gone"}, {"status": ""}, {"page": 0}, {"size": 0}, {"size": 101}, {"page": "x"}, {"other": 1}]
)
def test_invalid_list_parameters_are_refused(ada, query):
    answer = ada.get(URL, **query)
    assert refusal(answer) == (422, "VALIDATION_ERROR")
    assert [error["pointer"] for error in answer.json["errors"]] == [f"#/{next(iter(query))}"]


def test_another_customers_pre_booking_is_not_found(shop, api_client, three):
    shop.customer("ben@example.com")
    ben, before = api_client("ben@example.com"), shop.everything()["prebookings"]
    answers = [call(f"{URL}/{prebook_id}") for prebook_id in (*three, 999) for call in (ben.get, ben.delete)]
    assert {refusal(answer) for answer in answers} == {(404, "PREBOOK_NOT_FOUND")}
    assert ben.get(URL).json["total"] == 0
    assert shop.everything()["prebookings"] == before


def test_cancelled_and_notified_reservations_cannot_be_cancelled(three, ada):
    answers = [ada.delete(f"{URL}/{prebook_id}") for prebook_id in three[:2]]
    assert [refusal(answer) for answer in answers] == [
        (409, "PREBOOK_ALREADY_NOTIFIED"),
        (409, "PREBOOK_ALREADY_CANCELLED"),
    ]


def test_every_refusal_to_reserve_is_a_problem_with_its_code(shop, ada):
    in_stock, reserved = shop.book(stock=1), shop.book()
    ada.reserve(reserved)
    answers = [ada.reserve(book_id) for book_id in (999, in_stock, reserved)]
    assert [refusal(answer) for answer in answers] == [
        (404, "BOOK_NOT_FOUND"),
        (409, "PREBOOK_BOOK_IN_STOCK"),
        (409, "PREBOOK_DUPLICATE"),
    ]
    assert answers[1].json == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "Book is in stock — add to cart instead",
        "code": "PREBOOK_BOOK_IN_STOCK",
    }
    assert {answer.mimetype for answer in answers} == {"application/problem+json"}


@pytest.mark.parametrize("book_id", ["1", 1.0, True, None, 0, -1, 2**31, 2**63, [1], {}])
def test_a_book_id_is_a_whole_number(shop, ada, book_id):
    shop.book()
    answer = ada.reserve(book_id)
    assert refusal(answer) == (422, "VALIDATION_ERROR")
    assert [error["pointer"] for error in answer.json["errors"]] == ["#/book_id"]


def test_an_unknown_member_is_refused(shop, ada):
    answer = ada.post(URL, {"book_id": shop.book(), "quantity": 2})
    assert (refusal(answer), answer.json["errors"][0]["pointer"]) == ((422, "VALIDATION_ERROR"), "#/quantity")
    assert shop.rows("SELECT id FROM prebookings") == []


@pytest.mark.parametrize(
    ("email", "refused"), [(None, (401, "NOT_AUTHENTICATED")), ("staff@example.com", (403, "FORBIDDEN"))]
)
def test_only_customers_have_pre_bookings(shop, api_client, three, email, refused):
    shop.staff("staff@example.com")
    client, before = api_client(email), shop.everything()
    path = f"{URL}/{three[2]}"
    answers = [
        client.reserve(shop.rows("SELECT min(id) FROM books")[0]),
        client.get(URL),
        client.get(path),
        client.delete(path),
    ]
    assert [refusal(answer) for answer in answers] == [refused] * 4
    assert shop.everything() == before
