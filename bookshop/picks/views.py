"""Staff picks, as customers see them: on the home page, on the pages of books, and on pages of their own."""

from collections.abc import Sequence

from flask import render_template

from bookshop.catalog.repository import BookDetails
from bookshop.picks import bp
from bookshop.picks.models import SHELVES_MAX
from bookshop.picks.repository import PickRepository, Recommendation, ShownShelf
from bookshop.web import services

SHELVES_ON_HOME = 3
BOOKS_ON_HOME = 4  # the first shelf shows one large and three beside it, the others show three
BOOKS_IN_LIST = 12  # of each shelf, on the page with all shelves


@bp.app_template_global()
def home_picks() -> Sequence[ShownShelf]:
    """Return the first shelves with their first books, for the home page."""
    return services.repository(PickRepository).list_shown(SHELVES_ON_HOME, BOOKS_ON_HOME)


@bp.app_template_global()
def recommendations(book: BookDetails) -> Sequence[Recommendation]:
    """Return what the booksellers say about a book, for its page; nothing if it is no longer sold."""
    return [] if book.withdrawn_at else services.repository(PickRepository).list_recommendations(book.id)


@bp.get("/picks")
def shelves() -> str:
    shown = services.repository(PickRepository).list_shown(SHELVES_MAX, BOOKS_IN_LIST)
    return render_template("picks/shelves.html", shelves=shown)


@bp.get("/picks/<int:shelf_id>")
def shelf(shelf_id: int) -> str:
    return render_template("picks/shelf.html", shelf=services.picks().read_shown(shelf_id))
