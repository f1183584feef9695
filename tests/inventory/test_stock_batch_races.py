"""Concurrent stock batches: one effect per key, no customer left waiting, no deadlock, with negative controls."""

import logging
from contextlib import contextmanager
from functools import partial

import pytest

from bookshop.catalog.repository import BookRepository
from bookshop.idempotency.repository import IdempotencyRepository
from bookshop.inventory.batch import StockBatch
from bookshop.kit import transactions
from bookshop.prebookings.repository import PreBookRepository
from tests.support import races

URL, ISBN = "/api/v1/stock/batch", "9780141439587"
ADA, STAFF, SENT = "ada@example.com", "staff@example.com", 20
CLAIM = (IdempotencyRepository, "claim")
LOCK = (BookRepository, "lock")
INSERT = (PreBookRepository, "insert_if_out_of_stock")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")
NO_LOCKS = {" FOR SHARE": "", " FOR NO KEY UPDATE": ""}
MODES = pytest.mark.parametrize("mode", ["atomic", "each"])

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def staff(shop, api_client):
    shop.staff(STAFF)
    program = api_client(STAFF)
    program.get("/api/v1/books")
    return program


@pytest.fixture
def books(staff, shop):
    """Ten books that are out of stock, each reserved by Ada."""
    ids = races.insert_books(shop, 10)
    races.insert_reservations(shop, shop.customer(ADA), ids)
    return ids


def send(staff, lines, mode="atomic", **headers):
    return staff.send("POST", URL, {"mode": mode, "lines": lines}, **headers)


def more(books, copies=1):
    return [{"book_id": book_id, "delta": copies} for book_id in books]


def send_concurrently(staff, books, mode):
    """Send the same batch under one key from 20 threads; return the visible parts of the responses."""
    answers = races.run_concurrently([partial(send, staff, more(books), mode, Idempotency_Key="k")] * SENT)
    return [(answer.status_code, answer.data) for answer in answers]


# ---------------------------------------------------------------- one key


@MODES
def test_twenty_requests_with_one_key_have_one_effect_and_equal_responses(shop, staff, books, mode):
    first, *others = send_concurrently(staff, books, mode)
    assert (first[0], others) == (200, [first] * (SENT - 1))
    assert shop.rows("SELECT DISTINCT stock_quantity FROM books") == [1]
    counted = (
        "SELECT (SELECT count(*) FROM movements), (SELECT count(*) FROM messages), count(*) FROM idempotency_records"
    )
    assert (shop.rows(counted), shop.broken()) == ([(10, 10, 1)], [])


def test_without_the_claim_the_batch_is_applied_twenty_times(shop, staff, books):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*CLAIM, lambda *_asked: True)
        answers = send_concurrently(staff, books[:1], "atomic")
    assert (len(set(answers)), shop.rows("SELECT count(*) FROM movements")) == (SENT, [SENT])


def test_a_concurrent_duplicate_request_gets_the_first_response(shop, staff, books):
    batch = partial(send, staff, more(books), Idempotency_Key="k")
    first, second = races.interleave(NOTIFY, batch, batch)
    assert (first.status_code, first.data) == (200, second.data)
    assert shop.rows("SELECT count(*) FROM movements") == [10]


def test_one_of_two_different_concurrent_batches_with_one_key_is_refused(shop, staff, books):
    first, second = races.interleave(
        CLAIM,
        partial(send, staff, more(books), Idempotency_Key="k"),
        partial(send, staff, more(books, 2), Idempotency_Key="k"),
    )
    assert (first.status_code, second.status_code, second.json["code"]) == (200, 422, "IDEMPOTENCY_MISMATCH")
    assert shop.rows("SELECT DISTINCT stock_quantity FROM books") == [1]


@on_postgresql
def test_a_duplicate_of_an_unfinished_request_is_told_to_retry(staff, books, monkeypatch):
    """PostgreSQL only: on SQLite it waits like every writer."""
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.1)
    batch = partial(send, staff, more(books), Idempotency_Key="k")
    first, second = races.interleave(CLAIM, batch, batch, races.LONG)
    assert (first.status_code, second.status_code, second.json["code"]) == (200, 409, "IDEMPOTENCY_IN_FLIGHT")
    assert batch().data == first.data


@on_postgresql
@MODES
def test_an_isbn_assigned_before_the_lock_is_a_conflict_that_changes_neither_book(shop, staff, mode):
    """PostgreSQL only: on SQLite the ISBN cannot change during a batch."""
    former, latter = shop.book("Emma", isbn=ISBN, stock=1), shop.book("Emma, 2nd edition", stock=1)

    def pass_on():
        for book_id, isbn in ((former, None), (latter, ISBN)):
            assert staff.patch(f"/api/v1/books/{book_id}", {"isbn": isbn}).status_code == 200

    batch = partial(send, staff, [{"isbn": ISBN, "delta": 5}], mode)
    answer, _none = races.interleave((BookRepository, "ids_by_isbn"), batch, pass_on, races.LONG)
    assert "There is no book with this ISBN." in answer.text
    assert (shop.stock(former), shop.stock(latter)) == (1, 1)


