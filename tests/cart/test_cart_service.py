"""The rules of carts: what can be added, limits, and changes since."""

from collections.abc import Sequence
from functools import partial

import pytest

from bookshop import create_app
from bookshop.cart.repository import CartEntry
from bookshop.cart.service import CartLine
from bookshop.kit.exceptions import BookshopError
from bookshop.web import services
from tests.support.factories import Shop
from tests.support.settings import settings_for


@pytest.fixture
def ada(shop):
    return shop.customer("ada@example.com")


def in_cart(shop: Shop, user_id: int) -> dict[int, int]:
    """Return a customer's cart in order: book id -> quantity."""
    with shop.app.app_context():
        return {line.book.id: line.quantity for line in services.cart().get(user_id).lines}


def line_of(shop: Shop, user_id: int, book_id: int) -> CartLine:
    """Return a book's line in a customer's cart."""
    with shop.app.app_context():
        return services.cart().get_line(user_id, book_id)


def error_code(shop: Shop, function: str, *arguments: int) -> str:
    """Return the error code of a refused service call."""
    with pytest.raises(BookshopError) as error:
        shop.commit(lambda: getattr(services.cart(), function)(*arguments))
    return error.value.code


def merge(shop: Shop, user_id: int, copies: dict[int, int]) -> Sequence[str]:
    """Merge a visitor's cart into a customer's; return the titles that did not fit."""
    entries = [CartEntry(book_id, quantity, 950, "EUR", 9) for book_id, quantity in copies.items()]
    return shop.commit(lambda: services.cart().merge(user_id, entries))


@pytest.fixture
def small_limits(app, database_url, shop):
    """The same shop with a limit of two lines and three copies per line."""
    return Shop(create_app(settings_for(database_url, cart_lines=2, cart_copies=3)))


def test_adding_increases_the_quantity(shop, ada):
    emma, sanditon = shop.book("Emma", stock=5), shop.book("Sanditon", stock=5)
    shop.fill_cart(ada, {sanditon: 1, emma: 2})
    shop.fill_cart(ada, {sanditon: 3})
    assert in_cart(shop, ada) == {sanditon: 4, emma: 2}


