"""Pages of the catalogue."""

from flask import render_template, request
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop import faces
from bookshop.catalog import bp
from bookshop.catalog.forms import book_query
from bookshop.extensions import settings
from bookshop.forms import ShopForm
from bookshop.navigation import render_list


@bp.get("/")
@bp.get("/books")
def books() -> str | Response:
    query = book_query(request.args, settings().currency)
    catalog = faces.catalog()
    found = catalog.search(query.criteria(), query.page, query.size)
    return render_list("catalog/books.html", found, query=query, languages=catalog.languages())


@bp.get("/books/<int:book_id>")
def book(book_id: int) -> str:
    found = faces.catalog().get(book_id)
    mine = None
    if current_user.is_customer:
        mine = faces.prebookings().latest_for(current_user.user_id, book_id)
    return render_template("catalog/book.html", book=found, mine=mine, form=ShopForm())
