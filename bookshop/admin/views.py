"""The staff pages: dashboard, catalogue and stock."""

from collections.abc import Sequence

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.forms import BookForm, CoverForm, StockForm
from bookshop.admin.ready import all_checks
from bookshop.alerts.repository import AlertRepository
from bookshop.catalog import pictures
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookRepository
from bookshop.catalog.views import waiting_count
from bookshop.extensions import settings
from bookshop.inventory.models import SALE
from bookshop.inventory.repository import MovementRepository
from bookshop.inventory.service import Notified
from bookshop.kit.database import ID_MAX, now
from bookshop.kit.exceptions import Conflict, Invalid
from bookshop.mail.models import SUPPRESSED
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.reports.repository import ReportRepository
from bookshop.reports.stock_list import (
    ALL,
    IN_STOCK,
    LOW,
    OUT_OF_STOCK,
    PRICE,
    STOCK,
    TITLE,
    WAITING,
    WANTED,
    WITHDRAWN,
    StockListRepository,
    StockSearch,
)
from bookshop.returns.repository import ReturnRepository
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import flash_with_link, render_list, requested_page

BOOK = "/admin/books/<int:book_id>"
SIZE = 50
SHORT_SIZE = 10  # rows of a list on the dashboard
STOCK_TABS = {
    ALL: "All",
    IN_STOCK: "In stock",
    OUT_OF_STOCK: "Out of stock",
    LOW: "Nearly sold out",
    WANTED: "Wanted",
    WITHDRAWN: "Withdrawn",
}
STOCK_SORTS = {TITLE: "Title", STOCK: "Stock", PRICE: "Price", WAITING: "Waiting"}
NAMED = 5  # unchanged rows that a flash message names

ViewResponse = str | Response | tuple[str, int]


@bp.get("/admin")
@staff_required
def dashboard() -> ViewResponse:
    prebookings, stock = services.repository(PreBookRepository), services.repository(StockListRepository)
    wanted = stock.search(StockSearch(show=WANTED), 1, SHORT_SIZE)
    low = stock.search(StockSearch(show=LOW, sort=STOCK), 1, SHORT_SIZE)
    restocks = services.repository(MovementRepository).list_restocks(SHORT_SIZE)
    wanted_ids = [book.id for book in wanted.items]
    return render_template(
        "admin/dashboard.html",
        wanted=wanted,
        waiting=prebookings.count_waiting_by_book(wanted_ids),
        since=prebookings.waiting_since(wanted_ids),
        now=now(),
        low=low,
        restocks=restocks,
        orders=services.orders().counts(),
        days=services.shop_details().collect_days,
        outcomes=services.repository(ReportRepository).count_outcomes(),
        outbox=services.mail().outbox(services.shop_details().mail_delay),
        checks=all_checks(),
        returns=services.repository(ReturnRepository).list_open(1, SHORT_SIZE),
        empty=not restocks and not services.repository(BookRepository).list_newest(1),
    )


@bp.get("/admin/books")
@staff_required
def books() -> ViewResponse:
    search = _requested_stock()
    page = services.repository(StockListRepository).search(search, requested_page(), SIZE)
    waiting = services.repository(PreBookRepository).count_waiting_by_book([book.id for book in page.items])
    return render_list("admin/books.html", page, search=search, tabs=STOCK_TABS, sorts=STOCK_SORTS, waiting=waiting)


def _requested_stock() -> StockSearch:
    """Return what the query string asks for; anything unknown is as if it were missing."""
    show, sort = request.args.get("show"), request.args.get("sort")
    return StockSearch(
        q=request.args.get("q", ""),
        show=show if show in STOCK_TABS else ALL,
        sort=sort if sort in STOCK_SORTS and (sort != WAITING or show == WANTED) else None,
        descending=request.args.get("dir") == "desc",
    )


