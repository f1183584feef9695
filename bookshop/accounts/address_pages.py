"""Pages behind the links that change the address of an account, or undo such a change."""

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts import bp, known_devices, pending_login
from bookshop.accounts.authentication import Identity, new_login_id
from bookshop.accounts.browser import is_browser_of
from bookshop.accounts.forms import ConfirmAddressForm
from bookshop.accounts.logging_in import commit_login, log_in_again, log_in_by_link, logged_in
from bookshop.accounts.login_links import LinkNotValid, UsedLink
from bookshop.accounts.models import ADDRESS, UNDO, LoginLink
from bookshop.accounts.views import ViewResponse, limited
from bookshop.cart import cookie
from bookshop.kit.exceptions import Conflict
from bookshop.web import services
from bookshop.web.forms import ShopForm
from bookshop.web.sent_forms import form_key


@bp.route("/address/confirm/<token>", methods=["GET", "POST"])
@limited
def confirm_address(token: str) -> ViewResponse:
    """Show the new address; the button changes to it. A GET, as by a scanner of e-mails, changes nothing."""
    try:
        return _confirmed_before() or _confirm_address(token)
    except LinkNotValid as error:
        if pending_login.get():  # the first of two clicks has used the link
            return redirect(url_for("accounts.login_code"), 303)
        return _not_valid(error, token)


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
        return _not_valid(error, token)
    except Conflict as error:
        status = form.refuse(error)
    return render_template("accounts/undo_address.html", form=form, link=link), status


def _not_valid(error: LinkNotValid, token: str) -> ViewResponse:
    page = render_template("accounts/link_not_valid.html", error=error, form=ShopForm(formdata=None), token=token)
    return page, 404


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
    accounts, changes, key, own_login = services.accounts(), services.address_changes(), form_key(), _own_login(link)
    me = logged_in()
    done: list[UsedLink] = []

    def work() -> Identity | None:
        login_id = own_login or new_login_id()
        if repeated := accounts.claim_form(key, login_id):
            return repeated
        done[:] = [changes.confirm(token, keep_login=own_login)]
        return log_in_by_link(done[0], login_id, me)

    if form.is_other_browser:
        cookie.merge_only([])
    identity = commit_login(work, shared="shared" in request.form)
    if not done:
        return _confirmed_before() or redirect("/", 303)
    is_new_device = "shared" in form and not form.shared.data
    erased = "" if own_login else " If the account had a password, it was erased."
    flash(f"Your e-mail address is now {link.email}. Use it to log in from now on.{_ended(done[0])}{erased}", "success")
    return _changed(done[0], is_logged_in=identity is not None, is_new_device=is_new_device)


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
