"""Races of carts, checkouts and orders, on both databases; each has a twin in a shop without what decides it."""

from contextlib import contextmanager
from functools import partial

import pytest

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.repository import UserRepository
from bookshop.cart.repository import CartRepository
from bookshop.catalog.repository import BookRepository
from bookshop.checkout.service import Checkout
from bookshop.extensions import db
from bookshop.inventory.models import Movement
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import races
from tests.support.databases import empty
from tests.support.factories import PASSWORD

LOCK_USER = (Authentication, "lock_active")
LOCK_STAFF = (UserRepository, "lock_with_staff")
LOOK_IN_CART = (CartRepository, "list_entries")
TAKE_CART = (CartRepository, "take_all")
LOCK_BOOKS = (BookRepository, "lock")
LOOK_AT_BOOK = (BookRepository, "get")
LOOK_AT_LINES = (OrderRepository, "list_lines")
CHANGE_STATUS = (OrderRepository, "change_status")
INSERT = (PreBookRepository, "insert_if_out_of_stock")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")

SHARE = {" FOR SHARE": ""}
UPDATE = {" FOR NO KEY UPDATE": ""}
ADA, BEN, STAFF = "ada@example.com", "ben@example.com", "staff@example.com"
DONE, EMPTY, TOO_FEW, STATE = "done", "ORDER_CART_EMPTY", "ORDER_INSUFFICIENT_STOCK", "ORDER_STATE"
GONE, INVALID, IN_STOCK = "NOT_AUTHENTICATED", "VALIDATION_ERROR", "PREBOOK_BOOK_IN_STOCK"
NAMES = "{0[0]} overtaken by {0[2]}".format

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def said(answer):
    return DONE if answer.status_code < 300 else answer.json["code"]


def run(scene, race, patience=races.SHORT):
    slow, point, fast = race[:3]
    return races.overtake(point, scene[slow], scene[fast], patience)


# ---------------------------------------------------------------- a checkout


@pytest.fixture
def scene(app, shop, api_client):
    """Two copies of a book, one of them in Ada's cart, and what she and staff do: each name is one who can race."""
    ada_id, _staff_id, book_id = shop.customer(ADA), shop.staff(STAFF), shop.book("Emma", stock=2)
    shop.fill_cart(ada_id, {book_id: 1})
    ada, staff = api_client(ADA), api_client(STAFF)
    change_stock = partial(staff.patch, f"/api/v1/books/{book_id}/stock")
    leave = partial(races.attempt, app, lambda: services.people().delete(ada_id, PASSWORD) or DONE)
    return {
        "order": lambda: said(ada.post("/api/v1/orders", {"name": "Ada"})),
        "restock": lambda: said(change_stock({"delta": 5})),
        "sell": lambda: said(change_stock({"delta": -2, "reason": "sale"})),
        "raise the price": lambda: said(staff.patch(f"/api/v1/books/{book_id}", {"price_cents": 5000})),
        "withdraw": lambda: shop.withdraw(book_id) or DONE,
        "deactivate": lambda: shop.deactivate(ADA) or DONE,
        "leave": leave,
    }


@pytest.fixture
def cart_only_looked_at(monkeypatch):
    """The shop with a checkout that does not take the cart away, which is a lock of its own."""
    monkeypatch.setattr(CartRepository, "take_all", CartRepository.list_entries)


# Who is slow, where the other overtakes, what both are answered, and how many copies are left.
CHECKOUTS = [
    ("order", LOCK_BOOKS, "restock", (DONE, DONE), 6),
    ("restock", LOCK_BOOKS, "order", (DONE, DONE), 6),
    ("order", LOCK_BOOKS, "sell", (DONE, INVALID), 1),
    ("sell", LOCK_BOOKS, "order", (DONE, TOO_FEW), 0),
    ("order", LOCK_BOOKS, "raise the price", (DONE, DONE), 1),
    ("raise the price", LOCK_BOOKS, "order", (DONE, DONE), 1),
    ("order", LOCK_BOOKS, "withdraw", (DONE, DONE), 1),
    ("withdraw", LOCK_BOOKS, "order", (DONE, TOO_FEW), 2),
    ("order", LOCK_USER, "deactivate", (DONE, DONE), 1),
    ("deactivate", LOCK_STAFF, "order", (DONE, GONE), 2),
    ("order", LOCK_BOOKS, "leave", (DONE, DONE), 2),
    ("leave", LOCK_STAFF, "order", (DONE, GONE), 2),
    ("order", TAKE_CART, "order", (DONE, EMPTY), 1),
]


