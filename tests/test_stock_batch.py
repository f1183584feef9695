"""Many stocks by one request: all or none, or each for itself; and once, however often it is sent."""

from datetime import timedelta
from typing import Any

import pytest
from stdnum import isbn as standard

from bookshop import faces
from bookshop.database import now
from tests.factories import isbn
from tests.stand import assert_problem

ADA, BEN, STAFF = "ada@example.com", "ben@example.com", "staff@example.com"
BATCH = "/api/v1/stock/batch"
ISBNS = [isbn(number) for number in range(1, 5)]


@pytest.fixture
def staff(shop, script):
    """A program of staff; four books, of which the first two are on the shelf, and Ada and Ben wait for the third."""
    shop.staff(STAFF)
    for number, code in enumerate(ISBNS):
        shop.book(f"Volume {number + 1}", isbn=code, stock=(5, 1, 0, 0)[number])
    for email in (ADA, BEN):
        shop.reserve(shop.customer(email), 3)
    return script(STAFF)


def send(script, *lines, key=None, **more):
    headers = {**script.headers, **({"Idempotency-Key": key} if key else {})}
    return script.client.post(BATCH, json={"lines": list(lines), **more}, headers=headers)


def stocks(shop):
    return shop.rows("SELECT stock_quantity FROM books ORDER BY id")


def outcome(answer):
    """Of each line its state, the stock after it, the change, and how many it notified."""
    names = ("status", "stock_quantity", "delta", "notified_count")
    return [tuple(result[name] for name in names) for result in answer.json["results"]]


# ---------------------------------------------------------------- what it does


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_stocks_are_set_and_changed_by_isbn_and_by_id_and_each_line_says_what_became_of_it(shop, staff, mode):
    answer = send(
        staff,
        {"isbn": ISBNS[0], "quantity": 9},
        {"book_id": 2, "delta": -1, "reason": "sale", "note": "At the fair"},
        {"isbn": ISBNS[2], "delta": 4, "reason": "received"},
        {"book_id": 4, "quantity": 0},
        mode=mode,
    )
    assert (answer.status_code, stocks(shop)) == (200, [9, 0, 4, 0])
    assert outcome(answer) == [
        ("changed", 9, 4, 0),
        ("changed", 0, -1, 0),
        ("changed", 4, 4, 2),
        ("unchanged", 0, 0, 0),
    ]
    counts = {name: answer.json[name] for name in ("mode", "changed", "refused", "notified_count")}
    assert counts == {"mode": mode, "changed": 3, "refused": 0, "notified_count": 2}
    assert [result["isbn"] for result in answer.json["results"]] == ISBNS
    assert [result["line"] for result in answer.json["results"]] == [0, 1, 2, 3]
    last = shop.rows("SELECT book_id, delta, quantity_after, reason, note FROM movements ORDER BY id")[-3:]
    assert sorted(last) == [
        (1, 4, 9, "received", None),
        (2, -1, 0, "sale", "At the fair"),
        (3, 4, 4, "received", None),
    ]
    assert shop.broken() == []


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_who_waited_is_notified_and_their_alerts_are_queued_in_the_same_transaction(shop, staff, mode):
    send(staff, {"isbn": ISBNS[2], "quantity": 1}, mode=mode)
    assert shop.statuses(3) == ["notified", "notified"]
    assert shop.rows("SELECT kind, state FROM messages ORDER BY id") == [("restock", "queued")] * 2
    kinds = "SELECT kind FROM events WHERE id > (SELECT max(id) FROM events) - 4 ORDER BY id"
    assert shop.rows(kinds) == ["stock.changed", "book.restocked", *["prebooking.notified"] * 2]


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_alerts_about_a_book_that_a_batch_leaves_at_0_are_stopped(shop, staff, mode):
    shop.set_stock(3, 1)
    send(staff, {"book_id": 3, "quantity": 0}, mode=mode)
    assert shop.rows("SELECT state FROM messages ORDER BY id") == ["suppressed"] * 2
    assert (shop.statuses(3), shop.broken()) == (["notified", "notified"], [])


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_lines_of_one_book_are_carried_out_one_after_the_other(shop, staff, mode):
    answer = send(
        staff,
        *({"book_id": 1, "delta": delta} for delta in (-5, 2, -2, 3)),
        {"book_id": 3, "delta": 1},
        {"isbn": ISBNS[2], "delta": -1},
        {"book_id": 3, "delta": 2},
        mode=mode,
    )
    assert [line[:2] for line in outcome(answer)] == [
        *[("changed", stock) for stock in (0, 2, 0, 3)],
        *[("changed", stock) for stock in (1, 0, 2)],
    ]
    assert [line[3] for line in outcome(answer)] == [0, 0, 0, 0, 2, 0, 0]
    assert (stocks(shop), shop.broken()) == ([3, 1, 2, 0], [])
    restocks = "SELECT book_id, count(*) FROM movements WHERE quantity_after = delta AND delta > 0 GROUP BY book_id"
    assert dict(shop.rows(restocks)) == {1: 3, 2: 1, 3: 2}


