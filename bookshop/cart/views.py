"""The cart's pages, for customers and for visitors who are not logged in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flask import flash, redirect, render_template, url_for
from flask_login import current_user, user_logged_in
from werkzeug.wrappers import Response

from bookshop.accounts.authentication import Identity
from bookshop.cart import bp, cookie
from bookshop.cart.forms import AddForm, CopiesForm
from bookshop.cart.repository import CartRepository
from bookshop.cart.service import Cart, CartLine
from bookshop.kit.exceptions import Conflict, Invalid, NotFound
from bookshop.kit.text import shortened
from bookshop.web import services
from bookshop.web.access import Anonymous, current_identity, customer_required, not_for_staff
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import flash_with_link, requested_card


@bp.get("/cart")
@not_for_staff
def cart() -> str:
    contents = current_cart()
    form = ShopForm() if contents.lines else None  # its CSRF token would set a cookie for every visitor
    return render_template("cart/cart.html", cart=contents, form=form)


@bp.post("/cart/items")
@not_for_staff
def add() -> Response:
    form = AddForm()
    book_id = form.book()
    back = requested_card(book_id)
    try:
        line = _add(book_id, form.copies())
    except (Conflict, Invalid) as refused:
        flash_with_link({"sentence": refused.sentence, "book": book_id, **_cart_link()}, "warning")
        back = "" if refused.code == "CART_BOOK_OUT_OF_STOCK" else back  # the book's page has the Reserve button
    else:
        flash_with_link({"sentence": _quantity_notice(line), "book": book_id, **_cart_link()}, "success")
    return redirect(back or url_for("catalog.book", book_id=book_id, _anchor="availability"), 303)


def _add(book_id: int, copies: int) -> CartLine:
    service = services.cart()
    if current_user.is_customer:
        user_id = current_identity().user_id
        return services.commit(lambda: service.add(user_id, book_id, copies))
    line = service.added_line(cookie.entries_by_book(), book_id, copies)
    cookie.put(line.entry)
    return line


@bp.post("/cart/items/<int:book_id>")
@not_for_staff
def change(book_id: int) -> Response:
    copies, service = CopiesForm().copies(), services.cart()
    if copies == 0:
        return remove(book_id)
    with _flash_if_missing():
        if current_user.is_customer:
            user_id = current_identity().user_id
            line = services.commit(lambda: service.set_quantity(user_id, book_id, copies))
        else:
            line = service.changed_line(cookie.entries_by_book(), book_id, copies)
            cookie.put(line.entry)
        flash(_quantity_notice(line), "success")
    return _redirect_to_cart()


@bp.post("/cart/items/<int:book_id>/remove")
@not_for_staff
def remove(book_id: int) -> Response:
    with _flash_if_missing():
        remove_from_cart(book_id)
        flash("Removed from your cart.", "success")
    return _redirect_to_cart()


@bp.post("/cart/items/<int:book_id>/take-left")
@not_for_staff
def take_left(book_id: int) -> Response:
    with _flash_if_missing():
        reduce_to_stock(book_id)
        flash("Changed to the number of copies in stock.", "success")
    return _redirect_to_cart()


@bp.post("/cart/items/<int:book_id>/reserve")
@customer_required
def reserve_instead(book_id: int) -> Response:
    user_id, service = current_identity().user_id, services.cart()
    try:
        prebook = services.commit(lambda: service.reserve_instead(user_id, book_id))
    except Conflict as refused:
        if refused.code != "PREBOOK_BOOK_IN_STOCK":
            raise
        flash("This book is back in stock, so you can order it now.", "info")
    else:
        sentence = f"You have reserved {shortened(prebook.book_title)}. It is no longer in your cart."
        link = {"link": url_for("prebookings.reservations"), "label": "My reservations"}
        flash_with_link({"sentence": sentence, **link}, "success")
    return _redirect_to_cart()


def current_cart() -> Cart:
    """Return the customer's cart, or the visitor's in the cookie."""
    service = services.cart()
    if current_user.is_customer:
        return service.get(current_identity().user_id)
    return service.with_current_books(cookie.entries())


def remove_from_cart(book_id: int) -> None:
    """Remove a book from the current cart; raises NotFound if it is not in the customer's."""
    if current_user.is_customer:
        user_id, service = current_identity().user_id, services.cart()
        services.commit(lambda: service.remove(user_id, book_id))
    else:
        cookie.remove(book_id)


def reduce_to_stock(book_id: int) -> None:
    """Reduce the copies in the current cart to those in stock, or remove the book; raises NotFound."""
    service = services.cart()
    if current_user.is_customer:
        user_id = current_identity().user_id
        services.commit(lambda: service.reduce_to_stock(user_id, book_id))
    elif entry := service.reduced_entry(cookie.entries_by_book(), book_id):
        cookie.put(entry)
    else:
        cookie.remove(book_id)


def _redirect_to_cart() -> Response:
    return redirect(url_for("cart.cart"), 303)


def _cart_link() -> dict[str, str]:
    return {"link": url_for("cart.cart"), "label": "View cart"}


def _quantity_notice(line: CartLine) -> str:
    """Return a sentence with the copies now in the cart, and with the copies left if there are too few."""
    title, copies = shortened(line.book.title), line.quantity
    in_cart = f"{title} is in your cart" if copies == 1 else f"{copies} copies of {title} are in your cart"
    short = f", but only {line.left:,} {'is' if line.left == 1 else 'are'} left" if line.is_short else ""
    return f"{in_cart}{short}."


@contextmanager
def _flash_if_missing() -> Iterator[None]:
    """Flash a message instead of failing if the book is no longer in the cart, as after a double click."""
    try:
        yield
    except NotFound as missing:
        flash(missing.sentence, "info")


def merge_on_login(_app: object, user: Identity) -> None:
    """Merge the visitor's cart into the cart of the customer who logs in, in the transaction of the login."""
    if not (entries := cookie.entries_to_merge()):
        return
    if user.is_staff:
        flash("Staff accounts have no cart, so the books you had added were not kept.", "info")
    elif dropped_titles := services.cart().merge(user.user_id, entries):
        flash(f"Your cart is full, so we could not add {_first_titles(dropped_titles)}.", "warning")


user_logged_in.connect(merge_on_login)


def _first_titles(titles: Sequence[str]) -> str:
    """Return the first three titles, and how many more there are."""
    named = ", ".join(shortened(title) for title in titles[:3])
    return f"{named} and {len(titles) - 3} more" if len(titles) > 3 else named


@bp.app_template_global()
def cart_count(user: Identity | Anonymous) -> int:
    """Return the number of copies in the visitor's cart."""
    if isinstance(user, Identity):
        return services.repository(CartRepository).count_copies(user.user_id)
    return cookie.count()
