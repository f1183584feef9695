"""The cart of a visitor who is not logged in, stored compactly in the signed session cookie."""

import re
from collections.abc import Sequence
from typing import Any

from flask import current_app, g, request, session

from bookshop.cart.repository import CartEntry
from bookshop.catalog.models import PRICE_MAX, STOCK_MAX
from bookshop.kit.database import ID_MAX

CART = "cart"
CURRENCY = re.compile(r"[A-Z]{3}")
BOUNDS = ((1, ID_MAX), (1, ID_MAX), (0, PRICE_MAX), (0, STOCK_MAX))  # for id, quantity, price and stock


def entries_by_book() -> dict[int, CartEntry]:
    """Return the visitor's cart entries by book id, in the order in which they were added.

    A cookie may be older than this code, or be signed by somebody who knows the key: invalid entries are ignored.
    """
    return _parse(session.get(CART))


def _parse(stored: Any) -> dict[int, CartEntry]:
    valid = [CartEntry(*line) for line in stored if _is_entry(line)] if isinstance(stored, list) else []
    return {entry.book_id: entry for entry in valid}


def entries_to_merge() -> list[CartEntry]:
    """Return the cart entries that a login merges: all in the cookie that the browser sent, or those of `merge_only`.

    The session may have been replaced since.
    """
    if "cart_to_merge" in g:
        return list(g.cart_to_merge)
    sent_session: Any = current_app.session_interface.open_session(current_app, request) or {}
    return list(_parse(sent_session.get(CART)).values())


def merge_only(chosen: Sequence[CartEntry]) -> None:
    """Let the login of this request merge only these entries into the customer's cart."""
    g.cart_to_merge = chosen


def entries() -> list[CartEntry]:
    """Return the visitor's cart entries in the order in which they were added."""
    return list(entries_by_book().values())


def count() -> int:
    """Return the number of copies in the visitor's cart."""
    return sum(entry.quantity for entry in entries())


def put(entry: CartEntry) -> None:
    """Add an entry to the visitor's cart, or replace the entry of the same book."""
    _write({**entries_by_book(), entry.book_id: entry})


def remove(book_id: int) -> None:
    """Remove a book from the visitor's cart, if it is there."""
    _write({key: entry for key, entry in entries_by_book().items() if key != book_id})


def _write(cart: dict[int, CartEntry]) -> None:
    g.cart_written = True
    if cart:
        session.permanent = True  # so that the cart outlives the browser session
        session[CART] = [list(entry) for entry in cart.values()]
    else:
        session.pop(CART, None)


def _is_entry(line: Any) -> bool:
    if not isinstance(line, list) or len(line) != len(CartEntry._fields):
        return False
    book_id, quantity, price, currency, stock = line
    if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
        return False
    numbers = zip((book_id, quantity, price, stock), BOUNDS, strict=True)
    return all(type(number) is int and low <= number <= high for number, (low, high) in numbers)
