"""The owners' pages about staff and settings: who works in the shop, as what, and how the shop is set up."""

from flask import flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from bookshop.accounts.repository import UserRepository
from bookshop.accounts.staff import ROLE_NAMES
from bookshop.admin import bp
from bookshop.admin.forms import NewStaffForm, RoleForm
from bookshop.admin.shop_forms import DAYS, ShopDetailsForm
from bookshop.admin.views import ViewResponse
from bookshop.config import shown_settings
from bookshop.extensions import settings
from bookshop.kit.exceptions import Conflict, Invalid
from bookshop.web import services
from bookshop.web.access import current_identity, fresh_login_required, owner_required
from bookshop.web.forms import ShopForm

MEMBER = "/admin/staff/<int:user_id>"


@bp.route("/admin/staff", methods=["GET", "POST"])
@owner_required
@fresh_login_required
def staff() -> ViewResponse:
    form = NewStaffForm()
    status = form.status
    if form.validate_on_submit():
        email, role, me = form.email.data, form.role.data, current_identity().user_id
        try:
            is_invited = services.commit(lambda: services.staff().add(email, role, by=me), lock_role=False)
        except (Invalid, Conflict) as error:
            status = form.refuse(error)
        else:
            flash(_changed_sentence(email, role, is_invited=is_invited), "success")
            return redirect(url_for("admin.staff"), 303)
    members = services.repository(UserRepository).list_staff()
    return render_template("admin/staff.html", form=form, members=members), status


def _changed_sentence(email: str, role: str, *, is_invited: bool) -> str:
    sentence = f"{email} is now {ROLE_NAMES[role]}."
    if is_invited:
        return (
            f"{sentence} We've sent them an invitation, unless they have just had one. They log in with a link, without"
            " a password."
        )
    return f"{sentence} The account has been logged out everywhere: they need to log in again."


@bp.route(MEMBER, methods=["GET", "POST"])
@owner_required
@fresh_login_required
def member(user_id: int) -> ViewResponse:
    """Show a member of staff, and change their role."""
    user = services.accounts().get_user(user_id)
    form, email = RoleForm(user.role), user.email
    status = form.status
    if form.validate_on_submit():
        role, me = form.role.data, current_identity().user_id
        try:
            is_invited = services.commit(lambda: services.staff().change_role(user_id, role, by=me), lock_role=False)
        except Conflict as error:
            status = form.refuse(error)
        else:
            flash(_changed_sentence(email, role, is_invited=is_invited), "success")
            return redirect(url_for("admin.staff"), 303)
    has_second_factor = services.repository(UserRepository).has_second_factor(user_id)
    page = render_template(
        "admin/member.html", form=form, user=user, has_second_factor=has_second_factor, button_form=ShopForm()
    )
    return page, status


@bp.post(f"{MEMBER}/remove-second-factor")
@owner_required
@fresh_login_required
def remove_second_factor(user_id: int) -> Response:
    me = current_identity().user_id
    email = services.commit(lambda: services.staff().remove_second_factor(user_id, by=me), lock_role=False)
    flash(f"The second factor of {email} has been removed, and the account has been logged out everywhere.", "success")
    return redirect(url_for("admin.member", user_id=user_id), 303)


@bp.route("/admin/settings", methods=["GET", "POST"])
@owner_required
def shop_details() -> ViewResponse:
    """Show the shop's details, and change them."""
    form = ShopDetailsForm(services.shop_details())
    status = form.status
    if form.validate_on_submit():
        try:
            services.commit(lambda: services.shop().change(form.values(), form.version.data))
        except Conflict as error:
            status = form.refuse(error)
            form.show_again(services.shop().read().version)
        else:
            flash("The details have been saved. Pages and e-mails show them from now on.", "success")
            return redirect(url_for("admin.shop_details"), 303)
    return render_template("admin/shop_details.html", form=form, days=DAYS), status


@bp.get("/admin/settings/server")
@owner_required
def show_settings() -> ViewResponse:
    return render_template("admin/settings.html", rows=shown_settings(settings()))
