"""Staff's pages."""

from collections.abc import Sequence

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.forms import BookForm, CoverForm, StockForm
from bookshop.alerts.repository import AlertRepository
from bookshop.catalog import pictures
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookCriteria, BookRepository
from bookshop.catalog.views import waiting_for
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
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import flash_with_link, render_list, requested_page

BOOK = "/admin/books/<int:book_id>"
SIZE = 50
WANTED = 15  # rows of the most wanted on the dashboard
SHORT = 10  # and of its shorter lists
FEW = 3  # copies, of which staff may want to order more
NAMED = 5  # rows that a notice names

Answer = str | Response | tuple[str, int]


@bp.get("/admin")
@staff_required
def dashboard() -> Answer:
    prebookings, movements = services.repository(PreBookRepository), services.repository(MovementRepository)
    found = prebookings.list_out_of_stock(requested_page(), WANTED)
    reservations, titles = prebookings.count_all_waiting()
    restocks = movements.list_restocks(SHORT)
    return render_list(
        "admin/dashboard.html",
        found,
        since=prebookings.waiting_since([book.id for book, _waiting in found.items]),
        now=now(),
        reservations=reservations,
        titles=titles,
        orders=services.orders().counts(),
        outcomes=services.repository(ReportRepository).count_outcomes(),
        low=services.repository(BookRepository).list_low(FEW, SHORT),
        restocks=restocks,
        outbox=services.mail().outbox(),
        empty=not found.total and not restocks and not services.repository(BookRepository).list_newest(1),
    )


@bp.get("/admin/books")
@staff_required
def books() -> Answer:
    q = request.args.get("q", "")
    found = services.repository(BookRepository).search(BookCriteria(q=q, withdrawn=True), requested_page(), SIZE)
    waiting = services.repository(PreBookRepository).count_waiting_by_book([book.id for book in found.items])
    return render_list("admin/books.html", found, q=q, waiting=waiting)


@bp.route("/admin/books/new", methods=["GET", "POST"])
@staff_required
def create() -> Answer:
    form, catalog = BookForm(), services.catalog()
    if form.validate_on_submit():
        try:
            book_id = services.commit(lambda: catalog.create(form.values()))
        except Conflict as refused:
            form.add_error(refused)
        else:
            flash("The book is in the catalogue. It has no copies yet: enter the first here.", "success")
            return redirect(url_for("admin.stock", book_id=book_id), 303)
    return render_template("admin/edit.html", form=form, book=None), form.status


@bp.route(f"{BOOK}/edit", methods=["GET", "POST"])
@staff_required
def edit(book_id: int) -> Answer:
    catalog, book = services.catalog(), _book(book_id)
    form = BookForm(book)
    if form.validate_on_submit():
        try:
            services.commit(lambda: catalog.update(book_id, form.values()))
        except Conflict as refused:
            form.add_error(refused)
        else:
            flash("The book is changed.", "success")
            return redirect(url_for("admin.stock", book_id=book_id), 303)
    return render_template("admin/edit.html", form=form, book=book), form.status


@bp.route(f"{BOOK}/cover", methods=["GET", "POST"])
@staff_required
def cover(book_id: int) -> Answer:
    book, form = _book(book_id), CoverForm()
    if form.validate_on_submit():
        try:
            new = pictures.read_cover(form.picture.data.stream)
        except Invalid as refused:
            form.add_error(refused)
        else:
            _change_cover(book_id, new)
            flash("The book has a new cover.", "success")
            return redirect(url_for("admin.cover", book_id=book_id), 303)
    return render_template("admin/cover.html", form=form, book=book, remove=ShopForm()), form.status


@bp.post(f"{BOOK}/cover/remove")
@staff_required
def remove_cover(book_id: int) -> Response:
    _change_cover(book_id, None)
    flash("The uploaded cover is removed. The shop draws one instead.", "success")
    return redirect(url_for("admin.cover", book_id=book_id), 303)


def _change_cover(book_id: int, new: pictures.Cover | None) -> None:
    """Files first, then the book that names them, then away with the former: at no moment is a file missing."""
    folder = settings().covers
    with pictures.changing(folder):
        if new:
            pictures.keep(folder, new)
        unused = services.commit(lambda: services.catalog().set_cover(book_id, new.name if new else None))
        if unused:
            pictures.remove(folder, unused)


