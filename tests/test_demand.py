"""How much books are wanted: the report for staff, as JSON and as a file, and who waits for a book."""

import csv
from io import StringIO

import pytest

from bookshop import faces
from tests.factories import PASSWORD, isbn
from tests.stand import assert_problem

ADA, BEN, CAY, STAFF = "ada@example.com", "ben@example.com", "cay@example.com", "staff@example.com"
DEMAND = "/api/v1/reports/demand"
ODD = 'Emma, "the" book\nof a heroine'


@pytest.fixture
def staff(shop, script):
    """Two wait for book 1. Of book 2 three were told, and two bought, one of whom gave it back. One did not want book 3
    any more, nobody book 4, and book 5 is withdrawn.
    """
    shop.staff(STAFF)
    people = [shop.customer(email) for email in (ADA, BEN, CAY)]
    ada, ben, cay = people
    for number in range(1, 6):
        shop.book("Emma" if number < 5 else "Gone", isbn=isbn(number))
    shop.reserve(ada, 1)
    shop.reserve(ben, 1)
    for customer in people:
        shop.reserve(customer, 2)
    shop.set_stock(2, 5)
    shop.order(ada, {2: 1})
    shop.cancel_order(ben, shop.order(ben, {2: 1}))
    shop.cancel(cay, shop.reserve(cay, 3))
    shop.reserve(cay, 5)
    shop.withdraw(5)
    return script(STAFF)


def figures(item):
    return tuple(item[name] for name in ("book_id", "stock_quantity", "waiting", "notified", "bought"))


def test_the_most_wanted_come_first_with_how_many_wait_were_told_and_bought(shop, staff):
    found = staff.get(DEMAND).json
    assert [figures(item) for item in found["items"]] == [(1, 0, 2, 0, 0), (2, 4, 0, 3, 1)]
    assert (found["total"], found["page"], found["size"]) == (2, 1, 20)
    first, second = found["items"]
    assert (first["isbn"], first["title"], first["authors"]) == (isbn(1), "Emma", "Jane Austen")
    assert second["waiting_since"] is None


def test_the_oldest_wait_is_that_of_the_first_who_waits(shop, staff):
    shop.execute("UPDATE prebookings SET created_at = '2026-01-02 03:04:05.000000' WHERE id = 1")
    assert staff.get(DEMAND).json["items"][0]["waiting_since"] == "2026-01-02T03:04:05Z"
    shop.cancel(2, 1)
    assert staff.get(DEMAND).json["items"][0]["waiting_since"] > "2026-01-02T03:04:05Z"
    assert figures(staff.get(DEMAND).json["items"][0])[2] == 1


def test_who_left_counts_for_what_was_and_no_longer_waits(shop, staff):
    shop.commit(lambda: faces.accounts().delete(2, PASSWORD))
    assert [figures(item) for item in staff.get(DEMAND).json["items"]] == [(1, 0, 1, 0, 0), (2, 5, 0, 3, 0)]


def test_the_file_holds_all_that_the_pages_hold(shop, staff):
    shop.execute("UPDATE books SET title = :title WHERE id = 1", title=ODD)
    answer = staff.get(DEMAND, format="csv", size=1)
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == "attachment; filename=demand.csv"
    rows = list(csv.DictReader(StringIO(answer.text, newline="")))
    items = staff.get(DEMAND, format="json").json["items"]
    assert rows == [{name: "" if value is None else str(value) for name, value in item.items()} for item in items]
    assert rows[0]["title"] == ODD


def test_a_shop_in_which_nobody_wants_anything_reports_nothing(shop, script):
    shop.staff(STAFF)
    staff = script(STAFF)
    assert staff.get(DEMAND).json["items"] == []
    assert len(staff.get(DEMAND, format="csv").text.splitlines()) == 1


@pytest.mark.parametrize("query", [{"format": "xml"}, {"format": ""}, {"size": 0}, {"status": "waiting"}])
def test_what_cannot_be_reported_is_refused(staff, query):
    assert_problem(staff.get(DEMAND, **query), 422, "VALIDATION_ERROR")


def test_staff_see_who_waits_for_a_book_and_who_was_told_the_oldest_first(shop, staff):
    found = staff.get("/api/v1/books/2/prebookings").json
    assert [(item["email"], item["status"]) for item in found["items"]] == [
        (ADA, "notified"), (BEN, "notified"), (CAY, "notified"),
    ]  # fmt: skip
    assert list(found["items"][0]) == [
        *("id", "book_id", "book_title", "book_authors", "status", "created_at", "notified_at", "cancelled_at"),
        "email",
    ]
    waiting = staff.get("/api/v1/books/1/prebookings", status="waiting").json["items"]
    assert [item["email"] for item in waiting] == [ADA, BEN]
    assert staff.get("/api/v1/books/1/prebookings", status="cancelled").json["total"] == 0


def test_of_who_left_no_address_is_told(shop, staff):
    shop.commit(lambda: faces.accounts().delete(2, PASSWORD))
    found = staff.get("/api/v1/books/2/prebookings").json["items"]
    assert [item["email"] for item in found] == [None, BEN, CAY]


def test_a_withdrawn_book_is_there_for_staff_and_one_that_never_was_is_not(staff):
    assert staff.get("/api/v1/books/5/prebookings").json["items"][0]["status"] == "cancelled"
    assert_problem(staff.get("/api/v1/books/99/prebookings"), 404, "BOOK_NOT_FOUND")
