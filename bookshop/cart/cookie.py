"""The cart of a visitor who is not logged in: in the signed session cookie, as small as can be."""

import re
from typing import Any

from flask import current_app, g, request, session

from bookshop.cart.repository import CartEntry
from bookshop.catalog.models import PRICE_MAX, STOCK_MAX
from bookshop.kit.database import ID_MAX

CART = "cart"
CURRENCY = re.compile(r"[A-Z]{3}")
BOUNDS = ((1, ID_MAX), (1, ID_MAX), (0, PRICE_MAX), (0, STOCK_MAX))  # of id, quantity, price and stock


def entries_by_book() -> dict[int, CartEntry]:
    """What is in the visitor's cart, by book id, in the order in which it came in.

    A cookie may be older than this code, or signed by somebody who knows the key: what is no entry is passed over.
    """
    return _entries(session.get(CART))


def _entries(kept: Any) -> dict[int, CartEntry]:
    found = [CartEntry(*line) for line in kept if _is_entry(line)] if isinstance(kept, list) else []
    return {entry.book_id: entry for entry in found}


def sent_entries() -> list[CartEntry]:
    """What was in the visitor's cart when the request came, whatever has become of its session since."""
    sent: Any = current_app.session_interface.open_session(current_app, request) or {}
    return list(_entries(sent.get(CART)).values())


def entries() -> list[CartEntry]:
    """The same as a list."""
    return list(entries_by_book().values())


def count() -> int:
    """How many copies are in the visitor's cart."""
    return sum(entry.quantity for entry in entries())


def put(entry: CartEntry) -> None:
    """Put an entry into the visitor's cart, new or in place of the one of the same book."""
    _write({**entries_by_book(), entry.book_id: entry})


def remove(book_id: int) -> None:
    """Take a book out of the visitor's cart, if it is in it."""
    _write({number: entry for number, entry in entries_by_book().items() if number != book_id})


def _write(cart: dict[int, CartEntry]) -> None:
    g.cart_written = True
    if cart:
        session.permanent = True  # it is still there tomorrow
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
    return all(type(number) is int and least <= number <= most for number, (least, most) in numbers)