@bp.route(f"{BOOK}/stock", methods=["GET", "POST"])
@staff_required
def stock(book_id: int) -> Answer:
    form, status = StockForm(), 200
    if form.validate_on_submit():
        try:
            return _change_stock(book_id, form)
        except Conflict as changed:
            form.add_error(changed)
            status = 409
        except Invalid as refused:
            refused.field = "copies"
            form.add_error(refused)
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
    said = [f"The stock is now {_book(book_id).stock_quantity:,}."]
    if change.reason == SALE:
        said.append(f"Copies sold: {form.copies.data:,}.")
    elif not stopped:
        said += [told(notified), leaving(notified)]
    if stopped:
        said.append(_stopped(stopped))
    way = {"link": url_for("admin.mail", status=SUPPRESSED), "label": "Mail, Not sent"} if stopped else {}
    flash_with_link({"sentence": " ".join(said).strip(), **way}, "success")
    return redirect(url_for("admin.stock", book_id=book_id), 303)


def leaving(notified: Notified) -> str:
    """How long the e-mails that are queued can be stopped, in words; nothing if they cannot."""
    delay = settings().mail_delay
    if not notified.alerts_queued or not delay:
        return ""
    return f"The e-mails leave in {delay:,} seconds. Until then, setting the stock of a book to 0 stops them."


def _stopped(count: int) -> str:
    """How many alerts that waited were stopped in time, and what that means, in words."""
    if count == 1:
        return "1 e-mail was stopped in time; it goes out once the book is back. The reservation stays notified."
    return f"{count:,} e-mails were stopped in time; they go out once the book is back. The reservations stay notified."


def told(notified: Notified) -> str:
    """How many customers were notified, and how many e-mails that had been stopped are queued again, in words."""
    again = queued_again(notified.again.total())
    if not notified:
        return again or "Nobody was waiting to be told."
    told = "1 waiting customer was" if len(notified) == 1 else f"{len(notified):,} waiting customers were"
    return f"{told} notified. {again}".strip()


def queued_again(count: int) -> str:
    """How many e-mails that had been stopped are queued again, in words; nothing if none is."""
    if not count:
        return ""
    return f"{'1 e-mail' if count == 1 else f'{count:,} e-mails'} stopped before will now be sent."


@bp.route(f"{BOOK}/withdraw", methods=["GET", "POST"])
@staff_required
def withdraw(book_id: int) -> Answer:
    book, form = _book(book_id), ShopForm()
    if form.validate_on_submit():
        cancelled = services.commit(lambda: services.shelf().withdraw(book_id))
        flash(f"The book is withdrawn; reservations cancelled: {cancelled}.", "success")
        return redirect(url_for("admin.stock", book_id=book_id), 303)
    waiting = waiting_for(book)
    return render_template("admin/withdraw.html", form=form, book=book, waiting=waiting), form.status


@bp.post(f"{BOOK}/put-back")
@staff_required
def put_back(book_id: int) -> Response:
    again = queued_again(services.commit(lambda: services.shelf().put_back(book_id)))
    flash(f"The book is on sale again. {again}".strip(), "success")
    return redirect(url_for("admin.stock", book_id=book_id), 303)


@bp.get(f"{BOOK}/waiting")
@staff_required
def waiting(book_id: int) -> Answer:
    found = services.prebookings().list_waiting_for(book_id, requested_page(), SIZE)
    return render_list("admin/waiting.html", found, book=_book(book_id))


@bp.get(f"{BOOK}/movements")
@staff_required
def movements(book_id: int) -> Answer:
    found = services.inventory().list_movements(book_id, requested_page(), SIZE)
    return render_list("admin/movements.html", found, book=_book(book_id))


def chosen_ids(name: str) -> list[int]:
    """The ids that were ticked or, if the button belongs to one row alone, that one's; what is none is left out."""
    ids = request.form.getlist("only", type=int) or request.form.getlist(name, type=int)
    return sorted({row_id for row_id in ids if 0 < row_id <= ID_MAX})


def flash_outcome(rows: str, done: str, left: Sequence[str]) -> None:
    """Flash what became of the `rows` that were chosen: what is `done`, and which were left alone and why.

    Of many that were left only some are named.
    """
    if done:
        flash(done, "success")
    if left:
        more = f"; and {len(left) - NAMED:,} more" if len(left) > NAMED else ""
        flash(f"Left as {'it was' if len(left) == 1 else 'they were'}: {'; '.join(left[:NAMED])}{more}.", "warning")
    if not done and not left:
        flash(f"Please tick the {rows} first, then press the button.", "warning")


def _book(book_id: int) -> Book:
    return services.catalog().get(book_id, withdrawn=True)
