"""The staff pages about returns of orders by post."""

from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import SIZE, ViewResponse
from bookshop.returns.repository import ReturnRepository
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.navigation import render_list, requested_page, safe_next


@bp.get("/admin/returns")
@staff_required
def returns() -> ViewResponse:
    return render_list("admin/returns.html", services.repository(ReturnRepository).list_open(requested_page(), SIZE))


@bp.post("/admin/returns/<int:return_id>/handled")
@staff_required
def handle_return(return_id: int) -> Response:
    returns = services.returns()
    services.commit(lambda: returns.handle(return_id))
    flash("The return is marked as handled.", "success")
    return redirect(safe_next(request.form.get("next", url_for("admin.dashboard"))), 303)
