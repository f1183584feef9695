"""What pages and JSON share: the services, bound to this request's database session and to the settings."""

from collections.abc import Callable
from typing import TypeVar

from bookshop import database
from bookshop.accounts.service import AccountService
from bookshop.cart.service import CartService
from bookshop.catalog.service import CatalogService
from bookshop.extensions import db, only_looks, settings
from bookshop.idempotency.service import IdempotencyService
from bookshop.inventory.service import BookService
from bookshop.orders.service import OrderService
from bookshop.prebookings.service import PreBookService

T = TypeVar("T")


def accounts() -> AccountService:
    return AccountService(db.session(), orders(), settings().session_days)


def catalog() -> CatalogService:
    return CatalogService(db.session())


def inventory() -> BookService:
    return BookService(db.session())


def prebookings() -> PreBookService:
    return PreBookService(db.session(), settings().max_waiting)


def cart() -> CartService:
    return CartService(db.session(), prebookings(), settings().cart_lines, settings().cart_copies)


def orders() -> OrderService:
    given = settings()
    return OrderService(db.session(), inventory(), post_orders=given.post_orders, collect_days=given.collect_days)


def idempotency() -> IdempotencyService:
    return IdempotencyService(db.session())


def commit(work: Callable[[], T]) -> T:
    """Run one service call in a writing transaction of its own and commit it; see database.in_transaction.

    Not in a request that only looks, which has no transactions on PostgreSQL; see extensions.RequestSession.
    """
    if only_looks():
        raise RuntimeError("a request that only looks (GET, HEAD) does not write")
    return database.in_transaction(db.session(), work)
