"""One's own account: what the shop keeps of a person, and what they can change, take along and delete."""

from collections.abc import Callable
from typing import TypeVar

from flask import Response, flash, g, redirect, render_template, session, url_for
from flask_login import logout_user

from bookshop.accounts import bp, known_devices
from bookshop.accounts.devices import device_in_words
from bookshop.accounts.forms import DeleteForm, EmailForm, PasswordForm, TokenForm
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import MOST_TOKENS
from bookshop.accounts.views import Answer, limited
from bookshop.kit.database import now
from bookshop.kit.exceptions import BookshopError, Conflict, Invalid, NotFound, TooManyAttempts
from bookshop.orders.repository import OrderRepository
from bookshop.people.schemas import personal_data_json
from bookshop.prebookings.repository import PreBookRepository
from bookshop.throttle.service import AttemptLimit
from bookshop.web import services
from bookshop.web.access import current_identity, login_required
from bookshop.web.forms import ShopForm

T = TypeVar("T")

bp.add_app_template_filter(device_in_words, "device")


@bp.get("/account")
@login_required
def account() -> Answer:
    accounts, me = services.accounts(), current_identity()
    logins, tokens = accounts.list_logins(me.user_id), services.repository(UserRepository).list_tokens(me.user_id)
    user, form = accounts.get_user(me.user_id), ShopForm()
    return render_template("accounts/account.html", user=user, logins=len(logins), tokens=len(tokens), form=form)


@bp.route("/account/email", methods=["GET", "POST"])
@login_required
@limited
def email() -> Answer:
    form = EmailForm()
    status = form.status
    if form.validate_on_submit():
        me, accounts = current_identity(), services.accounts()
        try:
            kept = _proven(lambda: accounts.change_email(me.user_id, form.email.data, form.current.data))
        except (Invalid, Conflict, TooManyAttempts) as refused:
            status = _refuse(form, refused)
        else:
            flash(_moved(me.email, kept), "success")
            return known_devices.remember(redirect(url_for("accounts.account"), 303), kept)
    return render_template("accounts/email.html", form=form, email=current_identity().email), status, form.headers


def _moved(former: str, kept: str) -> str:
    """What is said to who changed their address: one in other letters stays confirmed, and is not written to."""
    said = f"Your e-mail address is now {kept}: log in with it from now on."
    if kept.casefold() == former.casefold():
        return said
    return f"{said} We have written to it; please follow the link in our message."


def _proven(work: Callable[[], T]) -> T:
    """Do and commit what asks for the current password; who does not know it must wait longer after each guess."""
    limits = [AttemptLimit(f"password {current_identity().login_id}", 5, 900)]
    return services.with_counted_attempt(limits, g.get("form_key", ""), lambda: services.commit(work))


def _refuse(form: ShopForm, refused: BookshopError) -> int:
    """Show a refusal in the form; returns the status of its page."""
    form.add_error(refused)
    return 409 if isinstance(refused, Conflict) else form.status


@bp.route("/account/password", methods=["GET", "POST"])
@login_required
@limited
def password() -> Answer:
    form = PasswordForm()
    if form.validate_on_submit():
        me, accounts = current_identity(), services.accounts()
        try:
            _proven(
                lambda: accounts.change_password(me.user_id, form.current.data, form.new.data, keep_login=me.login_id)
            )
        except (Invalid, TooManyAttempts) as refused:
            form.add_error(refused)
        else:
            flash("Your password is changed, and you are logged out on every other device.", "success")
            return known_devices.remember(redirect(url_for("accounts.account"), 303), me.email)
    return render_template("accounts/password.html", form=form), form.status, form.headers


@bp.get("/account/sessions")
@login_required
def sessions() -> Answer:
    me = current_identity()
    logins = services.accounts().list_logins(me.user_id)
    return render_template("accounts/sessions.html", logins=logins, here=me.login_id, form=ShopForm())


@bp.post("/account/sessions/end-others")
@login_required
def end_other_sessions() -> Answer:
    me, accounts = current_identity(), services.accounts()
    ended = services.commit(lambda: accounts.end_other_logins(me.user_id, me.login_id))
    flash(f"You are logged out on {_devices(ended)}." if ended else "You were logged in nowhere else.", "success")
    return redirect(url_for("accounts.sessions"), 303)


def _devices(count: int) -> str:
    return "1 other device" if count == 1 else f"{count} other devices"


@bp.route("/account/tokens", methods=["GET", "POST"])
@login_required
def tokens() -> Answer:
    """The tokens; the answer that creates one is the only page that ever shows it."""
    me, accounts, token = current_identity(), services.accounts(), None
    form = TokenForm(me.role)
    status = form.status
    if form.validate_on_submit():
        try:
            given = form.name.data, form.scopes.data, form.days.data, form.token(me.user_id)
            token, status = services.commit(lambda: accounts.create_token(me.user_id, *given)), 201
            form.empty()
        except (Invalid, Conflict) as refused:
            status = _refuse(form, refused)
    found = services.repository(UserRepository).list_tokens(me.user_id)
    return render_template(
        "accounts/tokens.html", form=form, token=token, found=found, most=MOST_TOKENS, now=now()
    ), status


@bp.post("/account/tokens/<int:token_id>/revoke")
@login_required
def revoke_token(token_id: int) -> Answer:
    user_id, accounts = current_identity().user_id, services.accounts()
    try:
        services.commit(lambda: accounts.revoke_token(user_id, token_id))
    except NotFound as refused:
        flash(refused.sentence, "warning")
    else:
        flash("The token is revoked. Programs that use it are refused from now on.", "success")
    return redirect(url_for("accounts.tokens"), 303)


@bp.get("/account/data.json")
@login_required
def data() -> Answer:
    kept = services.people().personal_data(current_identity().user_id)
    disposition = {"Content-Disposition": "attachment; filename=bookshop-data.json"}
    return Response(personal_data_json(kept), mimetype="application/json", headers=disposition)


@bp.route("/account/delete", methods=["GET", "POST"])
@login_required
@limited
def delete() -> Answer:
    form, people, user_id = DeleteForm(), services.people(), current_identity().user_id
    if form.validate_on_submit():
        try:
            _proven(lambda: people.delete(user_id, form.current.data))
        except (Invalid, TooManyAttempts) as refused:
            form.add_error(refused)
        else:
            logout_user()
            of_forms = session.get("csrf_token")
            session.clear()
            session["csrf_token"] = of_forms  # for who clicks twice
            flash("Your account is deleted. You are welcome to come back at any time.", "info")
            return redirect("/", 303)
    waiting = services.repository(PreBookRepository).count_waiting(user_id)
    orders = services.repository(OrderRepository).count_open(user_id)
    return render_template("accounts/delete.html", form=form, waiting=waiting, orders=orders), form.status, form.headers
