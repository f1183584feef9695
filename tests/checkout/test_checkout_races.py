"""Races of carts, checkouts and orders, on both databases, each with a negative control without its lock."""

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
LOCK_OWNERS = (UserRepository, "lock_with_owners")
READ_CART = (CartRepository, "list_entries")
TAKE_CART = (CartRepository, "take_all")
LOCK_BOOKS = (BookRepository, "lock")
READ_BOOK = (BookRepository, "get")
READ_LINES = (OrderRepository, "list_lines")
COUNT_OPEN = (OrderRepository, "count_open")
CHANGE_STATUS = (OrderRepository, "change_status")
INSERT = (PreBookRepository, "insert_if_out_of_stock")
NOTIFY = (PreBookRepository, "notify_waiting_by_book")

SHARE = {" FOR SHARE": ""}
UPDATE = {" FOR NO KEY UPDATE": ""}
ADA, BEN, STAFF = "ada@example.com", "ben@example.com", "staff@example.com"
DONE, EMPTY, TOO_FEW, STATE = "done", "ORDER_CART_EMPTY", "ORDER_INSUFFICIENT_STOCK", "ORDER_STATE"
TOO_MANY = "ORDER_LIMIT"
GONE, INVALID, IN_STOCK = "NOT_AUTHENTICATED", "VALIDATION_ERROR", "PREBOOK_BOOK_IN_STOCK"
NAMES = "{0[0]} overtaken by {0[2]}".format

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def status_and_code(answer):
    return DONE if answer.status_code < 300 else answer.json["code"]


def run(racers, race, patience=races.SHORT):
    slow, point, fast = race[:3]
    return races.interleave(point, racers[slow], racers[fast], patience)


# ---------------------------------------------------------------- a checkout


@pytest.fixture
def racers(app, shop, api_client):
    """Two copies of a book, one in Ada's cart, and the racing actions of Ada and staff by name."""
    ada_id, _staff_id, book_id = shop.customer(ADA), shop.staff(STAFF), shop.book("Emma", stock=2)
    shop.fill_cart(ada_id, {book_id: 1})
    ada, staff = api_client(ADA), api_client(STAFF)
    change_stock = partial(staff.patch, f"/api/v1/books/{book_id}/stock")
    leave = partial(races.result_or_code, app, lambda: services.people().delete(ada_id, PASSWORD) or DONE)
    return {
        "order": lambda: status_and_code(ada.post("/api/v1/orders", {"name": "Ada"})),
        "restock": lambda: status_and_code(change_stock({"delta": 5})),
        "sell": lambda: status_and_code(change_stock({"delta": -2, "reason": "sale"})),
        "raise the price": lambda: status_and_code(staff.patch(f"/api/v1/books/{book_id}", {"price_cents": 5000})),
        "withdraw": lambda: shop.withdraw(book_id) or DONE,
        "deactivate": lambda: shop.deactivate(ADA) or DONE,
        "leave": leave,
    }


@pytest.fixture
def cart_not_deleted(monkeypatch):
    """Run a checkout that does not delete the cart, as deleting is itself a lock."""
    monkeypatch.setattr(CartRepository, "take_all", CartRepository.list_entries)


# The slow action, the point of overtaking, both outcomes, and the copies left.
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
    ("deactivate", LOCK_OWNERS, "order", (DONE, GONE), 2),
    ("order", LOCK_BOOKS, "leave", (DONE, DONE), 2),
    ("leave", LOCK_OWNERS, "order", (DONE, GONE), 2),
    ("order", TAKE_CART, "order", (DONE, EMPTY), 1),
]