@pytest.mark.parametrize("race", CHECKOUTS, ids=NAMES)
def test_a_checkout_and_what_it_races_with_go_one_after_the_other(shop, scene, race):
    answers = run(scene, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert (too_late(shop), shop.broken()) == ([], [])


def too_late(shop):
    """The orders that were placed after their customer or a book was gone, and those that still name who left."""
    return shop.rows(
        "SELECT o.id FROM orders o JOIN users u ON u.id = o.user_id JOIN order_lines l ON l.order_id = o.id "
        "JOIN books b ON b.id = l.book_id WHERE o.created_at > coalesce(u.deactivated_at, b.withdrawn_at) "
        "OR (u.deleted_at IS NOT NULL AND (o.name <> '' OR o.status <> 'cancelled'))"
    )


@pytest.mark.parametrize(
    "race", [race for race in CHECKOUTS if race[2] in {"withdraw", "deactivate", "leave"}], ids=NAMES
)
@pytest.mark.usefixtures("cart_only_looked_at")
def test_twin_without_locks_something_is_ordered_too_late(app, shop, scene, race):
    with races.unlocked(app, UPDATE):
        assert run(scene, race, races.LONG) == (DONE, DONE)
    assert len(too_late(shop)) == 1


@pytest.mark.parametrize("race", [race for race in CHECKOUTS if race[2] in {"restock", "sell"}], ids=NAMES)
def test_twin_without_the_books_lock_stock_and_ledger_part(app, shop, scene, race):
    with races.unlocked(app, UPDATE | races.ANY_STOCK):
        assert run(scene, race, races.LONG) == (DONE, DONE)
    assert "but its movements add up to" in " ".join(shop.broken())


@pytest.mark.usefixtures("cart_only_looked_at")
def test_twin_without_the_users_lock_a_cart_that_is_only_looked_at_is_ordered_twice(app, shop, scene):
    with races.unlocked(app, UPDATE):
        answers = races.overtake(TAKE_CART, scene["order"], scene["order"], races.LONG)
    assert (answers, shop.rows("SELECT count(*) FROM orders")) == ((DONE, DONE), [2])


def test_even_without_the_users_lock_a_cart_is_ordered_once_as_the_order_takes_it_away(app, shop, scene):
    with races.unlocked(app, UPDATE):
        answers = races.overtake(TAKE_CART, scene["order"], scene["order"], races.SHORT)
    assert (answers, shop.rows("SELECT count(*) FROM orders")) == ((DONE, EMPTY), [1])


def order_as_shown(app, shop, scene, point):
    """Raise the price while Ada orders what her cart showed; returns what she is answered and the prices she pays."""
    ada_id = shop.rows("SELECT user_id FROM cart_items")[0]
    with app.app_context():
        shown = Checkout(shown=services.cart().get(ada_id).fingerprint)
    order = partial(races.attempt, app, lambda: services.checkout().place(ada_id, shown) and DONE)
    answer, _raised = races.overtake(point, order, scene["raise the price"])
    return answer, shop.rows("SELECT price_cents FROM order_lines")


def test_a_price_that_rises_while_one_orders_is_not_the_one_that_is_paid(app, shop, scene):
    assert order_as_shown(app, shop, scene, LOCK_BOOKS) == (DONE, [950])


@on_postgresql
def test_nothing_is_ordered_for_a_price_that_rose_before_the_books_were_locked(app, shop, scene):
    """PostgreSQL only: on SQLite nothing gets between the beginning of a checkout and its end."""
    assert order_as_shown(app, shop, scene, TAKE_CART) == ("ORDER_CHANGED", [])


# ---------------------------------------------------------------- an order


@pytest.fixture
def ordered(shop, api_client):
    """Ada ordered the last copy and has put it into the cart once more; Ben wants it too."""
    ada_id, _ben_id, staff_id = shop.customer(ADA), shop.customer(BEN), shop.staff(STAFF)
    book_id = shop.book("Emma", stock=1)
    order_id = shop.order(ada_id, {book_id: 1})
    races.fill_carts(shop, {ada_id: [book_id]})
    ada, ben, staff = api_client(ADA), api_client(BEN), api_client(STAFF)
    change = f"/api/v1/admin/orders/{order_id}"
    return {
        "order again": lambda: said(ada.post("/api/v1/orders", {"name": "Ada"})),
        "cancel": lambda: said(ada.post(f"/api/v1/orders/{order_id}/cancel")),
        "staff cancel": lambda: said(staff.post(f"{change}/cancel")),
        "ready": lambda: said(staff.post(f"{change}/ready")),
        "collected": lambda: said(staff.post(f"{change}/collected")),
        "be ready": lambda: shop.change_order(order_id, "ready", staff_id),
        "reserve": lambda: said(ben.reserve(book_id)),
    }


CHANGES = [
    ("cancel", LOCK_BOOKS, "staff cancel", (DONE, STATE), 1),
    ("staff cancel", CHANGE_STATUS, "cancel", (DONE, STATE), 1),
    ("cancel", LOCK_BOOKS, "cancel", (DONE, STATE), 1),
    ("cancel", CHANGE_STATUS, "ready", (DONE, STATE), 1),
    ("ready", CHANGE_STATUS, "cancel", (DONE, STATE), 0),
    ("order again", LOCK_BOOKS, "cancel", (TOO_FEW, DONE), 1),
    ("cancel", NOTIFY, "order again", (DONE, DONE), 0),
    ("cancel", NOTIFY, "reserve", (DONE, IN_STOCK), 1),
    ("reserve", INSERT, "cancel", (DONE, DONE), 1),
]
# Who has only looked so far. On SQLite nothing gets between that and the end.
OVERTAKEN = [
    ("cancel", LOOK_AT_LINES, "staff cancel", (STATE, DONE), 1),
    ("staff cancel", LOOK_AT_LINES, "cancel", (STATE, DONE), 1),
    ("cancel", LOOK_AT_LINES, "cancel", (STATE, DONE), 1),
    ("cancel", LOOK_AT_LINES, "ready", (STATE, DONE), 0),
]
LATER = [
    ("staff cancel", CHANGE_STATUS, "collected", (DONE, STATE), 1),
    ("collected", CHANGE_STATUS, "staff cancel", (DONE, STATE), 0),
]


@pytest.mark.parametrize("race", CHANGES, ids=NAMES)
def test_an_order_is_cancelled_once_or_not_at_all(shop, ordered, race):
    answers = run(ordered, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert shop.broken() == []


@on_postgresql
@pytest.mark.parametrize("race", OVERTAKEN, ids=NAMES)
def test_who_looked_at_an_order_before_it_changed_is_refused(shop, ordered, race):
    answers = run(ordered, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert shop.broken() == []


@pytest.mark.parametrize("race", LATER, ids=NAMES)
def test_an_order_that_is_ready_is_collected_or_cancelled(shop, ordered, race):
    ordered["be ready"]()
    answers = run(ordered, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert shop.broken() == []


BOTH_CANCEL = ("cancel", LOOK_AT_LINES, "staff cancel")


@contextmanager
def without_one_return_an_order(app):
    """The shop without the index that allows one sale and one return per order and book."""
    index = next(index for index in Movement.metadata.tables["movements"].indexes if index.unique)
    with app.app_context():
        engine = db.engine
    index.drop(engine)
    try:
        yield
    finally:
        empty(app)
        index.create(engine)


def test_twin_without_the_conditional_update_the_copies_come_back_twice(app, shop, ordered):
    with without_one_return_an_order(app), races.unlocked(app, races.ANY_STATE):
        assert run(ordered, BOTH_CANCEL, races.LONG) == (DONE, DONE)
        assert shop.rows("SELECT stock_quantity FROM books") == [2]


def test_even_without_the_conditional_update_the_database_lets_no_copies_come_back_twice(app, shop, ordered):
    with races.unlocked(app, races.ANY_STATE):
        assert run(ordered, BOTH_CANCEL, races.LONG) == ("HTTP_500", DONE)
    assert shop.rows("SELECT count(*) FROM movements WHERE reason = 'return'") == [1]


def test_twin_without_the_conditional_update_a_customer_cancels_what_is_ready(app, ordered):
    with races.unlocked(app, races.ANY_STATE):
        assert run(ordered, ("ready", CHANGE_STATUS, "cancel")) == (DONE, DONE)


@on_postgresql
def test_an_order_that_is_placed_while_its_id_is_cancelled_is_left_alone(app, shop, ordered):
    """Staff name the id of an order that is not there yet: it is cancelled with its copies or not at all."""
    shop.set_stock(1, 1)
    cancel = partial(races.attempt, app, lambda: services.checkout().change_all([2], "cancelled", 3))
    assert races.overtake(LOOK_AT_LINES, cancel, ordered["order again"]) == (([], []), DONE)
    assert (shop.rows("SELECT status FROM orders"), shop.broken()) == (["placed", "placed"], [])


def test_who_reserves_while_the_last_copy_comes_back_is_told(shop, ordered):
    run(ordered, ("reserve", INSERT, "cancel"))
    assert shop.rows("SELECT status FROM prebookings") == ["notified"]


def test_twin_a_plain_look_at_the_stock_strands_who_reserves_while_an_order_is_cancelled(app, shop, ordered):
    with races.unlocked(app, SHARE), races.plain_check():
        run(ordered, ("reserve", LOOK_AT_BOOK, "cancel"), races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


@on_postgresql
@pytest.mark.parametrize("race", [("reserve", INSERT, "cancel"), ("cancel", NOTIFY, "reserve")], ids=NAMES)
def test_twin_without_for_share_who_reserves_while_an_order_is_cancelled_is_stranded(app, shop, ordered, race):
    """PostgreSQL only: SQLite has one writer, so there a single statement cannot be overtaken."""
    with races.unlocked(app, SHARE):
        run(ordered, race, races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


# ---------------------------------------------------------------- a cart


def two_adds(shop, api_client, held, other, patience):
    """Put two books, or the same one twice, into a cart at once that has so many already.

    Returns what was answered, and how many books and how many copies are in the cart then.
    """
    ada_id, ada = shop.customer(ADA), api_client(ADA)
    *books, first, second = [shop.book(f"Volume {number}", stock=9) for number in range(held + 2)]
    if held:
        races.fill_carts(shop, {ada_id: books})
    slow, fast = (partial(ada.post, "/api/v1/cart/items", {"book_id": n}) for n in (first, second if other else first))
    answers = races.overtake(LOOK_IN_CART, slow, fast, patience)
    return sorted(map(said, answers)), *shop.rows("SELECT count(*), sum(quantity) FROM cart_items")


def test_of_two_books_for_the_last_place_in_a_cart_one_is_refused(shop, api_client):
    assert two_adds(shop, api_client, 19, True, races.SHORT) == (["CART_LIMIT", DONE], (20, 20))


def test_twin_without_the_users_lock_a_cart_holds_one_book_too_many(app, shop, api_client):
    with races.unlocked(app, UPDATE):
        assert two_adds(shop, api_client, 19, True, races.LONG) == ([DONE, DONE], (21, 21))


def test_two_copies_that_are_added_at_once_are_both_in_the_cart(shop, api_client):
    assert two_adds(shop, api_client, 0, False, races.SHORT) == ([DONE, DONE], (1, 2))


def test_twin_without_the_users_lock_an_added_copy_is_lost(app, shop, api_client):
    with races.unlocked(app, UPDATE):
        assert two_adds(shop, api_client, 0, False, races.LONG) == ([DONE, DONE], (1, 1))
