"""Stock batches: atomic or individual lines, and one effect per key."""

from datetime import timedelta
from typing import Any

import pytest

from bookshop.extensions import db
from bookshop.idempotency.models import IdempotencyRecord
from bookshop.kit.database import now
from tests.support.bad_input import assert_problem, send
from tests.support.races import insert_books

pytestmark = pytest.mark.one_postgresql_case

URL = "/api/v1/stock/batch"
ISBN, OTHER_ISBN, UNKNOWN = "9780141439587", "9780141439518", "9780747532699"
STAFF = "staff@example.com"
LEDGER = "SELECT book_id, delta, quantity_after, reason, note, user_id FROM movements ORDER BY id"


@pytest.fixture
def staff(shop, api_client):
    """Staff's API client, with a token already in use."""
    shop.staff(STAFF)
    program = api_client(STAFF)
    program.get("/api/v1/books")
    return program


@pytest.fixture
def emma(staff, shop):
    """Book 1, out of stock."""
    return shop.book("Emma", isbn=ISBN)


@pytest.fixture
def pride(emma, shop):
    """Book 2, with 5 copies."""
    return shop.book("Pride and Prejudice", isbn=OTHER_ISBN, stock=5)


def batch(staff, *lines, **more):
    return staff.post(URL, {"lines": list(lines), **more})


def individually(staff, *lines):
    return batch(staff, *lines, mode="each").json


def summary(results):
    """Return each line's result, change, new stock and number of notified customers."""
    return [tuple(line[name] for name in ("status", "delta", "stock_quantity", "notified_count")) for line in results]


def errors(answer):
    """Return the pointers of a refused batch."""
    assert (answer.status_code, answer.json["code"]) == (422, "VALIDATION_ERROR"), answer.text
    assert all(error["detail"] for error in answer.json["errors"])
    return [error["pointer"] for error in answer.json["errors"]]


# ---------------------------------------------------------------- effects of a batch


def test_a_batch_changes_stocks_by_isbn_or_id_and_reports_each_line(shop, staff, emma, pride):
    done = batch(
        staff,
        {"isbn": "0-14-143958-0", "quantity": 3, "reason": "received", "note": "  box 1 "},
        {"book_id": pride, "delta": -2},
        {"isbn": OTHER_ISBN, "quantity": 3},
    )
    assert (done.status_code, done.mimetype) == (200, "application/json")
    line = {"notified_count": 0, "alerts_queued": 0, "problem": None}
    assert done.json == {
        **{"mode": "atomic", "changed": 2, "refused": 0, "notified_count": 0, "alerts_queued": 0},
        "results": [
            {"line": 0, "status": "changed", "book_id": emma, "isbn": ISBN, "delta": 3, "stock_quantity": 3, **line},
            {
                "line": 1,
                "status": "changed",
                "book_id": 2,
                "isbn": OTHER_ISBN,
                "delta": -2,
                "stock_quantity": 3,
                **line,
            },
            {
                "line": 2,
                "status": "unchanged",
                "book_id": 2,
                "isbn": OTHER_ISBN,
                "delta": 0,
                "stock_quantity": 3,
                **line,
            },
        ],
    }
    assert shop.rows(LEDGER)[1:] == [(emma, 3, 3, "received", "box 1", 1), (pride, -2, 3, "correction", None, 1)]
    assert shop.broken() == []


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_a_batch_notifies_waiting_customers_and_queues_alerts_in_the_same_transaction(shop, staff, emma, pride, mode):
    ada, ben = shop.customer("ada@example.com"), shop.customer("ben@example.com")
    other = shop.book("Persuasion")
    for user_id, book_id in ((ada, emma), (ben, emma), (ada, other)):
        shop.reserve(user_id, book_id)
    done = batch(
        staff,
        *({"book_id": emma, "delta": 1}, {"book_id": pride, "delta": 9}, {"book_id": other, "quantity": 2}),
        mode=mode,
    ).json
    assert summary(done["results"]) == [("changed", 1, 1, 2), ("changed", 9, 14, 0), ("changed", 2, 2, 1)]
    assert (done["notified_count"], shop.statuses(emma), shop.statuses(other)) == (3, ["notified"] * 2, ["notified"])
    assert shop.rows("SELECT recipient FROM messages WHERE kind = 'restock' ORDER BY prebooking_id") == [
        *("ada@example.com", "ben@example.com", "ada@example.com")
    ]
    assert shop.broken() == []