@bp.route("/admin/books/new", methods=["GET", "POST"])
@staff_required
def create() -> ViewResponse:
    form, catalog = BookForm(), services.catalog()
    if form.validate_on_submit():
        try:
            book_id = services.commit(lambda: catalog.create(form.values()))
        except Conflict as error:
            form.add_error(error)
        else:
            flash("The book has been added. It has no copies yet: enter the first ones here.", "success")
            return redirect(url_for("admin.stock", book_id=book_id), 303)
    return render_template("admin/edit.html", form=form, book=None), form.status


@bp.route(f"{BOOK}/edit", methods=["GET", "POST"])
@staff_required
def edit(book_id: int) -> ViewResponse:
    catalog, book = services.catalog(), _book(book_id)
    form = BookForm(book)
    if form.validate_on_submit():
        try:
            services.commit(lambda: catalog.update(book_id, form.values()))
        except Conflict as error:
            form.add_error(error)
        else:
            flash("The changes have been saved.", "success")
            return redirect(url_for("admin.stock", book_id=book_id), 303)
    return render_template("admin/edit.html", form=form, book=book), form.status


@bp.route(f"{BOOK}/cover", methods=["GET", "POST"])
@staff_required
def cover(book_id: int) -> ViewResponse:
    book, form = _book(book_id), CoverForm()
    if form.validate_on_submit():
        try:
            new = pictures.read_cover(form.picture.data.stream)
        except Invalid as error:
            form.add_error(error)
        else:
            _change_cover(book_id, new)
            flash("The book has a new cover.", "success")
            return redirect(url_for("admin.cover", book_id=book_id), 303)
    return render_template("admin/cover.html", form=form, book=book, remove=ShopForm()), form.status


@bp.post(f"{BOOK}/cover/remove")
@staff_required
def remove_cover(book_id: int) -> Response:
    _change_cover(book_id, None)
    flash("The cover has been removed. The shop shows a drawn cover instead.", "success")
    return redirect(url_for("admin.cover", book_id=book_id), 303)


def _change_cover(book_id: int, new: pictures.Picture | None) -> None:
    """Store the new files, then commit the book's cover, so that no file is ever missing."""
    if new:
        pictures.store(settings().covers, new)
    services.commit(lambda: services.catalog().set_cover(book_id, new.name if new else None))


@bp.route(f"{BOOK}/stock", methods=["GET", "POST"])
@staff_required
def stock(book_id: int) -> ViewResponse:
    form, status = StockForm(), 200
    if form.validate_on_submit():
        try:
            return _change_stock(book_id, form)
        except Conflict as error:
            form.add_error(error)
            status = 409
        except Invalid as error:
            error.field = "copies"
            form.add_error(error)
            status = 400
    elif form.is_submitted():
        status = 400
    book = _book(book_id)
    form.expected.process_data(book.stock_quantity)
    form.expected.raw_data = None
    outcomes = services.repository(ReportRepository).count_outcomes(book_id)
    set_aside = services.repository(OrderRepository).count_open_copies(book_id)
    alerts = services.repository(AlertRepository).count_alerts(book_id) if outcomes.notified else {}
    page = render_template(
        "admin/stock.html", form=form, book=book, outcomes=outcomes, set_aside=set_aside, alerts=alerts
    )
    return page, status


def _change_stock(book_id: int, form: StockForm) -> Response:
    change = form.stock_change(book_id, current_identity().user_id)
    notified, stopped = services.commit(lambda: services.shelf().update_stock(change))
    sentences = [f"The stock is now {_book(book_id).stock_quantity:,}."]
    if change.reason == SALE:
        sentences.append(f"Copies sold: {form.copies.data:,}.")
    elif not stopped:
        sentences += [notified_words(notified), sending_words(notified)]
    if stopped:
        sentences.append(_stopped_words(stopped))
    link = {"link": url_for("admin.mail", status=SUPPRESSED), "label": "See stopped e-mails"} if stopped else {}
    flash_with_link({"sentence": " ".join(sentences).strip(), **link}, "success")
    return redirect(url_for("admin.stock", book_id=book_id), 303)


