"""The staff's pages about staff picks: the shelves, the books on each, and the shelves of one book."""

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.pick_forms import AddPickForm, BookPickForm, SentenceForm, ShelfForm
from bookshop.admin.views import ViewResponse
from bookshop.catalog.repository import BookCriteria, BookRepository
from bookshop.kit.exceptions import BookshopError, Conflict, Invalid, NotFound
from bookshop.picks.repository import PickRepository
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.forms import ShopForm

SHELF = "/admin/picks/<int:shelf_id>"
PICK = f"{SHELF}/books/<int:book_id>"
OFFERED = 8  # books to choose from, if several match
STATES = {"published": "Published", "draft": "Draft"}


@bp.get("/admin/picks")
@staff_required
def picks() -> ViewResponse:
    shelves = services.repository(PickRepository).list_shelves()
    return render_template("admin/picks.html", shelves=shelves, states=STATES, form=ShopForm())


@bp.route("/admin/picks/new", methods=["GET", "POST"])
@staff_required
def new_pick_shelf() -> ViewResponse:
    form = ShelfForm()
    status = form.status
    if form.validate_on_submit():
        try:
            shelf_id = services.commit(lambda: services.picks().add_shelf(form.values()))
        except Conflict as error:
            status = form.refuse(error)
        else:
            flash("The shelf has been added. Put the first book on it.", "success")
            return redirect(url_for("admin.pick_shelf", shelf_id=shelf_id), 303)
    return render_template("admin/pick_shelf_edit.html", form=form, shelf=None), status


@bp.route(SHELF, methods=["GET", "POST"])
@staff_required
def pick_shelf(shelf_id: int) -> ViewResponse:
    """Show the books of a shelf, and put another one on it."""
    shelf, form = services.picks().read_shelf(shelf_id), AddPickForm()
    status = form.status
    if form.validate_on_submit():
        try:
            book_id = _find_book(form)
            services.commit(lambda: services.picks().add(shelf_id, book_id, form.sentence.data))
        except (Conflict, Invalid) as error:
            status = form.refuse(error)
        else:
            flash("The book is on the shelf.", "success")
            return redirect(url_for("admin.pick_shelf", shelf_id=shelf_id), 303)
    picks = services.repository(PickRepository).list_picks(shelf_id)
    page = render_template(
        "admin/pick_shelf.html", shelf=shelf, picks=picks, states=STATES, form=form, press=ShopForm(formdata=None)
    )
    return page, status


def _find_book(form: AddPickForm) -> int:
    """Return the id of the book that was chosen or typed; raises Invalid unless exactly one matches."""
    if form.chosen.data:
        return int(form.chosen.data)
    found = services.repository(BookRepository).search(BookCriteria(q=form.book.data), 1, OFFERED)
    if not found.total:
        raise Invalid("No book on sale matches this. Check it, or add the book to the stock first.", "book")
    if found.total > 1:
        form.offer(found.items)
        more = f" These are the first {OFFERED}; more words find others." if found.total > OFFERED else ""
        raise Invalid(f"{found.total:,} books match. Choose one of them.{more}", "chosen")
    return found.items[0].id


@bp.route(f"{SHELF}/edit", methods=["GET", "POST"])
@staff_required
def edit_pick_shelf(shelf_id: int) -> ViewResponse:
    shelf = services.picks().read_shelf(shelf_id)
    form = ShelfForm(shelf)
    status = form.status
    if form.validate_on_submit():
        try:
            services.commit(lambda: services.picks().change_shelf(shelf_id, form.values(), form.version.data))
        except Conflict as error:
            status = form.refuse(error)
            form.show_again(services.picks().read_shelf(shelf_id).version)
        else:
            flash("The shelf has been saved.", "success")
            return redirect(url_for("admin.pick_shelf", shelf_id=shelf_id), 303)
    return render_template("admin/pick_shelf_edit.html", form=form, shelf=shelf), status


