"""The search at the top of the staff pages: stock, orders and customers on one page."""

from flask import redirect, render_template, request, url_for

from bookshop.admin import bp
from bookshop.admin.views import ViewResponse
from bookshop.catalog.isbn import isbn13
from bookshop.catalog.repository import BookRepository
from bookshop.kit.database import Page
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import tidy
from bookshop.orders.models import Order
from bookshop.orders.service import OrderSearch
from bookshop.reports.stock_list import StockListRepository, StockSearch
from bookshop.web import services
from bookshop.web.access import staff_required

HITS = 5  # of each kind; the full lists show the others


@bp.get("/admin/search")
@staff_required
def search() -> ViewResponse:
    q = tidy(request.args.get("q", ""))
    if not q:
        return render_template("admin/search.html", q=q)
    if exact := _exact(q):
        return redirect(exact)
    orders, refusal = _orders(q)
    return render_template(
        "admin/search.html",
        q=q,
        books=services.repository(StockListRepository).search(StockSearch(q=q), 1, HITS),
        orders=orders,
        refusal=refusal,
        users=services.accounts().list_users(q, 1, HITS),
    )


def _exact(q: str) -> str:
    """Return the page of the order with this number, or of the book with this ISBN; empty if there is none."""
    if order_id := services.orders().id_of(q):
        return url_for("admin.order", order_id=order_id)
    try:
        book = services.repository(BookRepository).read_by_isbn(isbn13(q))
    except ValueError:
        return ""
    return url_for("admin.stock", book_id=book.id) if book else ""


def _orders(q: str) -> tuple[Page[Order], str]:
    """Return the orders that match, and why there can be none."""
    try:
        return services.orders().search(OrderSearch(q=q), 1, HITS), ""
    except Invalid as error:
        return Page([], 0, 1, HITS), error.sentence
