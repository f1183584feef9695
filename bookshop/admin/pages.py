"""The owners' pages about content pages: the list, and each page with a preview."""

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.page_forms import PageForm
from bookshop.admin.views import ViewResponse
from bookshop.content.service import STARTER, Page
from bookshop.content.views import html_of
from bookshop.kit.exceptions import Conflict
from bookshop.web import services
from bookshop.web.access import owner_required
from bookshop.web.forms import ShopForm

PAGE = "/admin/pages/<slug>"
STATES = {STARTER: "Please review", "published": "Published", "draft": "Draft"}


@bp.get("/admin/pages")
@owner_required
def pages() -> ViewResponse:
    found = services.content().list_pages(drafts=True)
    return render_template("admin/pages.html", pages=found, states=STATES)


@bp.route("/admin/pages/new", methods=["GET", "POST"])
@owner_required
def new_page() -> ViewResponse:
    form = PageForm()
    status = form.status
    if form.validate_on_submit() and not form.preview.data:
        try:
            services.commit(lambda: services.content().add(form.values()))
        except Conflict as error:
            status = form.refuse(error)
        else:
            return _saved()
    return _edited(form, None, status)


@bp.route(PAGE, methods=["GET", "POST"])
@owner_required
def edit_page(slug: str) -> ViewResponse:
    page = services.content().read(slug, drafts=True)
    form = PageForm(page)
    status = form.status
    if form.validate_on_submit() and not form.preview.data:
        try:
            services.commit(lambda: services.content().change(slug, form.values(), form.version.data))
        except Conflict as error:
            status = form.refuse(error)
            form.show_again(services.content().read(slug, drafts=True).version)
        else:
            return _saved()
    return _edited(form, page, status)


@bp.route(f"{PAGE}/delete", methods=["GET", "POST"])
@owner_required
def delete_page(slug: str) -> ViewResponse:
    """Ask before a page is deleted, then delete it."""
    form = ShopForm()
    if form.validate_on_submit():
        services.commit(lambda: services.content().delete(slug))
        flash("The page has been deleted.", "success")
        return redirect(url_for("admin.pages"), 303)
    page = services.content().read(slug, drafts=True)
    return render_template("admin/page_delete.html", form=form, page=page), form.status


def _saved() -> Response:
    flash("The page has been saved.", "success")
    return redirect(url_for("admin.pages"), 303)


def _edited(form: PageForm, page: Page | None, status: int) -> ViewResponse:
    """Show the form, with a preview of what it has if that was asked for."""
    is_previewed = bool(form.preview.data and not form.errors)
    typed = Page(page.slug if page else "", form.title.data or "", form.body.data or "", "")
    preview = html_of(typed) if is_previewed else None
    shown = render_template("admin/page.html", form=form, page=page, preview=preview)
    return shown, 200 if is_previewed else status
