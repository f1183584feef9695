"""Pages of the catalogue: home page, list of books, book page and covers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zlib import crc32

from flask import Response, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts.browser import sent_to
from bookshop.accounts.forms import AddressForm
from bookshop.cart import cookie
from bookshop.cart.repository import CartRepository
from bookshop.catalog import bp, pictures
from bookshop.catalog.covers import COVER_VERSION, draw_cover
from bookshop.catalog.facets import FACETS, count_facets
from bookshop.catalog.forms import book_query, wrong_prices
from bookshop.catalog.languages import language_name, script_language, text_language
from bookshop.catalog.linked_data import book_as_linked_data
from bookshop.catalog.repository import AnyBook, BookCriteria, BookDetails, BookRepository
from bookshop.content.views import introduction
from bookshop.extensions import settings
from bookshop.kit.exceptions import NotFound
from bookshop.kit.text import slug as slug_of
from bookshop.prebookings.repository import PreBookRepository, Waiting, WantedBook
from bookshop.prebookings.wanted import list_most_wanted
from bookshop.web import services
from bookshop.web.assets import IMMUTABLE
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import absolute_url, list_address, render_list

bp.add_app_template_filter(language_name, "language")
bp.add_app_template_filter(script_language)
bp.add_app_template_filter(text_language)

ROW = 6  # books per row of the home page
# Form fields, in major units, that set the same filters as a facet.
AMOUNT_FIELDS = {"price": ("min_price", "max_price")}


@bp.get("/")
def home() -> str:
    books = services.repository(BookRepository)
    back, wanted = books.list_back_in_stock(ROW), list_most_wanted(books.session, ROW)
    elsewhere = {book.id for book in back} | {book.id for book in wanted}
    new = [book for book in books.list_newest(ROW + len(elsewhere)) if book.id not in elsewhere][:ROW]
    facets = count_facets(books, BookCriteria(), services.shop_details().currency)
    return render_template(
        "catalog/home.html",
        back=back,
        new=new,
        wanted=wanted,
        waiting=waiting_for([*new, *back, *wanted]),
        facets=facets,
        about=introduction(),
    )


@bp.get("/books")
def books() -> str | AnyResponse:
    currency, catalog = services.shop_details().currency, services.catalog()
    query = book_query(request.args, currency)
    page, facets = catalog.browse(query.criteria(), query.page, query.size, currency)
    suggestions = {} if page.total else catalog.words_with_results(query.criteria())
    return render_list(
        "catalog/books.html",
        page,
        query=query,
        facets=facets,
        suggestions=suggestions,
        filter_address=filter_address,
        wrong_prices=wrong_prices(request.args, currency),
        waiting=waiting_for(page.items),
    )


@bp.get("/books/<int:book_id>")
@bp.get("/books/<int:book_id>/<slug>")
def book(book_id: int, slug: str | None = None) -> str | AnyResponse:
    details = services.catalog().read(book_id, withdrawn=True)
    address = book_address(details)
    if slug != slug_of(details.title):
        return redirect(address, 301)
    return book_page(details)


def book_page(details: BookDetails, address_form: AddressForm | None = None) -> str:
    """Return the page of a book; visitors who are not logged in can reserve it with the `address_form`."""
    book_id, related, mine, in_cart = details.id, services.catalog().related_to(details), None, 0
    # Count before reading the customer's own reservation, so that a restock in between cannot make the count too low.
    waiting = waiting_for([details, *related.all])
    if current_user.is_customer:
        mine = services.repository(PreBookRepository).latest(current_user.user_id, book_id)
        in_cart = services.repository(CartRepository).quantity(current_user.user_id, book_id)
    elif entry := cookie.entries_by_book().get(book_id):
        in_cart = entry.quantity
    canonical = absolute_url("catalog.book", book_id=book_id, slug=slug_of(details.title))
    return render_template(
        "catalog/book.html",
        book=details,
        related=related,
        waiting=waiting,
        mine=mine,
        in_cart=in_cart,
        form=ShopForm() if current_user.is_customer else None,  # only customers see its buttons
        address_form=_address_form(details, address_form),
        address=book_address(details),
        canonical=canonical,
        linked_data=book_as_linked_data(details, canonical, cover_address(details, "large", absolute_url)),
    )


def _address_form(book: AnyBook, form: AddressForm | None) -> AddressForm | None:
    """Return the form for visitors to reserve a book that is out of stock; its CSRF token sets a cookie."""
    if book.in_stock or current_user.is_authenticated:
        return None
    return form or AddressForm(formdata=None, email=sent_to())


@bp.get("/books/<int:book_id>/cover.svg")
def drawn_cover(book_id: int) -> AnyResponse:
    """Draw a book's cover; browsers may cache it indefinitely at an address with the current edition."""
    book = services.catalog().get(book_id, withdrawn=True)
    edition = _edition(book)
    response = Response(draw_cover(book.title, book.authors), mimetype="image/svg+xml")
    response.headers["Cache-Control"] = IMMUTABLE if request.args.get("v") == edition else "public, no-cache"
    response.set_etag(edition)
    return response.make_conditional(request)


def waiting_count(book: AnyBook) -> int:
    """Return how many customers are waiting for the book; for one in stock that is 0, without a query."""
    return 0 if book.in_stock else services.repository(PreBookRepository).count_waiting_for(book.id)


def waiting_for(books: Iterable[AnyBook | WantedBook]) -> Mapping[int, Waiting]:
    """Return by book id who is waiting for those of the books that are out of stock, for the macro `book_card`.

    Takes one query, or none if all are in stock. Books that nobody is waiting for are missing from the mapping.
    """
    sold_out = [book.id for book in books if not book.in_stock]
    me = current_user.user_id if current_user.is_customer else None
    return services.repository(PreBookRepository).waiting_by_book(sold_out, me) if sold_out else {}


@bp.app_template_global()
def book_address(book: AnyBook) -> str:
    """Return the URL of a book's page."""
    return address_of(book.id, book.title)


def address_of(book_id: int, title: str) -> str:
    """Return the URL of the page of the book with this id and title."""
    return url_for("catalog.book", book_id=book_id, slug=slug_of(title))


@bp.app_template_global()
def cover_address(book: AnyBook, size: str, url: Callable[..., Any] = url_for) -> str:
    """Return the URL of a book's uploaded cover, `small` or `large`, or of its drawn one."""
    if book.cover:
        return str(url("catalog.picture", name=book.cover, size=size))
    return str(url("catalog.drawn_cover", book_id=book.id, v=_edition(book)))


def _edition(book: AnyBook) -> str:
    """Identify what is on a drawn cover: a new title, new authors or a new COVER_VERSION changes the edition."""
    drawn = f"{book.title}\n{book.authors}"
    return f"{COVER_VERSION}-{crc32(drawn.encode()):08x}"


def filter_address(facet: str, criteria: Mapping[str, Any] | None = None) -> str:
    """Return the URL of the current list with another choice of a facet, or with none."""
    return list_address(*FACETS[facet], *AMOUNT_FIELDS.get(facet, ()), **(criteria or {}))


@bp.get("/covers/<string(length=32):name>-<any(small, large):size>.webp")
def picture(name: str, size: str) -> AnyResponse:
    """Send an uploaded cover. A new picture gets a new name, so browsers may cache it indefinitely."""
    file = pictures.file_name(name, size)
    content = pictures.read(settings().covers, file) if file else None
    if file is None or content is None:
        raise NotFound("There is no such cover.")
    response = Response(content, mimetype="image/webp")
    response.headers["Cache-Control"] = IMMUTABLE
    response.set_etag(file)
    return response.make_conditional(request)
