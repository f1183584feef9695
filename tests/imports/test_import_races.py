"""Imports beside reservations, restocks and deliveries: nobody is left waiting, and no stock is lost."""

import os
import random
import signal
import time
from functools import partial

import pytest

from bookshop.catalog.repository import BookRepository
from bookshop.extensions import db
from bookshop.imports.batch import ImportBatch
from bookshop.imports.models import DONE
from bookshop.imports.runner import import_file
from bookshop.imports.worker import run_due
from bookshop.inventory.service import Delivery, StockChange
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.factories import isbn

A = "9780141439587"
HEADER = "isbn,title,authors,stock_quantity\n"
LOCK = (BookRepository, "lock_and_refresh")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")
INSERT = (PreBookRepository, "insert_if_out_of_stock")
READ = (BookRepository, "get")
ADD = (ImportBatch, "_candidates")

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def emma(shop):
    return shop.book("Emma", isbn=A)


@pytest.fixture
def racers(shop, imports, emma):
    """One book, out of stock, and what races for it."""
    customer = shop.customer()
    change = StockChange(book_id=emma, delta=2)
    delivery = Delivery(copies={A: 3}, note="note 1", user_id=imports.staff)
    result = partial(races.result_or_code, shop.app)
    return {
        "import": lambda: imports.by_command(f"{HEADER}{A},Emma,Jane Austen,5\n"),
        "reserve": partial(result, lambda: services.prebookings().reserve(customer, emma)),
        "restock": partial(result, lambda: services.shelf().update_stock(change)),
        "delivery": partial(result, lambda: services.shelf().receive(delivery)),
        "withdraw": lambda: shop.withdraw(emma),
    }


@pytest.mark.parametrize(
    ("slow", "point", "fast"),
    [
        ("import", LOCK, "reserve"),
        ("import", NOTIFY, "reserve"),
        ("reserve", INSERT, "import"),
        ("import", LOCK, "restock"),
        ("restock", NOTIFY, "import"),
        ("import", LOCK, "delivery"),
        ("delivery", NOTIFY, "import"),
        ("import", LOCK, "withdraw"),
    ],
)
def test_an_import_overtaken_by_another_change_leaves_nothing_broken(shop, racers, slow, point, fast):
    races.interleave(point, racers[slow], racers[fast])
    assert shop.broken() == []


