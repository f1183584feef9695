"""The customer's own cart in JSON; the id of an item is the id of its book."""

from flask import Response, url_for

from bookshop.accounts.scopes import ORDERS
from bookshop.cart import bp
from bookshop.cart.schemas import CartItemChange, CartItemOut, NewCartItem, item_out
from bookshop.kit.pagination import page_of_rows
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required
from bookshop.web.contract import contract, json_response, list_response, page_request
from bookshop.web.schemas import ListOf, PageQuery

OWN = {"tag": "Cart", "scope": ORDERS}
ERROR_CODES = ("CART_BOOK_OUT_OF_STOCK", "CART_LIMIT")


@bp.post("/api/v1/cart/items")
@customer_required
@contract("BOOK_NOT_FOUND", *ERROR_CODES, **OWN, HTTP_201=CartItemOut, HTTP_200=CartItemOut)
def api_add(json: NewCartItem) -> Response:
    """Add copies of a book to the cart: 201, or 200 if the book was already in it."""
    user_id, service = current_identity().user_id, services.cart()
    line = services.commit(lambda: service.add(user_id, json.book_id, json.quantity))
    location = url_for("cart.api_item", book_id=json.book_id)
    return json_response(item_out(line), 201 if line.quantity == json.quantity else 200, {"Location": location})


@bp.get("/api/v1/cart/items")
@customer_required
@contract(**OWN, HTTP_200=ListOf[CartItemOut])
def api_items(query: PageQuery) -> Response:
    """List your cart, in the order in which the books were added."""
    lines = {line.book.id: line for line in services.cart().get(current_identity().user_id).lines}
    page = page_of_rows(lines, page_request(query), query.size)
    return list_response(page, [item_out(line) for line in page.items])


@bp.get("/api/v1/cart/items/<int:book_id>")
@customer_required
@contract("CART_ITEM_NOT_FOUND", **OWN, HTTP_200=CartItemOut)
def api_item(book_id: int) -> Response:
    """Show a book in your cart."""
    return json_response(item_out(services.cart().get_line(current_identity().user_id, book_id)))


@bp.patch("/api/v1/cart/items/<int:book_id>")
@customer_required
@contract("CART_ITEM_NOT_FOUND", "BOOK_NOT_FOUND", *ERROR_CODES, **OWN, HTTP_200=CartItemOut)
def api_change(book_id: int, json: CartItemChange) -> Response:
    """Change the number of copies of a book in your cart."""
    user_id, service = current_identity().user_id, services.cart()
    return json_response(item_out(services.commit(lambda: service.set_quantity(user_id, book_id, json.quantity))))


@bp.delete("/api/v1/cart/items/<int:book_id>")
@customer_required
@contract("CART_ITEM_NOT_FOUND", **OWN, HTTP_204=None)
def api_remove(book_id: int) -> Response:
    """Remove a book from your cart."""
    user_id, service = current_identity().user_id, services.cart()
    services.commit(lambda: service.remove(user_id, book_id))
    return Response(status=204)
