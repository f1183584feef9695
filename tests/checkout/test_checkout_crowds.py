"""Many customers order the same few copies at once, on both databases, with negative controls without the locks."""

import random
import threading
from contextlib import contextmanager
from functools import partial

import pytest

from bookshop.catalog.repository import BookRepository
from bookshop.checkout.service import Checkout
from bookshop.idempotency.service import StoredResponse
from bookshop.inventory.service import StockChange
from bookshop.orders.models import CANCELLED, COLLECTED, READY
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.clients import ApiClient
from tests.support.factories import PASSWORD

LOCK_BOOKS = (BookRepository, "lock")
UPDATE = {" FOR NO KEY UPDATE": ""}
TOO_FEW = "ORDER_INSUFFICIENT_STOCK"
BUYERS = 40

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
COPIES = pytest.mark.parametrize("copies", [1, 5])


def create_buyers(app, shop, number=BUYERS):
    """Create customers with tokens already in use; return their API clients by user id."""
    customers = races.insert_customers(shop, number)
    scripts = [ApiClient(app, f"customer{index}@example.com") for index in range(number)]
    for api_client in scripts:
        api_client.get("/api/v1/cart/items")
    return dict(zip(customers, scripts, strict=True))


def order(api_client):
    """Order what is in the cart; return "ordered" or the error code."""
    answer = api_client.post("/api/v1/orders", {"name": "Ada"})
    return "ordered" if answer.status_code == 201 else answer.json["code"]


def all_order(buyers):
    """Place all orders at once; return the sorted outcomes."""
    return sorted(races.run_concurrently([partial(order, api_client) for api_client in buyers.values()]))


def fill_all_carts(shop, buyers, copies):
    """Create a book with this many copies, and put one into each cart."""
    book_id = shop.book("Emma", stock=copies)
    shop.execute("DELETE FROM cart_items")
    races.fill_carts(shop, {user_id: [book_id] for user_id in buyers})


def order_last_copies(app, shop, copies, rounds):
    """In each round let 40 customers order the last copies of a book; return the outcomes per round."""
    buyers, answers = create_buyers(app, shop), []
    for _round in range(rounds):
        fill_all_carts(shop, buyers, copies)
        answers.append(all_order(buyers))
    return answers


def sold(shop):
    """Return the number of ordered copies of each book, by book."""
    return shop.rows("SELECT sum(quantity) FROM order_lines GROUP BY book_id ORDER BY book_id")


@COPIES
@pytest.mark.prove
def test_forty_customers_get_each_last_copy_once(app, shop, copies):
    rounds = 25
    answers = order_last_copies(app, shop, copies, rounds)
    assert answers == [[TOO_FEW] * (BUYERS - copies) + ["ordered"] * copies] * rounds
    assert (sold(shop), shop.rows("SELECT count(*) FROM orders")) == ([copies] * rounds, [copies * rounds])
    assert set(shop.rows("SELECT stock_quantity FROM books")) == {0}
    assert shop.rows("SELECT sum(delta) FROM movements GROUP BY book_id") == [0] * rounds
    assert shop.broken() == []


@pytest.mark.prove
@COPIES
def test_without_the_books_lock_more_copies_are_sold_than_in_stock(app, shop, copies):
    buyers = create_buyers(app, shop)
    fill_all_carts(shop, buyers, copies)
    with races.without_lock(app, UPDATE | races.ANY_STOCK), races.barrier_at(LOCK_BOOKS, BUYERS, races.LONG):
        answers = all_order(buyers)
    assert answers.count("ordered") > copies
    assert "its movements add up to -" in " ".join(shop.broken())


@COPIES
def test_without_the_lock_a_constraint_still_prevents_overselling(app, shop, copies):
    buyers = create_buyers(app, shop)
    fill_all_carts(shop, buyers, copies)
    with races.without_lock(app, UPDATE), races.barrier_at(LOCK_BOOKS, BUYERS, races.LONG):
        answers = all_order(buyers)
    assert 0 < answers.count("ordered") <= copies
    assert shop.rows("SELECT stock_quantity FROM books") == [copies - answers.count("ordered")]


def carts_in_opposite_order(app, shop, number=BUYERS):
    """Create customers with the same two books in their carts, half of them in reverse order."""
    first, second = shop.book("Emma", stock=number), shop.book("Persuasion", stock=number)
    buyers, ways = create_buyers(app, shop, number), ([first, second], [second, first])
    races.fill_carts(shop, {user_id: ways[index % 2] for index, user_id in enumerate(buyers)})
    return buyers


def test_forty_carts_with_two_books_in_opposite_order_never_deadlock(app, shop, caplog):
    assert all_order(carts_in_opposite_order(app, shop)) == ["ordered"] * BUYERS
    assert ("transaction rolled back" in caplog.text, sold(shop)) == (False, [BUYERS, BUYERS])
    assert (shop.rows("SELECT stock_quantity FROM books"), shop.broken()) == ([0, 0], [])


@contextmanager
def locking_in_cart_order():
    """Run the shop with a naive checkout: each book is locked when its line is processed.

    The first two requests lock their first book before either continues to its second.
    """
    lock, first_held, first_two = BookRepository.lock, threading.Barrier(2), iter([True, True])

    def lock_in_order(self, book_ids):
        locked = list(lock(self, book_ids[:1]))
        if next(first_two, False):  # a rejected thread retries alone
            first_held.wait(races.LONG)
        return locked + [book for book_id in book_ids[1:] for book in lock(self, [book_id])]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BookRepository, "lock", lock_in_order)
        yield