@bp.route(f"{SHELF}/delete", methods=["GET", "POST"])
@staff_required
def delete_pick_shelf(shelf_id: int) -> ViewResponse:
    """Ask before a shelf is deleted, then delete it."""
    form = ShopForm()
    if form.validate_on_submit():
        services.commit(lambda: services.picks().delete_shelf(shelf_id))
        flash("The shelf has been deleted.", "success")
        return redirect(url_for("admin.picks"), 303)
    shelf = services.picks().read_shelf(shelf_id)
    books = services.repository(PickRepository).list_places(shelf_id)
    return render_template("admin/pick_shelf_delete.html", form=form, shelf=shelf, books=len(books)), form.status


@bp.post(f"{SHELF}/<any(up, down):way>")
@staff_required
def move_pick_shelf(shelf_id: int, way: str) -> Response:
    """Move a shelf up or down, and come back to its row."""
    services.commit(lambda: services.picks().move_shelf(shelf_id, up=way == "up"))
    return redirect(url_for("admin.picks", _anchor=f"shelf-{shelf_id}"), 303)


@bp.route(PICK, methods=["GET", "POST"])
@staff_required
def pick(shelf_id: int, book_id: int) -> ViewResponse:
    """Change the sentence about a book on a shelf."""
    shelf, pick = services.picks().read_shelf(shelf_id), services.picks().read_pick(shelf_id, book_id)
    form = SentenceForm(pick)
    status = form.status
    if form.validate_on_submit():
        try:
            services.commit(lambda: services.picks().change(shelf_id, book_id, form.sentence.data, form.version.data))
        except Conflict as error:
            status = form.refuse(error)
            form.show_again(services.picks().read_pick(shelf_id, book_id).version)
        else:
            flash("The sentence has been saved.", "success")
            return _back_to(shelf_id, book_id)
    book, press = services.catalog().get(book_id, withdrawn=True), ShopForm(formdata=None)
    return render_template("admin/pick.html", form=form, shelf=shelf, book=book, press=press), status


@bp.post(f"{PICK}/<any(up, down):way>")
@staff_required
def move_pick(shelf_id: int, book_id: int, way: str) -> Response:
    """Move a book up or down on its shelf, and come back to its row."""
    try:
        services.commit(lambda: services.picks().move(shelf_id, book_id, up=way == "up"))
    except NotFound as error:
        return _gone(error, shelf_id)
    return _back_to(shelf_id, book_id)


@bp.post(f"{PICK}/remove")
@staff_required
def remove_pick(shelf_id: int, book_id: int) -> Response:
    try:
        services.commit(lambda: services.picks().remove(shelf_id, book_id))
    except NotFound as error:
        return _gone(error, shelf_id)
    flash("The book has been taken off the shelf.", "success")
    return redirect(url_for("admin.pick_shelf", shelf_id=shelf_id), 303)


def _back_to(shelf_id: int, book_id: int) -> Response:
    return redirect(url_for("admin.pick_shelf", shelf_id=shelf_id, _anchor=f"book-{book_id}"), 303)


def _gone(error: BookshopError, shelf_id: int) -> Response:
    """Say that somebody else has removed the book meanwhile, on the page of its shelf, if that is left."""
    services.picks().read_shelf(shelf_id)
    flash(error.sentence, "warning")
    return redirect(url_for("admin.pick_shelf", shelf_id=shelf_id), 303)


@bp.route("/admin/books/<int:book_id>/picks", methods=["GET", "POST"])
@staff_required
def book_picks(book_id: int) -> ViewResponse:
    """Show the shelves that a book is on, and put it on another one."""
    book, repository = services.catalog().get(book_id, withdrawn=True), services.repository(PickRepository)
    form = BookPickForm(repository.list_shelves())
    status = form.status
    if form.validate_on_submit():
        try:
            services.commit(lambda: services.picks().add(form.shelf.data, book_id, form.sentence.data))
        except (Conflict, NotFound) as error:
            status = form.refuse(error)
        else:
            flash("The book is on the shelf.", "success")
            return redirect(url_for("admin.book_picks", book_id=book_id), 303)
    found = repository.list_shelves_of(book_id)
    page = render_template("admin/book_picks.html", form=form, book=book, shelves=found, states=STATES)
    return page, status
