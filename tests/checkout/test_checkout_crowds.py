"""Many who want the same few copies at once, on both databases, and the same crowds in a shop without its locks."""

import random
import threading
from contextlib import contextmanager
from functools import partial

import pytest

from bookshop.catalog.repository import BookRepository
from bookshop.checkout.service import Checkout
from bookshop.idempotency.service import Answer
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


def crowd(app, shop, number=BUYERS):
    """Customers with tokens that have been used before; returns their scripts by their ids."""
    customers = races.many_customers(shop, number)
    scripts = [ApiClient(app, f"customer{index}@example.com") for index in range(number)]
    for api_client in scripts:
        api_client.get("/api/v1/cart/items")
    return dict(zip(customers, scripts, strict=True))


def order(api_client):
    """Order what is in the cart; returns the code of the refusal, if it is one."""
    answer = api_client.post("/api/v1/orders", {"name": "Ada"})
    return "ordered" if answer.status_code == 201 else answer.json["code"]


def all_order(buyers):
    """Let them all order what is in their carts at once; returns what they were answered, sorted."""
    return sorted(races.together([partial(order, api_client) for api_client in buyers.values()]))


def all_want(shop, buyers, copies):
    """A new book of which there are so many copies, and one of them in each cart."""
    book_id = shop.book("Emma", stock=copies)
    shop.execute("DELETE FROM cart_items")
    races.fill_carts(shop, {user_id: [book_id] for user_id in buyers})


def scramble(app, shop, copies, rounds):
    """In each round let 40 customers order the last copies of one book; returns what the rounds answered."""
    buyers, answers = crowd(app, shop), []
    for _round in range(rounds):
        all_want(shop, buyers, copies)
        answers.append(all_order(buyers))
    return answers


def sold(shop):
    """How many copies the orders have of each book, by book."""
    return shop.rows("SELECT sum(quantity) FROM order_lines GROUP BY book_id ORDER BY book_id")


@COPIES
@pytest.mark.prove
def test_of_forty_who_want_the_last_copies_each_copy_goes_to_one(app, shop, copies):
    rounds = 25
    answers = scramble(app, shop, copies, rounds)
    assert answers == [[TOO_FEW] * (BUYERS - copies) + ["ordered"] * copies] * rounds
    assert (sold(shop), shop.rows("SELECT count(*) FROM orders")) == ([copies] * rounds, [copies * rounds])
    assert set(shop.rows("SELECT stock_quantity FROM books")) == {0}
    assert shop.rows("SELECT sum(delta) FROM movements GROUP BY book_id") == [0] * rounds
    assert shop.broken() == []


@pytest.mark.prove
@COPIES
def test_twin_without_the_books_lock_more_copies_are_sold_than_there_were(app, shop, copies):
    buyers = crowd(app, shop)
    all_want(shop, buyers, copies)
    with races.unlocked(app, UPDATE | races.ANY_STOCK), races.meeting(LOCK_BOOKS, BUYERS, races.LONG):
        answers = all_order(buyers)
    assert answers.count("ordered") > copies
    assert "its movements add up to -" in " ".join(shop.broken())


@COPIES
def test_even_without_the_lock_no_copy_is_sold_twice(app, shop, copies):
    buyers = crowd(app, shop)
    all_want(shop, buyers, copies)
    with races.unlocked(app, UPDATE), races.meeting(LOCK_BOOKS, BUYERS, races.LONG):
        answers = all_order(buyers)
    assert 0 < answers.count("ordered") <= copies
    assert shop.rows("SELECT stock_quantity FROM books") == [copies - answers.count("ordered")]


def carts_in_opposite_order(app, shop, number=BUYERS):
    """Customers with the same two books in their carts, half of them with the second before the first."""
    first, second = shop.book("Emma", stock=number), shop.book("Persuasion", stock=number)
    buyers, ways = crowd(app, shop, number), ([first, second], [second, first])
    races.fill_carts(shop, {user_id: ways[index % 2] for index, user_id in enumerate(buyers)})
    return buyers