def test_books_in_a_cart_are_not_set_aside(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.fill_cart(ada, {emma: 1})
    shop.fill_cart(shop.customer("ben@example.com"), {emma: 1})
    assert (shop.stock(emma), shop.broken()) == (1, [])


def test_out_of_stock_and_withdrawn_books_cannot_be_added(shop, ada):
    sold_out, withdrawn = shop.book("Emma"), shop.book("Sanditon", stock=1)
    shop.withdraw(withdrawn)
    assert error_code(shop, "add", ada, sold_out, 1) == "CART_BOOK_OUT_OF_STOCK"
    assert [error_code(shop, "add", ada, book_id, 1) for book_id in (withdrawn, 999)] == ["BOOK_NOT_FOUND"] * 2
    assert in_cart(shop, ada) == {}


def test_more_copies_than_in_stock_are_added_with_a_warning(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.fill_cart(ada, {emma: 3})
    line = line_of(shop, ada, emma)
    assert (line.quantity, line.left, line.is_short) == (3, 1, True)


def test_a_cart_holds_20_books_and_a_21st_is_refused(shop, ada):
    books = [shop.book(f"Book {number}", stock=1) for number in range(21)]
    shop.fill_cart(ada, dict.fromkeys(books[:20], 1))
    assert error_code(shop, "add", ada, books[20], 1) == "CART_LIMIT"
    shop.fill_cart(ada, {books[0]: 1})
    assert in_cart(shop, ada) == {**dict.fromkeys(books[:20], 1), books[0]: 2}


@pytest.mark.parametrize("steps", [[10, 1], [4, 7], [11], [2**63]])
def test_a_line_holds_at_most_10_copies(shop, ada, steps):
    emma = shop.book("Emma", stock=99)
    for step in steps[:-1]:
        shop.fill_cart(ada, {emma: step})
    assert error_code(shop, "add", ada, emma, steps[-1]) == "CART_LIMIT"
    assert in_cart(shop, ada).get(emma, 0) == sum(steps[:-1])


def test_the_quantity_is_changed_up_to_the_limit(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.fill_cart(ada, {emma: 1})
    shop.commit(lambda: services.cart().set_quantity(ada, emma, 10))
    assert error_code(shop, "set_quantity", ada, emma, 11) == "CART_LIMIT"
    assert in_cart(shop, ada) == {emma: 10}


def test_the_limits_are_configurable(small_limits):
    ada = small_limits.customer()
    books = [small_limits.book(f"Book {number}", stock=9) for number in range(3)]
    small_limits.fill_cart(ada, {books[0]: 3, books[1]: 1})
    assert error_code(small_limits, "add", ada, books[0], 1) == "CART_LIMIT"
    assert error_code(small_limits, "add", ada, books[2], 1) == "CART_LIMIT"


@pytest.mark.parametrize("function", ["set_quantity", "reduce_to_stock", "remove", "get_line"])
def test_a_book_outside_the_cart_cannot_be_changed(shop, ada, function):
    emma = shop.book("Emma", stock=1)
    shop.fill_cart(shop.customer("ben@example.com"), {emma: 1})
    arguments = (ada, emma, 2) if function == "set_quantity" else (ada, emma)
    assert error_code(shop, function, *arguments) == "CART_ITEM_NOT_FOUND"


@pytest.mark.parametrize(("stock", "left"), [(2, {1: 2}), (9, {1: 5}), (0, {})])
def test_the_quantity_can_be_reduced_to_the_stock(shop, ada, stock, left):
    emma = shop.book("Emma", stock=7)
    shop.fill_cart(ada, {emma: 5})
    shop.set_stock(emma, stock)
    shop.commit(lambda: services.cart().reduce_to_stock(ada, emma))
    assert in_cart(shop, ada) == left


def test_a_line_shows_what_changed_until_it_is_edited(shop, ada):
    emma = shop.book("Emma", stock=5)
    shop.fill_cart(ada, {emma: 1})
    assert [getattr(line_of(shop, ada, emma), name) for name in ("price_changed", "stock_changed")] == [False, False]
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    shop.set_stock(emma, 3)
    line = line_of(shop, ada, emma)
    assert (line.price_changed, line.stock_changed, line.amount) == (True, True, (1050, "EUR"))
    shop.commit(lambda: services.cart().set_quantity(ada, emma, 2))
    assert [getattr(line_of(shop, ada, emma), name) for name in ("price_changed", "stock_changed")] == [False, False]


def test_a_withdrawn_book_cannot_be_added(shop, ada):
    emma = shop.book("Emma", stock=5)
    shop.fill_cart(ada, {emma: 1})
    shop.withdraw(emma)
    assert (line_of(shop, ada, emma).left, error_code(shop, "set_quantity", ada, emma, 2)) == (0, "BOOK_NOT_FOUND")
    shop.commit(lambda: services.cart().reduce_to_stock(ada, emma))
    assert in_cart(shop, ada) == {}


def test_reserving_instead_removes_the_line(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.fill_cart(ada, {emma: 1})
    shop.set_stock(emma, 0)
    shop.commit(lambda: services.cart().reserve_instead(ada, emma))
    assert (shop.statuses(emma), in_cart(shop, ada)) == (["waiting"], {})


def test_reserving_instead_removes_the_line_of_a_book_already_reserved(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.fill_cart(ada, {emma: 1})
    shop.set_stock(emma, 0)
    before = shop.reserve(ada, emma)
    assert shop.commit(lambda: services.cart().reserve_instead(ada, emma).id) == before
    assert (shop.statuses(emma), in_cart(shop, ada)) == (["waiting"], {})


def test_a_refused_reservation_leaves_the_cart_as_it_was(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.fill_cart(ada, {emma: 1})
    assert error_code(shop, "reserve_instead", ada, emma) == "PREBOOK_BOOK_IN_STOCK"
    assert in_cart(shop, ada) == {emma: 1}


def test_a_merge_keeps_the_larger_quantity_of_each_book(shop, ada):
    books = [shop.book(f"Book {number}", stock=9) for number in range(3)]
    shop.fill_cart(ada, {books[0]: 4, books[1]: 1})
    for _again in range(2):
        assert merge(shop, ada, {books[1]: 3, books[0]: 2, books[2]: 1}) == []
    assert in_cart(shop, ada) == {books[0]: 4, books[1]: 3, books[2]: 1}


def test_a_merge_respects_the_limits_and_reports_what_did_not_fit(small_limits):
    ada = small_limits.customer()
    books = [small_limits.book(f"Book {number}", stock=9) for number in range(4)]
    small_limits.fill_cart(ada, {books[0]: 1})
    assert merge(small_limits, ada, {books[1]: 10, books[2]: 1, books[0]: 9, books[3]: 1}) == ["Book 2", "Book 3"]
    assert in_cart(small_limits, ada) == {books[0]: 3, books[1]: 3}


def test_a_merge_ignores_unknown_books(shop, ada):
    assert merge(shop, ada, {999: 1, shop.book("Emma"): 1}) == []
    assert in_cart(shop, ada) == {1: 1}


def test_a_deactivated_user_cannot_fill_a_cart(shop, ada):
    emma = shop.book("Emma", stock=1)
    shop.deactivate("ada@example.com")
    assert error_code(shop, "add", ada, emma, 1) == "NOT_AUTHENTICATED"


def test_any_change_changes_the_fingerprint(shop, ada):
    emma = shop.book("Emma", stock=5)
    prints = set()
    for change in (
        partial(shop.fill_cart, ada, {emma: 1}),
        partial(shop.fill_cart, ada, {emma: 1}),
        partial(shop.fill_cart, ada, {shop.book("Sanditon", stock=1): 1}),
        lambda: shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050})),
    ):
        change()
        with shop.app.app_context():
            prints.add(services.cart().get(ada).fingerprint)
    assert len(prints) == 4


def test_the_quantity_of_a_sold_out_book_can_only_be_reduced(shop, ada):
    emma = shop.book("Emma", stock=3)
    shop.fill_cart(ada, {emma: 3})
    shop.set_stock(emma, 0)
    shop.commit(lambda: services.cart().set_quantity(ada, emma, 2))
    assert error_code(shop, "set_quantity", ada, emma, 3) == "CART_BOOK_OUT_OF_STOCK"
    assert in_cart(shop, ada) == {emma: 2}


def test_a_cart_above_a_lowered_limit_can_still_be_reduced(shop, ada, small_limits):
    emma = shop.book("Emma", stock=9)
    shop.fill_cart(ada, {emma: 9})
    small_limits.commit(lambda: services.cart().set_quantity(ada, emma, 8))
    assert in_cart(shop, ada) == {emma: 8}