@on_postgresql
def test_locking_book_by_book_at_checkout_deadlocks(app, shop, caplog):
    """PostgreSQL only: SQLite has a single writer, which never waits."""
    buyers = carts_in_opposite_order(app, shop, 2)
    with locking_in_cart_order():
        all_order(buyers)
    assert "DeadlockDetected" in caplog.text


# ---------------------------------------------------------------- everything at once

BOOKS, CUSTOMERS, LEAVERS, ORDERS = range(1, 6), range(1, 31), range(26, 31), range(1, 200)
REFUSALS = {
    "BOOK_NOT_FOUND", "CART_BOOK_OUT_OF_STOCK", "CART_LIMIT", "NOT_AUTHENTICATED", "ORDER_CART_EMPTY", TOO_FEW,
    "ORDER_NOT_FOUND", "ORDER_STATE", "PREBOOK_ALREADY_CANCELLED", "PREBOOK_ALREADY_NOTIFIED", "PREBOOK_BOOK_IN_STOCK",
    "PREBOOK_DUPLICATE", "PREBOOK_NOT_FOUND", "USER_NOT_FOUND", "VALIDATION_ERROR",
}  # fmt: skip


@pytest.mark.prove
def test_random_concurrent_cart_order_and_stock_changes_break_nothing_and_never_deadlock(app, shop, caplog):
    number = 300
    shop.customers(len(CUSTOMERS))
    staff_id = shop.staff()
    for _book in BOOKS:
        shop.book(stock=5)
    answers = races.run_concurrently(
        [partial(random_actions, app, random.Random(seed), staff_id, number) for seed in range(16)]
    )
    assert {answer for given in answers for answer in given if isinstance(answer, str)} <= REFUSALS
    assert "DeadlockDetected" not in caplog.text
    assert shop.broken() == []
    assert total_copies(shop) == shop.rows("SELECT sum(delta) FROM movements WHERE order_id IS NULL")[0]


def total_copies(shop):
    """Return the number of copies in stock or in orders that are not cancelled."""
    live = "SELECT coalesce(sum(quantity), 0) FROM order_lines l JOIN orders o ON o.id = l.order_id "
    return sum(shop.rows("SELECT sum(stock_quantity) FROM books") + shop.rows(f"{live} WHERE status <> 'cancelled'"))


def random_actions(app, chance, staff_id, number):
    """Run this many random actions of customers and staff concurrently; return the outcomes."""
    things = [*[add] * 8, *[buy] * 6, *[reserve] * 3, reserve_instead, cancel_reservation, *[cancel] * 3]
    things += [
        *[restock] * 2,
        sell,
        deliver,
        withdraw,
        *[put_back] * 2,
        *[change] * 5,
        change_many,
        deactivate,
        delete_account,
    ]
    answers = []
    for _thing in range(number):
        thing = partial(chance.choice(things), chance, chance.choice(CUSTOMERS), chance.choice(BOOKS), staff_id)
        answers.append(races.result_or_code(app, thing))
    return answers


def add(chance, customer_id, book_id, _staff_id):
    services.cart().add(customer_id, book_id, chance.randint(1, 2))


def buy(chance, customer_id, _book_id, _staff_id):
    """Use one of a few keys, so that some requests are repeated."""

    def place():
        return StoredResponse(str(services.checkout().place(customer_id, Checkout()).order.id))

    services.idempotency().run_once(customer_id, f"key {chance.randint(1, 30)}", "the same", place)


def cancel(chance, customer_id, _book_id, _staff_id):
    services.checkout().cancel(customer_id, chance.choice(ORDERS))


def change(chance, _customer_id, _book_id, staff_id):
    services.checkout().change(chance.choice(ORDERS), chance.choice([READY, READY, COLLECTED, CANCELLED]), staff_id)


def change_many(chance, _customer_id, _book_id, staff_id):
    services.checkout().change_all(chance.sample(ORDERS, 5), chance.choice([READY, COLLECTED, CANCELLED]), staff_id)


def reserve(_chance, customer_id, book_id, _staff_id):
    services.prebookings().reserve(customer_id, book_id)


def reserve_instead(_chance, customer_id, book_id, _staff_id):
    services.cart().reserve_instead(customer_id, book_id)


def cancel_reservation(_chance, customer_id, book_id, _staff_id):
    latest = services.repository(PreBookRepository).latest(customer_id, book_id)
    services.prebookings().cancel(customer_id, latest.id if latest else 1)


def restock(chance, _customer_id, book_id, staff_id):
    services.shelf().update_stock(StockChange(book_id=book_id, delta=chance.randint(1, 3), user_id=staff_id))


def sell(_chance, _customer_id, book_id, staff_id):
    services.shelf().update_stock(StockChange(book_id=book_id, delta=-1, reason="sale", user_id=staff_id))


def deliver(chance, _customer_id, _book_id, _staff_id):
    """Deliver three books at once, in random order."""
    changes = [StockChange(book_id=book_id, delta=2) for book_id in chance.sample(BOOKS, 3)]
    services.alerts().queue(services.inventory().update_stocks(changes))


def withdraw(_chance, _customer_id, book_id, _staff_id):
    services.shelf().withdraw(book_id)


def put_back(_chance, _customer_id, book_id, _staff_id):
    services.shelf().put_back(book_id)


def deactivate(_chance, customer_id, _book_id, staff_id):
    """Deactivate and reactivate at once: otherwise no one would be left in the end."""
    services.people().deactivate(customer_id, by=staff_id)
    services.people().reactivate(customer_id)


def delete_account(chance, _customer_id, _book_id, _staff_id):
    """Rarely, an account is deleted."""
    services.people().delete(chance.choice(LEAVERS), PASSWORD)