def test_what_changes_nothing_writes_nothing(shop, staff):
    before = shop.everything()
    assert outcome(send(staff, {"book_id": 1, "quantity": 5}, {"book_id": 2, "delta": 0}))[0][0] == "unchanged"
    assert shop.everything() == before


def test_a_withdrawn_book_has_a_stock_all_the_same(shop, staff):
    shop.withdraw(1)
    assert send(staff, {"isbn": ISBNS[0], "delta": 1}).status_code == 200
    assert (stocks(shop)[0], shop.broken()) == (6, [])


def test_an_isbn_may_be_written_as_it_is_printed(shop, staff):
    for number, text in enumerate([standard.format(ISBNS[0]), standard.to_isbn10(ISBNS[0]), f" {ISBNS[0]} "], start=6):
        assert send(staff, {"isbn": text, "quantity": number}).status_code == 200, text
        assert stocks(shop)[0] == number


# ---------------------------------------------------------------- what it refuses


REFUSED = [
    ({"isbn": isbn(99), "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"isbn": "9780000000018", "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"isbn": "nonsense", "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"book_id": 99, "quantity": 1}, "book_id", "BOOK_NOT_FOUND"),
    ({"isbn": "", "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"isbn": "ISBN 978-0-14-143958-7 (pbk)", "quantity": 1}, "isbn", "BOOK_NOT_FOUND"),
    ({"book_id": 1, "quantity": -1}, "quantity", "VALIDATION_ERROR"),
    ({"book_id": 1, "quantity": 2**31 - 1}, "quantity", "VALIDATION_ERROR"),
    ({"book_id": 1, "delta": -(2**31) + 1}, "delta", "VALIDATION_ERROR"),
    ({"book_id": 1, "delta": -6}, "delta", "VALIDATION_ERROR"),
    ({"book_id": 1, "delta": 999_996}, "delta", "VALIDATION_ERROR"),
    ({"book_id": 1, "quantity": 4, "reason": "received"}, "reason", "VALIDATION_ERROR"),
]


@pytest.mark.parametrize(("line", "member", "code"), REFUSED)
def test_one_line_that_is_refused_refuses_all_of_an_atomic_batch(shop, staff, line, member, code):
    before = shop.everything()
    answer = send(staff, {"book_id": 3, "quantity": 7}, line, {"book_id": 4, "quantity": 7}, key="k")
    assert_problem(answer, 422, "VALIDATION_ERROR")
    assert [error["pointer"] for error in answer.json["errors"]] == [f"#/lines/1/{member}"]
    assert shop.everything() == before


@pytest.mark.parametrize(("line", "member", "code"), REFUSED)
def test_each_for_itself_a_line_that_is_refused_leaves_the_others_alone(shop, staff, line, member, code):
    answer = send(staff, {"book_id": 3, "quantity": 7}, line, {"book_id": 4, "quantity": 7}, mode="each")
    assert (answer.status_code, answer.json["changed"], answer.json["refused"]) == (200, 2, 1)
    refused = answer.json["results"][1]
    assert (refused["status"], refused["problem"]["code"], refused["delta"]) == ("refused", code, 0)
    assert refused["problem"]["detail"]
    assert (stocks(shop), shop.broken()) == ([5, 1, 7, 7], [])


def test_every_line_that_is_wrong_is_named(staff):
    answer = send(staff, *(line for line, _member, _code in REFUSED))
    pointers = [f"#/lines/{place}/{member}" for place, (_line, member, _code) in enumerate(REFUSED)]
    assert [error["pointer"] for error in answer.json["errors"]] == pointers


def test_a_line_is_judged_by_the_stock_that_those_before_it_leave(shop, staff):
    assert send(staff, {"book_id": 2, "delta": 4}, {"book_id": 2, "delta": -5}).status_code == 200
    answer = send(staff, {"book_id": 1, "delta": -5}, {"book_id": 1, "delta": -1})
    assert [error["pointer"] for error in answer.json["errors"]] == ["#/lines/1/delta"]
    assert stocks(shop)[:2] == [5, 0]


SHAPES: dict[str, dict[str, Any]] = {
    "no line": {"lines": []},
    "no lines": {},
    "too many lines": {"lines": [{"book_id": 1, "quantity": 1}] * 1001},
    "another mode": {"lines": [{"book_id": 1, "quantity": 1}], "mode": "some"},
    "no book": {"lines": [{"quantity": 1}]},
    "two names of a book": {"lines": [{"book_id": 1, "isbn": ISBNS[0], "quantity": 1}]},
    "no change": {"lines": [{"book_id": 1}]},
    "two changes": {"lines": [{"book_id": 1, "quantity": 1, "delta": 1}]},
    "a stock that is text": {"lines": [{"book_id": 1, "quantity": "1"}]},
    "a stock that is true": {"lines": [{"book_id": 1, "quantity": True}]},
    "an unknown member": {"lines": [{"book_id": 1, "quantity": 1, "price": 1}]},
    "an unknown reason": {"lines": [{"book_id": 1, "quantity": 1, "reason": "magic"}]},
    "a line that is none": {"lines": ["9780141439587"]},
    "an id beyond all": {"lines": [{"book_id": 2**31, "quantity": 1}]},
    "a control character": {"lines": [{"book_id": 1, "quantity": 1, "note": "a\x00b"}]},
}


@pytest.mark.parametrize("mode", ["atomic", "each"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_has_not_the_shape_is_refused_whole(shop, staff, shape, mode):
    before = shop.everything()
    assert_problem(staff.post(BATCH, {"mode": mode, **SHAPES[shape]}), 422, "VALIDATION_ERROR")
    assert shop.everything() == before


def test_a_thousand_lines_are_taken(shop, staff):
    answer = send(staff, *({"book_id": 1 + number % 4, "delta": 1} for number in range(1000)))
    assert (answer.status_code, answer.json["changed"], stocks(shop)) == (200, 1000, [255, 251, 250, 250])
    assert (len(shop.rows("SELECT id FROM movements")), shop.broken()) == (1002, [])


# ---------------------------------------------------------------- once, however often it is sent


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_the_same_batch_under_the_same_key_is_done_once_and_answered_alike(shop, staff, mode):
    line = {"book_id": 3, "delta": 2}
    first, second = (send(staff, line, key="night", mode=mode) for _time in range(2))
    assert (first.status_code, second.status_code, second.data == first.data) == (200, 200, True)
    assert (stocks(shop)[2], shop.broken()) == (2, [])
    assert_problem_of_key(send(staff, {"book_id": 3, "delta": 3}, key="night", mode=mode))
    assert send(staff, line, key="next night", mode=mode).json["results"][0]["stock_quantity"] == 4
    assert send(staff, line, mode=mode).json["results"][0]["stock_quantity"] == 6


def assert_problem_of_key(answer):
    assert (answer.status_code, answer.json["code"]) == (422, "IDEMPOTENCY_MISMATCH")


def test_a_key_is_free_again_after_a_day(shop, staff):
    send(staff, {"book_id": 3, "delta": 2}, key="night")
    with shop.app.app_context():
        faces.commit(lambda: faces.idempotency().answers.forget_expired(now() - timedelta(hours=23), 10))
    assert shop.rows("SELECT count(*) FROM given_answers") == [1]
    shop.execute("UPDATE given_answers SET created_at = '2026-01-01 00:00:00.000000'")
    assert send(staff, {"book_id": 3, "delta": 3}, key="night").status_code == 200
    assert stocks(shop)[2] == 5


def test_a_key_of_what_was_refused_is_free(shop, staff):
    assert_problem(send(staff, {"book_id": 3, "delta": -1}, key="night"), 422, "VALIDATION_ERROR")
    assert send(staff, {"book_id": 3, "delta": 1}, key="night").status_code == 200


def test_each_has_keys_of_their_own(shop, staff, script):
    shop.staff("other@example.com")
    for who in (staff, script("other@example.com")):
        send(who, {"book_id": 3, "delta": 1}, key="night")
    assert stocks(shop)[2] == 2


@pytest.mark.parametrize("key", ["", " ", "é", "x" * 201])
def test_what_is_no_key_is_refused_and_nothing_is_done(shop, staff, key):
    headers = {**staff.headers, "Idempotency-Key": key}
    answer = staff.client.post(BATCH, json={"lines": [{"book_id": 1, "delta": 1}]}, headers=headers)
    assert_problem(answer, 422, "VALIDATION_ERROR")
    assert stocks(shop)[0] == 5
