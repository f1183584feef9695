"""Batches among others who want the same books: one effect for a key, no deadlock, nobody stranded."""

from contextlib import contextmanager
from functools import partial

import pytest

from bookshop import database, faces
from bookshop.catalog.repository import BookRepository, LockedBook
from bookshop.idempotency.repository import GivenAnswerRepository
from tests import races
from tests.factories import isbn
from tests.test_idempotency_races import on_postgresql, plain_keys

STAFF = "staff@example.com"
BATCH = "/api/v1/stock/batch"
CLAIM = (GivenAnswerRepository, "claim")
SENT = 20
DOZEN = range(1, 13)


@pytest.fixture
def staff(shop, script):
    """A program of staff; a dozen books that are out of stock."""
    shop.staff(STAFF)
    for number in DOZEN:
        shop.book(f"Volume {number}", isbn=isbn(number))
    return script(STAFF)


def send(script, lines, key=None, mode="atomic"):
    headers = {**script.headers, **({"Idempotency-Key": key} if key else {})}
    return script.client.post(BATCH, json={"lines": lines, "mode": mode}, headers=headers)


def seen(answer):
    return answer.status_code, answer.data


def stocks(shop):
    return shop.rows("SELECT stock_quantity FROM books ORDER BY id")


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_twenty_requests_with_one_key_have_one_effect_and_get_equal_answers(shop, staff, mode):
    lines = [{"book_id": number, "delta": 1} for number in DOZEN]
    first, *others = map(seen, races.together([partial(send, staff, lines, "night", mode)] * SENT))
    assert (first[0], others) == (200, [first] * (SENT - 1))
    assert (stocks(shop), shop.broken()) == ([1] * len(DOZEN), [])
    assert shop.rows("SELECT count(*) FROM movements") == [len(DOZEN)]


def test_twin_a_plain_look_for_an_answer_does_it_more_than_once(app, shop, staff):
    lines = [{"book_id": 1, "delta": 1}]
    with races.unlocked(app, races.ANY_STOCK), plain_keys(), plain_answers(), races.meeting(CLAIM, SENT, races.LONG):
        races.together([partial(send, staff, lines, "night")] * SENT)
    assert len(shop.rows("SELECT id FROM movements")) > 1


@contextmanager
def plain_answers():
    """No unique key tells the second that there was a first: whoever comes writes over it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GivenAnswerRepository, "keep", lambda *_given: None)
        yield


@on_postgresql
def test_a_batch_whose_twin_is_not_done_yet_is_told_so(shop, staff, monkeypatch):
    """PostgreSQL only: on SQLite it waits for its turn, as all who write do."""
    monkeypatch.setattr(database, "LOCK_TIMEOUT", "100ms")
    work = partial(send, staff, [{"book_id": 1, "delta": 1}], "night")
    first, second = races.overtake(CLAIM, work, work, races.LONG)
    assert (first.status_code, second.status_code, second.json["code"]) == (200, 409, "IDEMPOTENCY_IN_FLIGHT")
    assert (seen(work()), stocks(shop)[0]) == (seen(first), 1)


# ---------------------------------------------------------------- locks


def test_batches_whose_lines_are_in_opposite_order_do_not_lock_each_other_out(shop, staff, caplog):
    lines = [{"book_id": number, "delta": 1} for number in DOZEN]
    found = races.together([partial(send, staff, way) for way in (lines, lines[::-1])] * 4)
    assert [answer.status_code for answer in found] == [200] * 8
    assert (stocks(shop), shop.broken()) == ([8] * len(DOZEN), [])
    assert "transaction given up" not in caplog.text


@on_postgresql
def test_twin_books_that_are_locked_as_the_lines_come_lock_each_other_out(shop, staff, caplog, monkeypatch):
    """PostgreSQL only: SQLite has one lock."""

    def lock(self, book_ids):
        books: list[LockedBook] = []
        for book_id in reversed(list(book_ids)) if next(turn) else book_ids:
            books += original(self, [book_id])
        return books

    original, turn = BookRepository.lock, iter([False, True] * 100)
    monkeypatch.setattr(BookRepository, "lock", lock)
    lines = [{"book_id": number, "delta": 1} for number in DOZEN]
    races.together([partial(send, staff, lines)] * 8)
    assert "deadlock detected" in caplog.text


@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_nobody_waits_for_a_book_that_a_batch_brought_meanwhile(app, shop, staff, mode):
    customers = [shop.customer(f"c{number}@example.com") for number in range(4)]
    lines = [{"book_id": number, "quantity": 1} for number in DOZEN]
    wishes = [partial(reserve_all, app, customer) for customer in customers]
    found = races.together([*wishes, partial(send, staff, lines, None, mode)])
    assert found[-1].status_code == 200
    assert shop.rows("SELECT id FROM prebookings WHERE status = 'waiting'") == []
    notified = shop.rows("SELECT count(*) FROM prebookings WHERE status = 'notified'")
    assert ([found[-1].json["notified_count"]], shop.broken()) == (notified, [])


def reserve_all(app, customer):
    return [
        races.attempt(app, partial(lambda book: faces.prebookings().reserve(customer, book).id, number))
        for number in DOZEN
    ]


def test_twin_reservations_that_only_look_are_stranded_by_a_batch(app, shop, staff):
    customer = shop.customer("c@example.com")

    with races.unlocked(app, {" FOR SHARE": "", " FOR NO KEY UPDATE": ""}), races.plain_check():
        races.overtake(
            (BookRepository, "get"),
            partial(reserve_one, app, customer),
            partial(send, staff, [{"book_id": 1, "quantity": 1}]),
            races.LONG,
        )
    waiting = shop.rows("SELECT id FROM prebookings WHERE status = 'waiting'")
    assert (len(waiting), stocks(shop)[0]) == (1, 1)


def reserve_one(app, customer):
    return races.attempt(app, lambda: faces.prebookings().reserve(customer, 1).id)


def test_the_key_is_kept_with_what_it_did_or_not_at_all(shop, staff, monkeypatch):
    """What fails after the stocks are written leaves neither the stocks nor the key."""

    def fail(*_given):
        raise RuntimeError("the program ends here")

    with monkeypatch.context() as patch:
        patch.setattr(GivenAnswerRepository, "keep", fail)
        assert send(staff, [{"book_id": 1, "delta": 1}], "night").status_code == 500
    assert (stocks(shop)[0], shop.rows("SELECT * FROM given_answers")) == (0, [])
    assert send(staff, [{"book_id": 1, "delta": 1}], "night").status_code == 200


@on_postgresql
@pytest.mark.parametrize("mode", ["atomic", "each"])
def test_an_isbn_that_another_book_has_by_the_time_of_the_lock_changes_neither(shop, staff, mode):
    """PostgreSQL only: on SQLite an ISBN cannot change while a batch is worked on."""

    def pass_on():
        for number, given in ((1, None), (2, isbn(1))):
            assert staff.patch(f"/api/v1/books/{number}", {"isbn": given}).status_code == 200

    batch = partial(send, staff, [{"isbn": isbn(1), "delta": 5}], mode=mode)
    answer, _none = races.overtake((BookRepository, "ids_by_isbn"), batch, pass_on, races.LONG)
    assert ("There is no book with this ISBN." in answer.text, stocks(shop)) == (True, [0] * len(DOZEN))
