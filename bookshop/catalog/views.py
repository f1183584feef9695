"""Pages of the catalogue."""

from collections.abc import Callable, Mapping
from typing import Any
from zlib import crc32

from flask import Response, redirect, render_template, request, send_from_directory, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from bookshop.cart import cookie
from bookshop.cart.repository import CartRepository
from bookshop.catalog import bp, pictures
from bookshop.catalog.covers import COVER_VERSION, draw_cover
from bookshop.catalog.facets import FACETS, count_facets
from bookshop.catalog.forms import book_query
from bookshop.catalog.languages import language_name
from bookshop.catalog.linked_data import book_as_linked_data
from bookshop.catalog.repository import AnyBook, BookCriteria, BookRepository
from bookshop.extensions import settings
from bookshop.kit.exceptions import NotFound
from bookshop.kit.text import slug as slug_of
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.assets import FOR_EVER
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import absolute_url, list_address, render_list

bp.add_app_template_filter(language_name, "language")

ROW = 6
TYPED = {"price": ("min_price", "max_price")}  # what a visitor types, in major units, for what a facet asks for


@bp.get("/")
def home() -> str:
    books = services.repository(BookRepository)
    back, new = books.list_back_in_stock(ROW), books.list_newest(ROW)
    facets = count_facets(books, BookCriteria(), settings().currency)
    return render_template("catalog/home.html", back=back, new=new, facets=facets)


@bp.get("/books")
def books() -> str | AnyResponse:
    query, catalog = book_query(request.args, settings().currency), services.catalog()
    found, facets = catalog.browse(query.criteria(), query.page, query.size, settings().currency)
    helpful = {} if found.total else catalog.words_that_find(query.criteria())
    return render_list("catalog/books.html", found, query=query, facets=facets, helpful=helpful, narrowed=narrowed)


@bp.get("/books/<int:book_id>")
@bp.get("/books/<int:book_id>/<slug>")
def book(book_id: int, slug: str | None = None) -> str | AnyResponse:
    found = services.catalog().read(book_id, withdrawn=True)
    address = book_address(found)
    if slug != slug_of(found.title):
        return redirect(address, 301)
    # The count comes before the visitor's own reservation: a restock in between must not leave it below 1.
    waiting, mine, in_cart = waiting_for(found), None, 0
    if current_user.is_customer:
        mine = services.repository(PreBookRepository).latest(current_user.user_id, book_id)
        in_cart = services.repository(CartRepository).quantity(current_user.user_id, book_id)
    elif entry := cookie.entries_by_book().get(book_id):
        in_cart = entry.quantity
    canonical = absolute_url("catalog.book", book_id=book_id, slug=slug)
    return render_template(
        "catalog/book.html",
        book=found,
        waiting=waiting,
        mine=mine,
        in_cart=in_cart,
        most=settings().cart_copies,
        form=ShopForm() if current_user.is_customer else None,  # theirs alone are the buttons for it
        address=address,
        canonical=canonical,
        linked_data=book_as_linked_data(found, canonical, cover_address(found, "large", absolute_url)),
    )


@bp.get("/books/<int:book_id>/cover.svg")
def drawn_cover(book_id: int) -> AnyResponse:
    """The cover that the shop draws; kept for ever under the address that names what is drawn."""
    found = services.catalog().get(book_id, withdrawn=True)
    edition = _edition(found)
    response = Response(draw_cover(found.title, found.authors), mimetype="image/svg+xml")
    response.headers["Cache-Control"] = FOR_EVER if request.args.get("v") == edition else "public, no-cache"
    response.set_etag(edition)
    return response.make_conditional(request)


def waiting_for(book: AnyBook) -> int:
    """How many wait for the book; for one on the shelf, of which nobody waits, without asking the database."""
    return 0 if book.in_stock else services.repository(PreBookRepository).count_waiting_for(book.id)


@bp.app_template_global()
def book_address(book: AnyBook) -> str:
    """The address of a book's page."""
    return address_of(book.id, book.title)


def address_of(book_id: int, title: str) -> str:
    """The address of the page of the book with this id and title."""
    return url_for("catalog.book", book_id=book_id, slug=slug_of(title))


@bp.app_template_global()
def cover_address(book: AnyBook, size: str, url: Callable[..., Any] = url_for) -> str:
    """The address of a book's cover, `small` or `large`: the uploaded one or, without one, the drawn one."""
    if book.cover:
        return str(url("catalog.picture", name=book.cover, size=size))
    return str(url("catalog.drawn_cover", book_id=book.id, v=_edition(book)))


def _edition(book: AnyBook) -> str:
    """Names what is drawn on a cover: another title or author, or another way to draw, makes another edition."""
    drawn = f"{book.title}\n{book.authors}"
    return f"{COVER_VERSION}-{crc32(drawn.encode()):08x}"


def narrowed(facet: str, asked: Mapping[str, Any] | None = None) -> str:
    """The address of the list with another choice of a facet, or with none."""
    return list_address(*FACETS[facet], *TYPED.get(facet, ()), **(asked or {}))


@bp.get("/covers/<string(length=32):name>-<any(small, large):size>.webp")
def picture(name: str, size: str) -> Response:
    """An uploaded cover. Its name stands for what it shows, so everybody may keep it for ever."""
    file = pictures.file_name(name, size)
    if file is None:
        raise NotFound("There is no such cover.")
    response = send_from_directory(settings().covers, file, mimetype="image/webp")
    response.headers["Cache-Control"] = FOR_EVER
    return response
