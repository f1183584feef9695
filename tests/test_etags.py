"""No lost updates: the ETag of a book, changes that are for one state alone, and answers that one has already."""

from functools import partial

import pytest

from bookshop.catalog.repository import BookRepository, LockedBook
from tests import races
from tests.clients import Script
from tests.factories import isbn
from tests.stand import assert_problem

ADA, STAFF = "ada@example.com", "staff@example.com"
BOOK = "/api/v1/books/1"
LONG = "A comedy of manners. " * 60  # so long that an answer is worth compressing


@pytest.fixture
def staff(shop, script):
    """A program of staff; there is one book, of which five are on the shelf."""
    shop.staff(STAFF)
    shop.customer(ADA)
    shop.book("Emma", isbn=isbn(1), stock=5, description=LONG)
    return script(STAFF)


def tag(script, **headers):
    return look(script, **headers).headers["ETag"]


def look(script, path=BOOK, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return script.client.get(path, headers={**script.headers, **named})


def change(script, body, etag=None, path=BOOK):
    headers = {**script.headers, **({} if etag is None else {"If-Match": etag})}
    return script.client.patch(path, json=body, headers=headers)


# ---------------------------------------------------------------- what changes it


CHANGES = {
    "a field": lambda shop, staff: change(staff, {"title": "Emma again"}),
    "the same fields again": lambda shop, staff: change(staff, {"title": "Emma"}),
    "the stock": lambda shop, staff: shop.set_stock(1, 6),
    "an order": lambda shop, staff: shop.order(2, {1: 1}),
    "a batch": lambda shop, staff: staff.post("/api/v1/stock/batch", {"lines": [{"book_id": 1, "delta": 1}]}),
    "the end of its sale": lambda shop, staff: shop.withdraw(1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_changes_with_the_book(shop, staff, what):
    before = tag(staff)
    CHANGES[what](shop, staff)
    assert tag(staff) != before
    assert_problem(change(staff, {"title": "Mine"}, before), 412, "HTTP_412")


def test_it_stays_while_nothing_happens_and_is_the_same_for_all_who_see_the_same(staff, script):
    assert tag(staff) == tag(staff)
    assert tag(script()) == tag(script(ADA))


def test_a_reservation_changes_what_staff_see_but_stands_in_no_ones_way(shop, staff, script):
    shop.set_stock(1, 0)
    anyones, staffs = tag(script()), tag(staff)
    shop.reserve(2, 1)
    assert (tag(script()) == anyones, tag(staff) == staffs) == (True, False)
    assert look(staff, If_None_Match=staffs).json["waiting_count"] == 1
    assert change(staff, {"title": "Emma II"}, staffs).status_code == 200


# ---------------------------------------------------------------- changes for one state alone


def test_a_change_with_the_present_tag_is_made_and_answers_the_next(staff):
    answer = change(staff, {"title": "Emma II"}, tag(staff))
    assert (answer.status_code, answer.json["title"]) == (200, "Emma II")
    assert answer.headers["ETag"] == tag(staff)
    again = change(staff, {"delta": 1}, answer.headers["ETag"], f"{BOOK}/stock")
    assert (again.status_code, again.json["stock_quantity"], again.headers["ETag"]) == (200, 6, tag(staff))


@pytest.mark.parametrize(("path", "body"), [(BOOK, {"title": "Lost"}), (f"{BOOK}/stock", {"quantity": 0})])
def test_a_change_for_another_state_is_refused_and_nothing_is_written(shop, staff, path, body):
    former = tag(staff)
    change(staff, {"price_cents": 1000})
    before = shop.everything()
    answer = change(staff, body, former, path)
    assert_problem(answer, 412, "HTTP_412")
    assert "Read it again" in answer.json["detail"]
    assert shop.everything() == before


@pytest.mark.parametrize("path", [BOOK, f"{BOOK}/stock"])
def test_what_the_header_may_hold(staff, path):
    body = {"price_cents": 1000} if path == BOOK else {"delta": 1}
    for who in (staff, script_without(staff)):
        assert change(staff, body, f'"nonsense", {tag(who)}', path).status_code == 200
    assert change(staff, body, "*", path).status_code == 200
    present = tag(staff)
    for bad in (f"W/{present}", '"nonsense"', "", '""', '"999999999999999999999"', "\u00e9"):
        assert_problem(change(staff, body, bad, path), 412, "HTTP_412")


def script_without(script):
    """The same shop, seen by nobody in particular."""
    return Script(script.client.application)


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_the_tag_of_a_compressed_answer_serves_as_well(staff, encoding):
    answer = look(staff, Accept_Encoding=encoding)
    assert (answer.headers["Content-Encoding"], answer.headers["ETag"]) == (encoding, f'{tag(staff)[:-1]}:{encoding}"')
    assert look(staff, Accept_Encoding=encoding, If_None_Match=answer.headers["ETag"]).status_code == 304
    assert change(staff, {"title": "Emma II"}, answer.headers["ETag"]).status_code == 200


def test_a_book_that_is_not_there_is_404_whatever_the_tag(staff):
    assert_problem(change(staff, {"title": "x"}, "*", "/api/v1/books/99"), 404, "BOOK_NOT_FOUND")


def test_of_two_changes_with_one_tag_one_is_made_and_one_refused(shop, staff):
    etag = tag(staff)
    found = races.together([partial(change, staff, {"title": f"Emma {number}"}, etag) for number in range(2)])
    assert sorted(answer.status_code for answer in found) == [200, 412]
    [made] = [answer.json["title"] for answer in found if answer.status_code == 200]
    assert shop.rows("SELECT title, version FROM books") == [(made, 3)]


def test_who_changes_a_book_while_another_does_waits_and_is_refused(staff):
    etag = tag(staff)
    slow, fast = (partial(change, staff, {"title": title}, etag) for title in ("Slow", "Fast"))
    first, second = races.overtake((BookRepository, "lock"), slow, fast)
    assert (first.status_code, second.status_code) == (200, 412)


def test_twin_without_the_lock_both_changes_are_made_and_one_is_lost(app, staff):
    etag = tag(staff)
    slow, fast = (partial(change, staff, {"title": title}, etag) for title in ("Slow", "Fast"))
    with races.unlocked(app, {" FOR NO KEY UPDATE": ""}):
        first, second = races.overtake((BookRepository, "lock"), slow, fast, races.LONG)
    assert (first.status_code, second.status_code) == (200, 200)


def test_twin_without_the_look_at_the_version_both_changes_are_made(staff, monkeypatch):
    monkeypatch.setattr(LockedBook, "expect", lambda self, versions: None)
    etag = tag(staff)
    assert [change(staff, {"title": title}, etag).status_code for title in ("Slow", "Fast")] == [200, 200]


# ---------------------------------------------------------------- answers that one has already


GETS = [BOOK, f"/api/v1/books/isbn/{isbn(1)}", "/api/v1/books", "/api/v1/books?cursor=&size=1"]
STAFFS = [f"{BOOK}/movements", f"{BOOK}/prebookings", "/api/v1/reports/demand", "/api/v1/admin/orders"]
STAFFS += ["/api/v1/reports/demand?format=csv", "/api/v1/events", "/api/v1/webhooks"]


@pytest.mark.parametrize("path", [*GETS, *STAFFS])
def test_who_has_an_answer_is_told_so_without_a_body(staff, path):
    first = look(staff, path)
    again = look(staff, path, If_None_Match=f'"other", {first.headers["ETag"]}')
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert look(staff, path, If_None_Match="*").status_code == 304
    assert look(staff, path, If_None_Match='"other"').data == first.data


@pytest.mark.parametrize("path", ["/api/v1/books", f"{BOOK}/movements", "/api/v1/events"])
def test_a_list_that_changed_is_sent_again(shop, staff, path):
    former = tag_of(staff, path)
    shop.set_stock(1, 4)
    assert (tag_of(staff, path) != former, look(staff, path, If_None_Match=former).status_code) == (True, 200)


def tag_of(script, path):
    return look(script, path).headers["ETag"]


def test_a_head_has_the_tag_and_no_body(staff):
    answer = staff.client.head(BOOK, headers=staff.headers)
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (200, b"", tag(staff))


def test_a_refusal_has_no_tag(staff):
    answer = look(staff, "/api/v1/books/99", If_None_Match="*")
    assert_problem(answer, 404, "BOOK_NOT_FOUND")
    assert "ETag" not in answer.headers