@pytest.mark.parametrize("race", CHECKOUTS, ids=NAMES)
def test_a_checkout_and_its_competitors_run_one_after_the_other(shop, racers, race):
    answers = run(racers, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert (invalid_orders(shop), shop.broken()) == ([], [])


def invalid_orders(shop):
    """Return orders placed after their customer or book had gone, and those that still name a deleted customer."""
    return shop.rows(
        "SELECT o.id FROM orders o JOIN users u ON u.id = o.user_id JOIN order_lines l ON l.order_id = o.id "
        "JOIN books b ON b.id = l.book_id WHERE o.created_at > coalesce(u.deactivated_at, b.withdrawn_at) "
        "OR (u.deleted_at IS NOT NULL AND (o.name <> '' OR o.status <> 'cancelled'))"
    )


@pytest.mark.parametrize(
    "race", [race for race in CHECKOUTS if race[2] in {"withdraw", "deactivate", "leave"}], ids=NAMES
)
@pytest.mark.usefixtures("cart_not_deleted")
def test_without_locks_an_order_succeeds_too_late(app, shop, racers, race):
    with races.without_lock(app, UPDATE):
        assert run(racers, race, races.LONG) == (DONE, DONE)
    assert len(invalid_orders(shop)) == 1


@pytest.mark.parametrize("race", [race for race in CHECKOUTS if race[2] in {"restock", "sell"}], ids=NAMES)
def test_without_the_books_lock_stock_and_ledger_differ(app, shop, racers, race):
    with races.without_lock(app, UPDATE | races.ANY_STOCK):
        assert run(racers, race, races.LONG) == (DONE, DONE)
    assert "but its movements add up to" in " ".join(shop.broken())


@pytest.mark.usefixtures("cart_not_deleted")
def test_without_the_users_lock_a_cart_that_is_only_read_is_ordered_twice(app, shop, racers):
    with races.without_lock(app, UPDATE):
        answers = races.interleave(TAKE_CART, racers["order"], racers["order"], races.LONG)
    assert (answers, shop.rows("SELECT count(*) FROM orders")) == ((DONE, DONE), [2])


def test_without_the_users_lock_deleting_the_cart_still_prevents_a_second_order(app, shop, racers):
    with races.without_lock(app, UPDATE):
        answers = races.interleave(TAKE_CART, racers["order"], racers["order"], races.SHORT)
    assert (answers, shop.rows("SELECT count(*) FROM orders")) == ((DONE, EMPTY), [1])


@pytest.fixture
def one_open_order(app, monkeypatch, cart_not_deleted):
    """Let a customer have one open order, in a checkout that does not delete the cart."""
    limited = app.config["SETTINGS"].model_copy(update={"max_open_orders": 1})
    monkeypatch.setitem(app.config, "SETTINGS", limited)


@pytest.mark.usefixtures("one_open_order")
def test_one_of_two_orders_beyond_the_limit_is_refused(shop, racers):
    answers = races.interleave(COUNT_OPEN, racers["order"], racers["order"])
    assert (answers, shop.rows("SELECT count(*) FROM orders")) == ((DONE, TOO_MANY), [1])


@pytest.mark.usefixtures("one_open_order")
def test_without_the_users_lock_a_customer_has_one_open_order_too_many(app, shop, racers):
    with races.without_lock(app, UPDATE):
        answers = races.interleave(COUNT_OPEN, racers["order"], racers["order"], races.LONG)
    assert (answers, shop.rows("SELECT count(*) FROM orders")) == ((DONE, DONE), [2])


def order_as_shown(app, shop, racers, point):
    """Raise the price while Ada orders; return her outcome and the prices she pays."""
    ada_id = shop.rows("SELECT user_id FROM cart_items")[0]
    with app.app_context():
        shown = Checkout(shown=services.cart().get(ada_id).fingerprint)
    order = partial(races.result_or_code, app, lambda: services.checkout().place(ada_id, shown) and DONE)
    answer, _raised = races.interleave(point, order, racers["raise the price"])
    return answer, shop.rows("SELECT price_cents FROM order_lines")


def test_an_order_never_pays_a_price_raised_during_the_checkout(app, shop, racers):
    assert order_as_shown(app, shop, racers, LOCK_BOOKS) == (DONE, [950])


@on_postgresql
def test_nothing_is_ordered_at_a_price_that_rose_before_the_lock(app, shop, racers):
    """PostgreSQL only: on SQLite nothing can interrupt a checkout."""
    assert order_as_shown(app, shop, racers, TAKE_CART) == ("ORDER_CHANGED", [])


# ---------------------------------------------------------------- orders


@pytest.fixture
def ordered(shop, api_client):
    """Ada ordered the last copy and added another to her cart; Ben wants it too."""
    ada_id, _ben_id, staff_id = shop.customer(ADA), shop.customer(BEN), shop.staff(STAFF)
    book_id = shop.book("Emma", stock=1)
    order_id = shop.order(ada_id, {book_id: 1})
    races.fill_carts(shop, {ada_id: [book_id]})
    ada, ben, staff = api_client(ADA), api_client(BEN), api_client(STAFF)
    change = f"/api/v1/admin/orders/{order_id}"
    return {
        "order again": lambda: status_and_code(ada.post("/api/v1/orders", {"name": "Ada"})),
        "cancel": lambda: status_and_code(ada.post(f"/api/v1/orders/{order_id}/cancel")),
        "staff cancel": lambda: status_and_code(staff.post(f"{change}/cancel")),
        "ready": lambda: status_and_code(staff.post(f"{change}/ready")),
        "collected": lambda: status_and_code(staff.post(f"{change}/collected")),
        "be ready": lambda: shop.change_order(order_id, "ready", staff_id),
        "reserve": lambda: status_and_code(ben.reserve(book_id)),
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
# Actions that have only read so far. On SQLite nothing can interrupt them from then on.
OVERTAKEN = [
    ("cancel", READ_LINES, "staff cancel", (STATE, DONE), 1),
    ("staff cancel", READ_LINES, "cancel", (STATE, DONE), 1),
    ("cancel", READ_LINES, "cancel", (STATE, DONE), 1),
    ("cancel", READ_LINES, "ready", (STATE, DONE), 0),
]
LATER = [
    ("staff cancel", CHANGE_STATUS, "collected", (DONE, STATE), 1),
    ("collected", CHANGE_STATUS, "staff cancel", (DONE, STATE), 0),
]


@pytest.mark.parametrize("race", CHANGES, ids=NAMES)
def test_an_order_is_cancelled_at_most_once(shop, ordered, race):
    answers = run(ordered, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert shop.broken() == []


@on_postgresql
@pytest.mark.parametrize("race", OVERTAKEN, ids=NAMES)
def test_an_order_changed_since_it_was_shown_is_refused(shop, ordered, race):
    answers = run(ordered, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert shop.broken() == []


@pytest.mark.parametrize("race", LATER, ids=NAMES)
def test_a_ready_order_can_be_collected_or_cancelled(shop, ordered, race):
    ordered["be ready"]()
    answers = run(ordered, race)
    assert (answers, shop.rows("SELECT stock_quantity FROM books")) == (race[3], [race[4]])
    assert shop.broken() == []


BOTH_CANCEL = ("cancel", READ_LINES, "staff cancel")


@contextmanager
def without_return_index(app):
    """Run the shop without the index that allows one sale and one return per order and book."""
    index = next(index for index in Movement.metadata.tables["movements"].indexes if index.unique)
    with app.app_context():
        engine = db.engine
    index.drop(engine)
    try:
        yield
    finally:
        empty(app)
        index.create(engine)


def test_without_the_conditional_update_copies_are_returned_twice(app, shop, ordered):
    with without_return_index(app), races.without_lock(app, races.ANY_STATE):
        assert run(ordered, BOTH_CANCEL, races.LONG) == (DONE, DONE)
        assert shop.rows("SELECT stock_quantity FROM books") == [2]


def test_without_the_conditional_update_a_constraint_still_prevents_a_double_return(app, shop, ordered):
    with races.without_lock(app, races.ANY_STATE):
        assert run(ordered, BOTH_CANCEL, races.LONG) == ("HTTP_500", DONE)
    assert shop.rows("SELECT count(*) FROM movements WHERE reason = 'return'") == [1]


def test_without_the_conditional_update_a_customer_cancels_a_ready_order(app, ordered):
    with races.without_lock(app, races.ANY_STATE):
        assert run(ordered, ("ready", CHANGE_STATUS, "cancel")) == (DONE, DONE)


@on_postgresql
def test_an_order_placed_while_its_future_id_is_cancelled_is_left_alone(app, shop, ordered):
    """Staff cancel the id of an order that does not exist yet: it is cancelled with its copies or not at all."""
    shop.set_stock(1, 1)
    cancel = partial(races.result_or_code, app, lambda: services.checkout().change_all([2], "cancelled", 3))
    assert races.interleave(READ_LINES, cancel, ordered["order again"]) == (([], []), DONE)
    assert (shop.rows("SELECT status FROM orders"), shop.broken()) == (["placed", "placed"], [])


def test_reserving_while_the_last_copy_returns_is_notified(shop, ordered):
    run(ordered, ("reserve", INSERT, "cancel"))
    assert shop.rows("SELECT status FROM prebookings") == ["notified"]


def test_a_naive_stock_check_during_a_cancellation_leaves_a_customer_waiting(app, shop, ordered):
    with races.without_lock(app, SHARE), races.naive_reservation():
        run(ordered, ("reserve", READ_BOOK, "cancel"), races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


@on_postgresql
@pytest.mark.parametrize("race", [("reserve", INSERT, "cancel"), ("cancel", NOTIFY, "reserve")], ids=NAMES)
def test_without_for_share_a_cancelled_order_leaves_a_customer_waiting(app, shop, ordered, race):
    """PostgreSQL only: SQLite has a single writer, so no statement can be overtaken."""
    with races.without_lock(app, SHARE):
        run(ordered, race, races.LONG)
    assert "is waiting, but book" in " ".join(shop.broken())


# ---------------------------------------------------------------- carts


def two_adds(shop, api_client, held, other, patience):
    """Add two books, or the same one twice, at once to a cart that already has this many.

    Return the outcomes, and the numbers of books and of copies in the cart.
    """
    ada_id, ada = shop.customer(ADA), api_client(ADA)
    *books, first, second = [shop.book(f"Volume {number}", stock=9) for number in range(held + 2)]
    if held:
        races.fill_carts(shop, {ada_id: books})
    slow, fast = (partial(ada.post, "/api/v1/cart/items", {"book_id": n}) for n in (first, second if other else first))
    answers = races.interleave(READ_CART, slow, fast, patience)
    return sorted(map(status_and_code, answers)), *shop.rows("SELECT count(*), sum(quantity) FROM cart_items")


def test_one_of_two_books_for_the_last_line_of_a_cart_is_refused(shop, api_client):
    assert two_adds(shop, api_client, 19, True, races.SHORT) == (["CART_LIMIT", DONE], (20, 20))


def test_without_the_users_lock_a_cart_holds_one_book_too_many(app, shop, api_client):
    with races.without_lock(app, UPDATE):
        assert two_adds(shop, api_client, 19, True, races.LONG) == ([DONE, DONE], (21, 21))


def test_two_copies_added_at_once_are_both_in_the_cart(shop, api_client):
    assert two_adds(shop, api_client, 0, False, races.SHORT) == ([DONE, DONE], (1, 2))


def test_without_the_users_lock_an_added_copy_is_lost(app, shop, api_client):
    with races.without_lock(app, UPDATE):
        assert two_adds(shop, api_client, 0, False, races.LONG) == ([DONE, DONE], (1, 1))