def test_a_batch_that_ends_at_stock_0_stops_unsent_alerts(shop, staff, emma, pride):
    ada = shop.customer("ada@example.com")
    shop.reserve(ada, emma)
    batch(staff, {"book_id": emma, "quantity": 5})
    batch(staff, {"book_id": pride, "quantity": 0}, {"book_id": emma, "quantity": 0})
    assert (shop.rows("SELECT state FROM messages"), shop.statuses(emma)) == (["suppressed"], ["notified"])
    assert shop.broken() == []


def test_a_batch_that_refuses_to_change_a_sold_out_book_leaves_its_alerts_alone(shop, staff, emma):
    ada, ben = shop.customer("ada@example.com"), shop.customer("ben@example.com")
    shop.reserve(ada, emma)
    shop.set_stock(emma, 1)
    shop.order(ben, {emma: 1})
    assert individually(staff, {"book_id": emma, "delta": -1})["refused"] == 1
    assert shop.rows("SELECT state FROM messages WHERE kind = 'restock'") == ["queued"]


@pytest.mark.parametrize("mode", ["atomic", "each"])
@pytest.mark.parametrize(
    ("changes", "expected", "state"),
    [
        ([{"quantity": 0}, {"delta": 5}], [("unchanged", 0, 0, 0), ("changed", 5, 5, 1)], "queued"),
        ([{"delta": 1}, {"delta": -1}], [("changed", 1, 1, 1), ("changed", -1, 0, 0)], "suppressed"),
        ([{"delta": 5}, {"delta": 5}], [("changed", 5, 5, 1), ("changed", 5, 10, 0)], "queued"),
        ([{"quantity": 5}, {"quantity": 5}], [("changed", 5, 5, 1), ("unchanged", 0, 5, 0)], "queued"),
        (
            [{"delta": 2}, {"quantity": 0}, {"delta": 3}],
            [("changed", 2, 2, 1), ("changed", -2, 0, 0), ("changed", 3, 3, 0)],
            "queued",
        ),
    ],
)
def test_lines_of_one_book_are_applied_one_after_the_other(shop, staff, emma, *, mode, changes, expected, state):
    shop.reserve(shop.customer("ada@example.com"), emma)
    names: list[dict[str, Any]] = [{"book_id": emma}, {"isbn": ISBN}, {"isbn": "0141439580"}]
    done = batch(staff, *(name | change for name, change in zip(names, changes, strict=False)), mode=mode).json
    assert (summary(done["results"]), done["notified_count"]) == (expected, 1)
    assert shop.rows("SELECT delta FROM movements ORDER BY id") == [delta for _s, delta, *_more in expected if delta]
    assert (shop.stock(emma), shop.rows("SELECT state FROM messages"), shop.broken()) == (expected[-1][2], [state], [])


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_lines_that_change_nothing_write_nothing(shop, staff, emma, pride, mode):
    before = shop.everything()
    done = batch(staff, {"book_id": emma, "delta": 0}, {"isbn": OTHER_ISBN, "quantity": 5}, mode=mode)
    assert (done.status_code, done.json["changed"], shop.everything()) == (200, 0, before)
    assert summary(done.json["results"]) == [("unchanged", 0, 0, 0), ("unchanged", 0, 5, 0)]


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_a_batch_holds_at_most_a_thousand_lines(shop, staff, mode):
    ids = insert_books(shop, 1_000)
    lines = [{"book_id": book_id, "delta": book_id % 7 + 1} for book_id in reversed(ids)]
    done = batch(staff, *lines, mode=mode).json
    assert (done["changed"], [line["line"] for line in done["results"]]) == (1_000, list(range(1_000)))
    assert [line["book_id"] for line in done["results"]] == ids[::-1]
    assert shop.rows("SELECT count(*) FROM movements") == [1_000]
    assert errors(batch(staff, *lines, lines[0], mode=mode)) == ["#/lines"]
    assert (shop.rows("SELECT count(*) FROM movements"), shop.broken()) == ([1_000], [])


