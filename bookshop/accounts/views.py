"""Registering, logging in and logging out."""

from typing import cast

from flask import Response, flash, redirect, render_template, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts import bp, known_devices
from bookshop.accounts.authentication import Identity
from bookshop.accounts.forms import LoginForm, RegisterForm
from bookshop.accounts.service import CheckedPassword
from bookshop.extensions import client_network, limiter, settings
from bookshop.kit.exceptions import Invalid, TooManyAttempts
from bookshop.web import services
from bookshop.web.access import View, current_identity
from bookshop.web.forms import ONCE
from bookshop.web.navigation import safe_next
from bookshop.web.sent_forms import form_key

NOTIFIED_SEEN = "notified_seen"
# The same for an address that is known: nobody learns here who is a customer.
SIGNED_UP = (
    "Thank you! We have written to {}: our message says how to go on. If your account is new, you can log in at once."
)
Answer = str | tuple[str, int] | tuple[str, int, dict[str, str]] | Response | AnyResponse


def limited(view: View) -> View:
    """Let nobody send the form of this page more often than BOOKSHOP_LOGIN_LIMIT says."""
    limit = limiter.limit(lambda: settings().login_limit, key_func=_who_counts, methods=["POST"])
    return cast(View, limit(view))


def _who_counts() -> str:
    """By what forms are counted: on pages of an account by its user, elsewhere by the known device or the network."""
    if request.path.startswith("/account/") and current_user.is_authenticated:
        return f"user {current_identity().user_id}"
    if device := known_devices.device_of(request.form.get("email", "")):
        return f"device {device}"
    return client_network()


@bp.route("/login", methods=["GET", "POST"])
@limited
def login() -> Answer:
    form = LoginForm(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(safe_next(form.next.data), 303)
    if form.validate_on_submit():
        try:
            _log_in(form)
        except (Invalid, TooManyAttempts) as refused:
            form.add_error(refused)
        else:
            return known_devices.remember(redirect(safe_next(form.next.data), 303), form.email.data)
    return render_template("accounts/login.html", form=form), form.status, form.headers


@bp.route("/register", methods=["GET", "POST"])
@limited
def register() -> Answer:
    form = RegisterForm(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(safe_next(form.next.data), 303)
    if form.validate_on_submit():
        email_links = services.email_links()
        try:
            services.commit(lambda: email_links.sign_up(form.email.data, form.password.data))
        except Invalid as refused:
            form.add_error(refused)
        else:
            flash(SIGNED_UP.format(form.email.data), "success")
            wanted = safe_next(form.next.data)
            return redirect(url_for("accounts.login", next=wanted if wanted != "/" else None), 303)
    return render_template("accounts/register.html", form=form), form.status


@bp.post("/logout")
def logout() -> Answer:
    if current_user.is_authenticated:
        services.commit(lambda: _end(current_identity()))
    logout_user()
    session.clear()
    flash("You are logged out.", "info")
    return redirect("/", 303)


def _log_in(form: LoginForm) -> None:
    """Log in on this device with a new cookie session, so that nothing from before the login is trusted after it.

    Flask-Login announces it in the transaction of the login, by `user_logged_in`: the cart of the visitor becomes part
    of the customer's, both or neither. Clearing the session first lets a second try begin anew; a login that fails
    leaves the session as it was.
    """
    accounts, before = services.accounts(), dict(session)
    email, password = form.email.data, form.password.data
    sent = form_key() if ONCE.fullmatch(request.form.get("key", "")) else ""

    def enter() -> Identity:
        checked = accounts.check_password(email, password)
        return services.commit(lambda: admit(checked))

    def admit(checked: CheckedPassword) -> Identity:
        identity = accounts.log_in(checked, password, request.user_agent.string, sent)
        session.clear()
        session.permanent = True
        login_user(identity)
        return identity

    try:
        identity = services.with_counted_attempt(known_devices.login_limits(email), sent, enter)
    except Exception:
        if current_user.is_authenticated:  # who was not logged in before the commit that failed
            logout_user()
            session.clear()
            session.update(before)
        raise
    session[NOTIFIED_SEEN] = accounts.notified_seen(identity.user_id)


def _end(me: Identity) -> None:
    """End this login, and remember for the next what its visitor has seen."""
    accounts = services.accounts()
    accounts.remember_notified_seen(me.user_id, session.get(NOTIFIED_SEEN, 0))
    if me.login_id is not None:
        accounts.log_out(me.login_id)