def test_two_books_in_opposite_order_in_forty_carts_never_block_each_other(app, shop, caplog):
    assert all_order(carts_in_opposite_order(app, shop)) == ["ordered"] * BUYERS
    assert ("given up" in caplog.text, sold(shop)) == (False, [BUYERS, BUYERS])
    assert (shop.rows("SELECT stock_quantity FROM books"), shop.broken()) == ([0, 0], [])


@contextmanager
def locked_as_in_the_cart():
    """The shop with a checkout as one would write it at first: each book is locked when its line comes.

    The first two to come hold their first book before either goes on to its second.
    """
    lock, first_held, first_two = BookRepository.lock, threading.Barrier(2), iter([True, True])

    def lock_in_order(self, book_ids):
        locked = list(lock(self, book_ids[:1]))
        if next(first_two, False):  # a refused thread tries once more alone
            first_held.wait(races.LONG)
        return locked + [book for book_id in book_ids[1:] for book in lock(self, [book_id])]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BookRepository, "lock", lock_in_order)
        yield


@on_postgresql
def test_twin_a_checkout_that_locks_book_by_book_deadlocks(app, shop, caplog):
    """PostgreSQL only: SQLite has one writer, who waits for nobody."""
    buyers = carts_in_opposite_order(app, shop, 2)
    with locked_as_in_the_cart():
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
def test_many_hands_in_carts_orders_and_stock_break_nothing_and_never_deadlock(app, shop, caplog):
    number = 300
    shop.customers(len(CUSTOMERS))
    staff_id = shop.staff()
    for _book in BOOKS:
        shop.book(stock=5)
    answers = races.together([partial(many_hands, app, random.Random(seed), staff_id, number) for seed in range(16)])
    assert {answer for given in answers for answer in given if isinstance(answer, str)} <= REFUSALS
    assert "DeadlockDetected" not in caplog.text
    assert shop.broken() == []
    assert in_the_shop_and_sold(shop) == shop.rows("SELECT sum(delta) FROM movements WHERE order_id IS NULL")[0]


def in_the_shop_and_sold(shop):
    """How many copies are on the shelves or in orders that are not cancelled."""
    live = "SELECT coalesce(sum(quantity), 0) FROM order_lines l JOIN orders o ON o.id = l.order_id "
    return sum(shop.rows("SELECT sum(stock_quantity) FROM books") + shop.rows(f"{live} WHERE status <> 'cancelled'"))


def many_hands(app, chance, staff_id, number):
    """Do so many random things that customers and staff do; returns what was answered."""
    things = [*[add] * 8, *[buy] * 6, *[reserve] * 3, reserve_instead, cancel_reservation, *[cancel] * 3]
    things += [*[restock] * 2, sell, deliver, withdraw, *[put_back] * 2, *[change] * 5, change_many, deactivate, leave]
    answers = []
    for _thing in range(number):
        thing = partial(chance.choice(things), chance, chance.choice(CUSTOMERS), chance.choice(BOOKS), staff_id)
        answers.append(races.attempt(app, thing))
    return answers


def add(chance, customer_id, book_id, _staff_id):
    services.cart().add(customer_id, book_id, chance.randint(1, 2))


def buy(chance, customer_id, _book_id, _staff_id):
    """Under one of few keys, so that some are sent again."""

    def place():
        return Answer(str(services.checkout().place(customer_id, Checkout()).order.id))

    services.idempotency().once(customer_id, f"key {chance.randint(1, 30)}", "the same", place)


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
    """A delivery of three books at once, in no order."""
    changes = [StockChange(book_id=book_id, delta=2) for book_id in chance.sample(BOOKS, 3)]
    services.alerts().queue(services.inventory().update_stocks(changes))


def withdraw(_chance, _customer_id, book_id, _staff_id):
    services.shelf().withdraw(book_id)


def put_back(_chance, _customer_id, book_id, _staff_id):
    services.shelf().put_back(book_id)


def deactivate(_chance, customer_id, _book_id, staff_id):
    """And let them come back at once: else nobody would be left in the end."""
    services.people().deactivate(customer_id, by=staff_id)
    services.accounts().reactivate(customer_id)


def leave(chance, _customer_id, _book_id, _staff_id):
    """Few ever leave, for good."""
    services.people().delete(chance.choice(LEAVERS), PASSWORD)