# ---------------------------------------------------------------- two batches


@contextmanager
def locking_in_line_order():
    """Run the shop with naive batches that lock their books line by line."""

    def lock(self, lines):
        for line in lines:
            self.books |= {book.id: book for book in self.repository.lock([line.book_id])}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StockBatch, "_lock", lock)
        yield


def opposite_batches(staff, books, mode):
    """Send two batches of the same books in opposite order, each holding a lock before the other continues."""
    with races.barrier_at(LOCK, 2):
        batches = [partial(send, staff, more(way), mode) for way in (books, books[::-1])]
        return [answer.status_code for answer in races.run_concurrently(batches)]


def rolled_back(caplog):
    return [text for record in caplog.records if "transaction rolled back" in (text := record.getMessage())]


@MODES
def test_two_batches_in_opposite_order_do_not_deadlock(shop, staff, books, mode, caplog):
    assert opposite_batches(staff, books, mode) == [200, 200]
    assert (rolled_back(caplog), shop.rows("SELECT DISTINCT stock_quantity FROM books"), shop.broken()) == ([], [2], [])


@on_postgresql
def test_batches_that_lock_in_line_order_deadlock(staff, books, caplog):
    caplog.set_level(logging.WARNING)
    with locking_in_line_order():
        opposite_batches(staff, books[:2], "atomic")
    assert "DeadlockDetected" in str(rolled_back(caplog))


def test_batches_restocks_and_orders_at_once_lose_nothing(shop, staff, books):
    shop.execute("UPDATE prebookings SET status = 'cancelled', cancelled_at = created_at")
    send(staff, more(books, 5))
    customers = [shop.customer(f"c{number}@example.com") for number in range(4)]
    orders = [partial(shop.order, user_id, dict.fromkeys(books[:3], 1)) for user_id in customers]
    batches = [partial(send, staff, more(way, 2), mode) for way in (books, books[::-1]) for mode in ("atomic", "each")]
    restocks = [partial(staff.patch, f"/api/v1/books/{book_id}/stock", {"delta": 1}) for book_id in books[:3]]
    done = races.run_concurrently([*batches, *restocks, *orders])
    assert [answer.status_code for answer in done[:7]] == [200] * 7
    assert shop.rows("SELECT stock_quantity FROM books ORDER BY id") == [5 + 8 + 1 - 4] * 3 + [5 + 8] * 7
    assert shop.broken() == []


# ---------------------------------------------------------------- a batch and reservations


@pytest.fixture
def reserve(shop, books, api_client):
    """A function that reserves the first book for Ben."""
    shop.customer("ben@example.com")
    ben = api_client("ben@example.com")
    ben.get("/api/v1/books")
    return partial(ben.reserve, books[0])


@MODES
@pytest.mark.parametrize("first", ["batch", "reservation"])
def test_a_batch_that_races_a_reservation_leaves_no_customer_waiting(shop, staff, books, reserve, *, mode, first):
    batch = partial(send, staff, more(books), mode)
    race = (NOTIFY, batch, reserve) if first == "batch" else (INSERT, reserve, batch)
    answers = races.interleave(*race)
    changed, reserved = answers if first == "batch" else answers[::-1]
    assert (changed.status_code, reserved.status_code) == (200, 409 if first == "batch" else 201)
    told = ["notified"] * (1 if first == "batch" else 2)
    assert (shop.statuses(books[0]), changed.json["notified_count"], shop.broken()) == (told, 9 + len(told), [])


def test_without_the_locks_a_reservation_is_left_waiting(app, shop, staff, books, reserve):
    with races.without_lock(app, NO_LOCKS):
        races.interleave(NOTIFY, partial(send, staff, more(books)), reserve, races.LONG)
        stranded = shop.broken()
        if not stranded:  # on SQLite each statement was committed at once, so the reservation came too late
            shop.execute("UPDATE books SET stock_quantity = 0")
    with races.without_lock(app, NO_LOCKS), races.naive_reservation():
        races.interleave((BookRepository, "get"), reserve, partial(send, staff, more(books)), races.LONG)
        stranded = stranded or shop.broken()
    assert any("is waiting, but" in line for line in stranded)


@MODES
def test_every_customer_who_reserves_during_batches_is_notified(shop, staff, books, api_client, *, mode):
    crowd = [api_client(f"customer{number}@example.com") for number, _id in enumerate(shop.customers(6))]
    reservations = [partial(reader.reserve, book_id) for reader in crowd for book_id in books[:3]]
    batches = [partial(send, staff, more(books[:3], copies), mode) for copies in (1, -1, 2, -2)]
    statuses = {answer.status_code for answer in races.run_concurrently([*reservations, *batches])}
    assert statuses <= {200, 201, 409, 422}
    send(staff, [{"book_id": book_id, "quantity": 1} for book_id in books])
    assert (shop.rows("SELECT count(*) FROM prebookings WHERE status = 'waiting'"), shop.broken()) == ([0], [])