def test_a_withdrawn_book_is_counted_like_others(shop, staff, emma):
    shop.withdraw(emma)
    assert summary(batch(staff, {"isbn": ISBN, "quantity": 2}).json["results"]) == [("changed", 2, 2, 0)]


def test_a_batch_changes_only_the_etags_of_the_books_it_changes(shop, staff, emma, pride):
    before = [staff.get(f"/api/v1/books/{book_id}").headers["ETag"] for book_id in (emma, pride)]
    batch(staff, {"book_id": emma, "quantity": 1}, {"book_id": pride, "quantity": 5})
    after = [staff.get(f"/api/v1/books/{book_id}").headers["ETag"] for book_id in (emma, pride)]
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)


# ---------------------------------------------------------------- refused

BAD_LINES: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"quantity": 1}, ""),
    ({"book_id": 1, "isbn": ISBN, "quantity": 1}, ""),
    ({"book_id": 1}, ""),
    ({"book_id": 1, "quantity": 1, "delta": 1}, ""),
    ({"book_id": None, "isbn": None, "quantity": 1}, ""),
    ({"book_id": 1, "quantity": None}, ""),
    ({"book_id": 0, "quantity": 1}, "/book_id"),
    ({"book_id": 2**31, "quantity": 1}, "/book_id"),
    ({"book_id": "1", "quantity": 1}, "/book_id"),
    ({"book_id": True, "quantity": 1}, "/book_id"),
    ({"isbn": int(ISBN), "quantity": 1}, "/isbn"),
    ({"isbn": "9" * 101, "quantity": 1}, "/isbn"),
    ({"isbn": "\ud800", "quantity": 1}, "/isbn"),
    ({"book_id": 1, "quantity": 2**31}, "/quantity"),
    ({"book_id": 1, "delta": 1.0}, "/delta"),
    ({"book_id": 1, "delta": 2**70}, "/delta"),
    ({"book_id": 1, "quantity": 1, "reason": "gift"}, "/reason"),
    ({"book_id": 1, "quantity": 1, "note": "two\nlines"}, "/note"),
    ({"book_id": 1, "quantity": 1, "note": "x" * 501}, "/note"),
    ({"book_id": 1, "quantity": 1, "expected": 0}, "/expected"),
]


@pytest.mark.parametrize("mode", ["atomic", "each"])
@pytest.mark.parametrize(("line", "member"), BAD_LINES)
def test_a_line_of_the_wrong_shape_refuses_the_batch_in_both_modes(shop, staff, emma, pride, *, mode, line, member):
    before = shop.everything()
    good = {"book_id": pride, "quantity": 9}
    assert errors(batch(staff, good, line, good, mode=mode)) == [f"#/lines/1{member}"]
    assert shop.everything() == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/lines"),
        ({"lines": []}, "#/lines"),
        ({"lines": {}}, "#/lines"),
        ({"lines": None}, "#/lines"),
        ({"lines": [1]}, "#/lines/0"),
        ({"lines": [{"book_id": 1, "delta": 1}], "mode": "some"}, "#/mode"),
        ({"lines": [{"book_id": 1, "delta": 1}], "mode": None}, "#/mode"),
        ({"lines": [{"book_id": 1, "delta": 1}], "dry_run": True}, "#/dry_run"),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused(staff, emma, body, pointer):
    assert errors(staff.post(URL, body)) == [pointer]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'{"lines": [{"book_id": 1, "delta": NaN}]}', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(shop, staff, emma, body):
    assert send(staff, "POST", URL, body).status_code in {400, 422}
    assert shop.stock(emma) == 0


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"isbn": UNKNOWN, "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"isbn": "9780141439588", "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"isbn": "no ISBN \0 '; --", "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"isbn": "٩٧٨٠١٤١٤٣٩٥٨٧", "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"book_id": 999, "quantity": 1}, "book_id", "BOOK_NOT_FOUND"),
    ({"book_id": 1, "delta": -1}, "delta", "VALIDATION_ERROR"),
    ({"book_id": 2, "delta": 999_996}, "delta", "VALIDATION_ERROR"),
    ({"book_id": 2, "delta": 1, "reason": "sale"}, "reason", "VALIDATION_ERROR"),
    ({"book_id": 2, "quantity": 1, "reason": "return"}, "reason", "VALIDATION_ERROR"),
]


