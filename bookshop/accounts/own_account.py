"""Pages of a user's own account: settings, devices, API tokens, data download and deletion."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, flash, g, redirect, render_template, request, session, url_for
from flask_login import logout_user

from bookshop.accounts import bp, known_devices
from bookshop.accounts.authentication import Identity
from bookshop.accounts.browser import link_request
from bookshop.accounts.devices import device_name
from bookshop.accounts.emails import key_of
from bookshop.accounts.forms import DeleteForm, EmailForm, PasswordForm, TokenForm
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import TOKENS_MAX
from bookshop.accounts.views import ViewResponse, limited
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid, NotFound, TooManyAttempts
from bookshop.orders.repository import OrderRepository
from bookshop.people.schemas import personal_data_json
from bookshop.prebookings.repository import PreBookRepository
from bookshop.retention.worker import erase_traces
from bookshop.web import attempts, fresh_login, services
from bookshop.web.access import (
    current_identity,
    fresh_login_required,
    fresh_or_password,
    login_required,
    require_fresh_login,
    require_second_factor,
)
from bookshop.web.forms import ShopForm

T = TypeVar("T")

bp.add_app_template_filter(device_name, "device")


@bp.get("/account")
@login_required
def account() -> ViewResponse:
    accounts, me = services.accounts(), current_identity()
    logins, tokens = accounts.list_logins(me.user_id), services.repository(UserRepository).list_tokens(me.user_id)
    user, form = accounts.get_user(me.user_id), ShopForm()
    has_second_factor = user.is_staff and services.repository(UserRepository).has_second_factor(user.id)
    counts = {"logins": len(logins), "tokens": len(tokens)}
    return render_template("accounts/account.html", user=user, form=form, has_second_factor=has_second_factor, **counts)


@bp.route("/account/email", methods=["GET", "POST"])
@login_required
@fresh_or_password
@limited
def email() -> ViewResponse:
    """E-mail a link to a new address; the answer is the same whether or not another account has it."""
    me, changes = current_identity(), services.address_changes()
    form = EmailForm(needs_password=me.needs_password)
    if form.validate_on_submit():
        wanted, confirmed_by = link_request(form.email.data), form.confirmed_by(me)
        try:
            address = _commit_confirmed(confirmed_by, lambda: changes.request(me.user_id, wanted, confirmed_by))
        except (Invalid, TooManyAttempts) as error:
            form.add_error(error)
        else:
            flash(_address_message(me.email, address), "success")
            return redirect(url_for("accounts.account"), 303)
    return render_template("accounts/email.html", form=form, email=me.email), form.status, form.headers


def _address_message(current: str, address: str) -> str:
    """Return the message after a request to change the address; a change of case only has taken effect."""
    if key_of(address) == key_of(current):
        return f"Your e-mail address is now {address}."
    return f"We've sent a link to {address}. Your address changes when you press the button on its page."


def _commit_confirmed(confirmed_by: str | Identity, work: Callable[[], T]) -> T:
    """Commit work that needs the password or a fresh login; after wrong passwords the user must wait."""
    if not isinstance(confirmed_by, str):
        return services.commit(work, lock_role=False)
    limits = fresh_login.limits_of(current_identity())
    return attempts.with_counted_attempt(limits, g.get("form_key", ""), lambda: services.commit(work, lock_role=False))


@bp.route("/account/password", methods=["GET", "POST"])
@login_required
@fresh_or_password
@limited
def password() -> ViewResponse:
    """Change the password, or set one: after a link, the current password is not needed."""
    me = current_identity()
    form = PasswordForm(needs_password=me.needs_password)
    if form.validate_on_submit():
        try:
            done = _change_password(me, form) if me.needs_password else _set_password(me, form)
        except (Invalid, TooManyAttempts) as error:
            form.add_error(error)
        else:
            flash(done, "success")
            response = redirect(url_for("accounts.account"), 303)
            return known_devices.remember(response, me.email) if session.permanent else response
    page = render_template("accounts/password.html", form=form, link_form=ShopForm(formdata=None))
    return page, form.status, form.headers


def _change_password(me: Identity, form: PasswordForm) -> str:
    """Change the password, after checking the current one; returns the message for the page."""
    accounts, current, new = services.accounts(), form.current.data, form.new.data
    _commit_confirmed(current, lambda: accounts.change_password(me.user_id, current, new, keep_login=me.login_id))
    return "Your password has been changed, and you have been logged out on every other device."


def _set_password(me: Identity, form: PasswordForm) -> str:
    """Set a password without the current one, in a fresh login; returns the message for the page."""
    accounts, new = services.accounts(), form.new.data
    ended = services.commit(lambda: accounts.set_password(me, new), lock_role=False)
    return f"Your password has been saved. {ended.sentence()}"


@bp.get("/account/sessions")
@login_required
def sessions() -> ViewResponse:
    me = current_identity()
    logins = services.accounts().list_logins(me.user_id)
    return render_template("accounts/sessions.html", logins=logins, here=me.login_id, form=ShopForm())


@bp.post("/account/sessions/end-others")
@login_required
def end_other_sessions() -> ViewResponse:
    me, accounts = current_identity(), services.accounts()
    ended = services.commit(lambda: accounts.end_other_logins(me.user_id, me.login_id))
    flash(
        f"You have been logged out on {_devices(ended)}." if ended else "You were not logged in anywhere else.",
        "success",
    )
    return redirect(url_for("accounts.sessions"), 303)


def _devices(count: int) -> str:
    return "1 other device" if count == 1 else f"{count} other devices"


@bp.route("/account/tokens", methods=["GET", "POST"])
@login_required
def tokens() -> ViewResponse:
    """List and create API tokens; only the response that creates a token shows it."""
    if request.method == "POST":
        require_second_factor()
        require_fresh_login()
    me, accounts, new_token = current_identity(), services.accounts(), None

    def create(*values: Any) -> str:
        services.authentication().lock_login(me)  # whatever has ended this login must not miss the new token
        return accounts.create_token(me.user_id, *values)

    form = TokenForm(me.role)
    status = form.status
    if form.validate_on_submit():
        try:
            values = form.name.data, form.scopes.data, form.days.data, form.token(me.user_id)
            new_token, status = services.commit(lambda: create(*values), lock_role=False), 201
            form.clear()
        except (Invalid, Conflict) as error:
            status = form.refuse(error)
    own_tokens = services.repository(UserRepository).list_tokens(me.user_id)
    return render_template(
        "accounts/tokens.html", form=form, new_token=new_token, tokens=own_tokens, tokens_max=TOKENS_MAX, now=now()
    ), status


@bp.post("/account/tokens/<int:token_id>/revoke")
@login_required
@fresh_login_required
def revoke_token(token_id: int) -> ViewResponse:
    user_id, accounts = current_identity().user_id, services.accounts()
    try:
        services.commit(lambda: accounts.revoke_token(user_id, token_id))
    except NotFound as error:
        flash(error.sentence, "warning")
    else:
        flash("The token has been revoked. Programs can no longer use it.", "success")
    return redirect(url_for("accounts.tokens"), 303)


@bp.get("/account/data.json")
@login_required
@fresh_login_required
def data() -> ViewResponse:
    personal_data = services.people().personal_data(current_identity().user_id)
    disposition = {"Content-Disposition": "attachment; filename=bookshop-data.json"}
    return Response(personal_data_json(personal_data), mimetype="application/json", headers=disposition)


@bp.route("/account/delete", methods=["GET", "POST"])
@login_required
@fresh_or_password
@limited
def delete() -> ViewResponse:
    me, people = current_identity(), services.people()
    form, user_id = DeleteForm(needs_password=me.needs_password), me.user_id
    if form.validate_on_submit():
        confirmed_by = form.confirmed_by(me)
        try:
            _commit_confirmed(confirmed_by, lambda: people.delete(user_id, confirmed_by))
        except (Invalid, TooManyAttempts) as error:
            form.add_error(error)
        else:
            erase_traces(user_id)
            logout_user()
            csrf_token = session.get("csrf_token")
            session.clear()
            session["csrf_token"] = csrf_token  # so that a double click is still accepted
            flash("Your account has been deleted. You're welcome to sign up again at any time.", "info")
            return redirect("/", 303)
    waiting = services.repository(PreBookRepository).count_waiting(user_id)
    orders = services.repository(OrderRepository).count_open(user_id)
    return render_template("accounts/delete.html", form=form, waiting=waiting, orders=orders), form.status, form.headers