def test_a_naive_stock_check_leaves_a_customer_waiting_beside_an_import(app, shop, racers):
    with races.without_lock(app, {" FOR SHARE": ""}), races.naive_reservation():
        races.interleave(READ, racers["reserve"], racers["import"], races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


@on_postgresql
def test_without_for_share_a_customer_is_left_waiting_beside_an_import(app, shop, racers):
    """PostgreSQL only: SQLite has a single writer, so no statement can be overtaken."""
    with races.without_lock(app, {" FOR SHARE": ""}):
        races.interleave(INSERT, racers["reserve"], racers["import"], races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


def test_two_imports_of_the_same_new_books_add_them_once(shop, imports):
    content = HEADER + ",Emma,Jane Austen,1\n,Persuasion,Jane Austen,1\n"
    races.interleave(LOCK, partial(first, imports, content), partial(second, imports, content))
    assert shop.rows("SELECT title FROM books ORDER BY title") == ["Emma", "Persuasion"]


@on_postgresql
def test_without_the_lock_of_imports_both_add_them(shop, imports, monkeypatch):
    content = HEADER + ",Emma,Jane Austen,1\n"
    with monkeypatch.context() as patch:
        patch.setattr(BookRepository, "lock_imports", lambda _books: None)
        races.interleave(LOCK, partial(first, imports, content), partial(second, imports, content), races.LONG)
    assert shop.rows("SELECT title FROM books") == ["Emma", "Emma"]


def first(imports, content, name="first.csv"):
    path = imports.folder / name
    path.write_text(content)
    with imports.shop.app.app_context():
        return import_file(path).added


second = partial(first, name="second.csv")


def test_a_book_added_by_someone_else_meanwhile_is_updated(shop, imports):
    """The ISBN is taken after the import has looked for it; the second try finds the book."""
    job_id = imports.check(f"{HEADER}{A},Emma,Jane Austen,5\n")
    imports.do("start", job_id)
    values = {"isbn": A, "title": "Emma", "authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}
    add = partial(races.result_or_code, shop.app, lambda: services.catalog().create(values))
    races.interleave(ADD, imports.work, add)
    job = imports.job(job_id)
    assert (job.state, job.lines, job.added + job.updated) == (DONE, 1, 1)
    assert shop.rows("SELECT isbn, stock_quantity FROM books") == [(A, 5)]
    assert shop.broken() == []


def test_imports_reservations_deliveries_and_restocks_of_the_same_books_at_once(app, shop, imports):
    """Many threads, a few books: nobody is left waiting, everybody is notified once, the ledger adds up."""
    chance = random.Random(19)
    numbers = [isbn(number) for number in range(6)]
    books = [shop.book(f"Volume {number}", isbn=number) for number in numbers]
    customers = shop.customers(4)
    for turn in range(6):
        contents = HEADER + "".join(f"{one},,,{chance.choice((0, 3))}\n" for one in numbers)
        tasks = [partial(first, imports, contents)]
        for book_id, number in zip(books, numbers, strict=True):
            tasks += [partial(reserve, app, chance.choice(customers), book_id), partial(restock, app, book_id)]
            tasks.append(partial(deliver, app, number, f"delivery {turn} {number}"))
        races.run_concurrently(tasks)
        assert shop.broken() == []


def reserve(app, customer, book_id):
    return races.result_or_code(app, lambda: services.prebookings().reserve(customer, book_id))


def restock(app, book_id):
    change = StockChange(book_id=book_id, quantity=random.Random(book_id).choice((0, 2)))
    return races.result_or_code(app, lambda: services.shelf().update_stock(change))


def deliver(app, number, note):
    return races.result_or_code(app, lambda: services.shelf().receive(Delivery(copies={number: 1}, note=note)))


# ---------------------------------------------------------------- kills

LEASE = 0.2  # seconds, so that the next worker need not wait


def start_worker(app):
    """Start a process that carries out imports until it is killed; returns its id."""
    if pid := os.fork():
        return pid
    try:
        with app.app_context():
            db.engine.dispose(close=False)  # the connections are those of the parent process
            while True:
                run_due(lease=LEASE)
                time.sleep(0.02)
    finally:
        os._exit(1)


@pytest.mark.prove
def test_no_line_is_lost_or_doubled_by_thirty_kills(app, shop, imports):
    """Ten files; for each, a worker is killed twice while it writes and once at any moment of the check."""
    chance, lines = random.Random(7), 1500
    for file in range(10):
        job_id = imports.upload(HEADER + "".join(f",Book {file}/{n},Author,{n % 3}\n" for n in range(lines)))
        kill_at(app, imports, job_id, chance, lambda job: job.lines > 0)
        imports_when_free(shop, imports)
        assert imports.job(job_id).lines == lines
        imports.do("start", job_id)
        for _kill in range(2):
            kill_at(app, imports, job_id, chance, lambda job: job.lines > 0)
        imports_when_free(shop, imports)
        job = imports.job(job_id)
        assert (job.state, job.lines, job.added) == (DONE, lines, lines)
    expected = (10 * lines, 10 * lines, 10 * sum(n % 3 for n in range(lines)))
    assert shop.rows("SELECT count(*), count(DISTINCT title), sum(stock_quantity) FROM books") == [expected]
    assert shop.broken() == []


def kill_at(app, imports, job_id, chance, begun):
    """Start a worker, let it begin, and kill it a moment later."""
    pid = start_worker(app)
    end = time.monotonic() + races.LONG
    while not begun(imports.job(job_id)) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.3))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def imports_when_free(shop, imports):
    """Let a worker go on once the claim of the killed one has run out."""
    shop.execute("UPDATE import_jobs SET claimed_until = '2020-01-01 00:00:00' WHERE claimed_until IS NOT NULL")
    imports.work()