def test_an_atomic_batch_with_bad_lines_names_each_and_writes_nothing(shop, staff, emma, pride):
    shop.reserve(shop.customer("ada@example.com"), emma)
    before = shop.everything()
    lines = [{"book_id": emma, "quantity": 3}]
    for line, _member, _code in REFUSED:
        lines += [line, {"isbn": OTHER_ISBN, "delta": 0}]
    lines.append({"book_id": emma, "quantity": 0})
    lines[1 + 2 * 5] = {"book_id": emma, "delta": -4}  # there are 3 copies by then
    answer = staff.send("POST", URL, {"lines": lines}, Idempotency_Key="k")
    expected = [f"#/lines/{1 + 2 * number}/{refused[1]}" for number, refused in enumerate(REFUSED)]
    assert errors(answer) == expected
    assert shop.everything() == before


@pytest.mark.parametrize(("line", "member", "code"), REFUSED)
def test_in_individual_mode_only_the_bad_line_is_refused(shop, staff, emma, pride, *, line, member, code):
    shop.reserve(shop.customer("ada@example.com"), emma)
    extra = shop.book("Persuasion")
    done = individually(staff, {"book_id": extra, "delta": 1}, line, {"book_id": extra, "delta": 1})
    assert (done["changed"], done["refused"], done["notified_count"]) == (2, 1, 0)
    assert [result["status"] for result in done["results"]] == ["changed", "refused", "changed"]
    refused = done["results"][1]
    assert (refused["problem"]["code"], bool(refused["problem"]["detail"]), refused["delta"]) == (code, True, 0)
    there = line.get("book_id") in (emma, pride)
    assert (refused["book_id"], refused["stock_quantity"]) == (
        (line["book_id"], shop.stock(line["book_id"])) if there else (None, None)
    )
    assert (shop.stock(extra), shop.stock(emma), shop.stock(pride), shop.broken()) == (2, 0, 5, [])


def test_in_individual_mode_a_refused_line_does_not_affect_the_same_book(shop, staff, emma):
    shop.reserve(shop.customer("ada@example.com"), emma)
    changes = [{"delta": -1}, {"delta": 2}, {"delta": -3}, {"delta": -2}, {"delta": -1}, {"delta": 4}]
    done = individually(staff, *({"book_id": emma, **change} for change in changes))
    assert summary(done["results"]) == [
        *(("refused", 0, 0, 0), ("changed", 2, 2, 1), ("refused", 0, 2, 0)),
        *(("changed", -2, 0, 0), ("refused", 0, 0, 0), ("changed", 4, 4, 0)),
    ]
    assert (shop.rows("SELECT delta FROM movements ORDER BY id"), shop.broken()) == ([2, -2, 4], [])


@pytest.mark.parametrize(
    ("email", "status", "code"), [(None, 401, "NOT_AUTHENTICATED"), ("ada@example.com", 403, "FORBIDDEN")]
)
def test_only_staff_can_send_a_batch(shop, api_client, emma, *, email, status, code):
    shop.customer("ada@example.com")
    assert_problem(batch(api_client(email), {"book_id": emma, "delta": 1}), status, code)
    assert shop.stock(emma) == 0


# ---------------------------------------------------------------- with a key


