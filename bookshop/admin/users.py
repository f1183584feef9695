"""The staff pages about users: search, and deactivating and reactivating accounts."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import ViewResponse
from bookshop.orders.repository import OrderRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.access import current_identity, require_fresh_login, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page

USER = "/admin/users/<int:user_id>"
SIZE = 50


@bp.get("/admin/users")
@staff_required
def users() -> ViewResponse:
    q = request.args.get("q", "")
    page = services.accounts().list_users(q, requested_page(), SIZE)
    waiting = services.repository(PreBookRepository).count_waiting_by_user([user.id for user in page.items])
    return render_list("admin/users.html", page, q=q, waiting=waiting, form=ShopForm())


@bp.route(f"{USER}/deactivate", methods=["GET", "POST"])
@staff_required
def deactivate_user(user_id: int) -> ViewResponse:
    form, user = ShopForm(), services.accounts().get_user(user_id)
    if user.is_staff:
        require_fresh_login()
    if form.validate_on_submit():
        email, me = user.email, current_identity().user_id
        cancelled = services.commit(lambda: services.people().deactivate(user_id, by=me), lock_role=False)
        flash(f"{email} has been deactivated. Reservations cancelled: {cancelled}.", "success")
        return redirect(url_for("admin.users", q=email), 303)
    waiting = services.repository(PreBookRepository).count_waiting(user_id)
    orders = services.repository(OrderRepository).count_open(user_id)
    return render_template("admin/deactivate.html", form=form, user=user, waiting=waiting, orders=orders), form.status


@bp.post(f"{USER}/reactivate")
@staff_required
def reactivate_user(user_id: int) -> Response:
    user, me = services.accounts().get_user(user_id), current_identity().user_id
    if user.is_staff:
        require_fresh_login()
    email = user.email
    services.commit(lambda: services.people().reactivate(user_id, by=me), lock_role=False)
    flash(f"{email} can log in again. Cancelled reservations stay cancelled.", "success")
    return redirect(url_for("admin.users", q=email), 303)