def sending_words(notified: Notified) -> str:
    """Say when the queued e-mails are sent and how to stop them; empty if there are none or they cannot be stopped."""
    delay = services.shop_details().mail_delay
    if not notified.alerts_queued or not delay:
        return ""
    return f"The e-mails will be sent in {delay:,} seconds. To stop them, set the book's stock back to 0 before then."


def _stopped_words(count: int) -> str:
    """Say how many queued alerts were stopped before they were sent."""
    if count == 1:
        stopped = "1 e-mail was stopped and will be sent when the book is back in stock."
        return f"{stopped} The customer still counts as notified."
    stopped = f"{count:,} e-mails were stopped and will be sent when the book is back in stock."
    return f"{stopped} The customers still count as notified."


def notified_words(notified: Notified) -> str:
    """Say how many customers were notified, and how many stopped e-mails are queued again."""
    again = queued_again_words(notified.again.total())
    if not notified:
        return again or "No customers were waiting."
    subject = "1 waiting customer was" if len(notified) == 1 else f"{len(notified):,} waiting customers were"
    return f"{subject} notified. {again}".strip()


def queued_again_words(count: int) -> str:
    """Say how many stopped e-mails are queued again; empty for none."""
    if not count:
        return ""
    subject = "1 e-mail that was" if count == 1 else f"{count:,} e-mails that were"
    return f"{subject} stopped earlier will be sent after all."


@bp.route(f"{BOOK}/withdraw", methods=["GET", "POST"])
@staff_required
def withdraw(book_id: int) -> ViewResponse:
    book, form = _book(book_id), ShopForm()
    if form.validate_on_submit():
        cancelled = services.commit(lambda: services.shelf().withdraw(book_id))
        flash(f"The book has been withdrawn. Reservations cancelled: {cancelled}.", "success")
        return redirect(url_for("admin.stock", book_id=book_id), 303)
    waiting = waiting_count(book)
    return render_template("admin/withdraw.html", form=form, book=book, waiting=waiting), form.status


@bp.post(f"{BOOK}/put-back")
@staff_required
def put_back(book_id: int) -> Response:
    again = queued_again_words(services.commit(lambda: services.shelf().put_back(book_id)))
    flash(f"The book is on sale again. {again}".strip(), "success")
    return redirect(url_for("admin.stock", book_id=book_id), 303)


@bp.get(f"{BOOK}/waiting")
@staff_required
def waiting(book_id: int) -> ViewResponse:
    page = services.prebookings().list_waiting_for(book_id, requested_page(), SIZE)
    return render_list("admin/waiting.html", page, book=_book(book_id))


@bp.get(f"{BOOK}/movements")
@staff_required
def movements(book_id: int) -> ViewResponse:
    page = services.inventory().list_movements(book_id, requested_page(), SIZE)
    return render_list("admin/movements.html", page, book=_book(book_id))


def chosen_ids(name: str) -> list[int]:
    """Return the ids of the ticked rows, or of the one row whose button was pressed; invalid ids are ignored."""
    ids = request.form.getlist("only", type=int) or request.form.getlist(name, type=int)
    return sorted({row_id for row_id in ids if 0 < row_id <= ID_MAX})


def flash_outcome(rows: str, done: str, unchanged: Sequence[str]) -> None:
    """Flash the outcome for the chosen `rows`: what is `done`, and which are unchanged and why.

    Names at most NAMED unchanged rows.
    """
    if done:
        flash(done, "success")
    if unchanged:
        more = f", and {len(unchanged) - NAMED:,} more" if len(unchanged) > NAMED else ""
        flash(f"Not changed: {', '.join(unchanged[:NAMED])}{more}.", "warning")
    if not done and not unchanged:
        flash(f"Tick the {rows} first, then press the button.", "warning")


def _book(book_id: int) -> Book:
    return services.catalog().get(book_id, withdrawn=True)
