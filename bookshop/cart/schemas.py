"""JSON schemas for carts."""

from pydantic import BaseModel

from bookshop.cart.service import CartLine
from bookshop.web.schemas import Body, Id


class NewCartItem(Body):
    """Copies of a book to add to those already in the cart."""

    book_id: Id
    quantity: Id = 1


class CartItemChange(Body):
    """The new number of copies."""

    quantity: Id


class CartItemOut(BaseModel):
    """A book in the cart as it is now, and what has changed since it was added or last changed.

    `available` is how many of the `quantity` wanted are in stock now; `id` is the id of the book.
    """

    id: int
    book_id: int
    book_title: str
    book_authors: str
    quantity: int
    price_cents: int
    currency: str
    in_stock: bool
    withdrawn: bool
    available: int
    price_changed: bool
    seen_price_cents: int
    seen_currency: str
    stock_changed: bool


def item_out(line: CartLine) -> CartItemOut:
    """Convert a cart line to JSON."""
    return CartItemOut(
        id=line.book.id,
        book_id=line.book.id,
        book_title=line.book.title,
        book_authors=line.book.authors,
        quantity=line.quantity,
        price_cents=line.book.price_cents,
        currency=line.book.currency,
        in_stock=line.left > 0,
        withdrawn=line.withdrawn,
        available=min(line.left, line.quantity),
        price_changed=line.price_changed,
        seen_price_cents=line.entry.price_cents,
        seen_currency=line.entry.currency,
        stock_changed=line.stock_changed,
    )