def keyed(staff, key, *lines, **more):
    return staff.send("POST", URL, {"lines": list(lines), **more}, Idempotency_Key=key)


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_the_same_batch_with_its_key_gets_the_same_response_and_has_no_effect(shop, staff, emma, mode):
    shop.reserve(shop.customer("ada@example.com"), emma)
    lines = [{"book_id": emma, "delta": 2}, {"book_id": emma, "delta": 3}]
    first = keyed(staff, "k", *lines, mode=mode)
    before = shop.everything()
    shop.set_stock(emma, 1)
    second = keyed(staff, "k", *lines, mode=mode)
    assert (first.status_code, first.data, first.json["notified_count"]) == (200, second.data, 1)
    assert (shop.stock(emma), len(shop.everything()["movements"]), shop.broken()) == (
        1,
        len(before["movements"]) + 1,
        [],
    )


@pytest.mark.parametrize(
    "other",
    [
        {"lines": [{"book_id": 1, "delta": 3}]},
        {"lines": [{"book_id": 1, "delta": 2}], "mode": "atomic"},
        {"lines": [{"book_id": 1, "delta": 2}], "mode": "each"},
        {"lines": [{"isbn": ISBN, "delta": 2}]},
        {"lines": [{"book_id": 1, "delta": 2}] * 2},
    ],
)
def test_a_different_batch_with_the_same_key_is_refused(shop, staff, emma, other):
    keyed(staff, "k", {"book_id": emma, "delta": 2})
    before = shop.everything()
    assert_problem(staff.send("POST", URL, other, Idempotency_Key="k"), 422, "IDEMPOTENCY_MISMATCH")
    assert shop.everything() == before


def test_two_members_of_staff_can_use_the_same_key(shop, staff, emma, api_client):
    shop.staff("other@example.com")
    for program in (staff, api_client("other@example.com")):
        assert keyed(program, "k", {"book_id": emma, "delta": 2}).json["results"][0]["delta"] == 2
    assert shop.stock(emma) == 4


def test_refused_requests_are_not_stored_and_can_be_retried(shop, staff, emma):
    line = {"isbn": UNKNOWN, "delta": 2}
    assert keyed(staff, "k", line).status_code == 422
    assert shop.rows("SELECT key FROM idempotency_records") == []
    shop.book("Harry Potter", isbn=UNKNOWN)
    assert keyed(staff, "k", line).json["changed"] == 1


def test_in_individual_mode_refused_lines_are_part_of_the_stored_response(shop, staff, emma):
    first = keyed(staff, "k", {"isbn": UNKNOWN, "delta": 2}, mode="each")
    shop.book("Harry Potter", isbn=UNKNOWN)
    again = keyed(staff, "k", {"isbn": UNKNOWN, "delta": 2}, mode="each")
    assert (first.json["refused"], again.data, shop.rows("SELECT * FROM movements")) == (1, first.data, [])


@pytest.mark.parametrize(("age", "stock"), [(timedelta(hours=23, minutes=59), 2), (timedelta(hours=24, minutes=1), 4)])
def test_a_key_is_stored_for_24_hours(app, shop, staff, emma, *, age, stock):
    keyed(staff, "k", {"book_id": emma, "delta": 2})
    with app.app_context():
        db.session.query(IdempotencyRecord).update({"created_at": now() - age})
        db.session.commit()
    assert keyed(staff, "k", {"book_id": emma, "delta": 2}).json["results"][0]["stock_quantity"] == stock
    assert (shop.stock(emma), shop.rows("SELECT count(*) FROM idempotency_records")) == (stock, [1])


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "Schl\xfcssel"])
def test_an_invalid_key_is_refused_and_nothing_is_done(shop, staff, emma, key):
    assert_problem(keyed(staff, key, {"book_id": emma, "delta": 2}), 422, "VALIDATION_ERROR")
    assert shop.stock(emma) == 0


def test_a_batch_of_a_thousand_long_lines_is_small_enough(shop, staff, emma):
    line = {"isbn": "978-0-14-143958-7", "delta": 1, "reason": "received", "note": "x" * 500}
    assert batch(staff, *[line] * 1_000).json["changed"] == 1_000
    assert (shop.stock(emma), shop.broken()) == (1_000, [])
