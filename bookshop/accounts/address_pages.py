"""Pages behind the links that change the address of an account, or undo such a change."""

from functools import partial

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts import bp, known_devices, pending_login
from bookshop.accounts.browser import is_browser_of
from bookshop.accounts.forms import ConfirmAddressForm
from bookshop.accounts.logging_in import link_not_valid, log_in_again, use_and_log_in
from bookshop.accounts.login_links import LinkNotValid, UsedLink
from bookshop.accounts.models import ADDRESS, UNDO, LoginLink
from bookshop.accounts.views import ViewResponse, limited
from bookshop.cart import cookie
from bookshop.kit.exceptions import Conflict
from bookshop.web import services
from bookshop.web.forms import ShopForm


@bp.route("/address/confirm/<token>", methods=["GET", "POST"])
@limited
def confirm_address(token: str) -> ViewResponse:
    """Show the new address; the button changes to it. A GET, as by a scanner of e-mails, changes nothing."""
    try:
        return _confirmed_before() or _confirm_address(token)
    except LinkNotValid as error:
        if pending_login.get():  # the first of two clicks has used the link
            return redirect(url_for("accounts.login_code"), 303)
        return link_not_valid(error, token)


@bp.route("/address/undo/<token>", methods=["GET", "POST"])
@limited
def undo_address(token: str) -> ViewResponse:
    """Show the former address; the button changes back to it. A GET changes nothing."""
    form, changes = ShopForm(), services.address_changes()
    status = form.status
    try:
        link = services.login_links().find(token, UNDO)
        if form.validate_on_submit():
            return _undone(services.commit(lambda: changes.undo(token), lock_role=False))
    except LinkNotValid as error:
        return link_not_valid(error, token)
    except Conflict as error:
        status = form.refuse(error)
    return render_template("accounts/undo_address.html", form=form, link=link), status


def _confirmed_before() -> Response | None:
    """Log in again if the same form has just changed the address: see `log_in_again`."""
    if not log_in_again():
        return None
    flash("Your e-mail address has been changed.", "success")
    return redirect(url_for("accounts.account"), 303)


def _confirm_address(token: str) -> ViewResponse:
    link = services.login_links().find(token, ADDRESS)
    form = ConfirmAddressForm(is_other_browser=not is_browser_of(link), is_logged_in=bool(_own_login(link)))
    status = form.status
    if form.validate_on_submit():
        try:
            return _change_address(token, link, form)
        except Conflict as error:
            status = form.refuse(error)
    current = services.accounts().get_user(link.user_id or 0).email
    return render_template("accounts/confirm_address.html", form=form, link=link, current=current), status


def _own_login(link: LoginLink) -> str | None:
    """Return the id of this browser's login, if it is one of the account whose address changes."""
    return current_user.login_id if getattr(current_user, "user_id", None) == link.user_id else None


def _change_address(token: str, link: LoginLink, form: ConfirmAddressForm) -> ViewResponse:
    """Change the address and log in, in one transaction."""
    changes, own_login = services.address_changes(), _own_login(link)
    if form.is_other_browser:
        cookie.merge_only([])
    use = partial(changes.confirm, token, keep_login=own_login)
    used, identity = use_and_log_in(use, own_login, shared="shared" in request.form)
    if used is None:
        return _confirmed_before() or redirect("/", 303)
    is_new_device = "shared" in form and not form.shared.data
    erased = "" if own_login else " If the account had a password, it was erased."
    flash(f"Your e-mail address is now {link.email}. Use it to log in from now on.{_ended(used)}{erased}", "success")
    return _changed(used, is_logged_in=identity is not None, is_new_device=is_new_device)


def _changed(used: UsedLink, *, is_logged_in: bool, is_new_device: bool) -> ViewResponse:
    """Lead to the account page, or ask for the code of the second factor if it is missing."""
    address, account = used.user.email, url_for("accounts.account")
    if not is_logged_in:
        pending_login.begin(address, used.link_id, shared="shared" in request.form)
        return redirect(url_for("accounts.login_code", next=account), 303)
    response = redirect(account, 303)
    return known_devices.remember(response, address) if is_new_device else response


def _ended(used: UsedLink, device: str = "other device") -> str:
    return f" {used.ended.sentence(device)}" if used.ended else ""


def _undone(used: UsedLink) -> Response:
    flash(
        f"Your e-mail address is {used.user.email} again.{_ended(used, 'device')} If the account had a password, it was"
        " erased. Log in with a link.",
        "success",
    )
    return redirect(url_for("accounts.login"), 303)
