"""Sign up, log in and log out."""

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
# The same text for an address that has an account, so that it does not reveal who is a customer.
SIGNED_UP = (
    "Thank you. We've sent a message to {} that explains what to do next. If your account is new, you can log in now."
)
ViewResponse = str | tuple[str, int] | tuple[str, int, dict[str, str]] | Response | AnyResponse


def limited(view: View) -> View:
    """Limit how often the form of this page is sent (BOOKSHOP_LOGIN_LIMIT)."""
    limit = limiter.limit(lambda: settings().login_limit, key_func=_limit_key, methods=["POST"])
    return cast(View, limit(view))


def _limit_key() -> str:
    """Return the limiter key: the user on account pages, elsewhere the known device or else the network."""
    if request.path.startswith("/account/") and current_user.is_authenticated:
        return f"user {current_identity().user_id}"
    if device := known_devices.device_of(request.form.get("email", "")):
        return f"device {device}"
    return client_network()


@bp.route("/login", methods=["GET", "POST"])
@limited
def login() -> ViewResponse:
    form = LoginForm(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(safe_next(form.next.data), 303)
    if form.validate_on_submit():
        try:
            _log_in(form)
        except (Invalid, TooManyAttempts) as error:
            form.add_error(error)
        else:
            return known_devices.remember(redirect(safe_next(form.next.data), 303), form.email.data)
    return render_template("accounts/login.html", form=form), form.status, form.headers


@bp.route("/register", methods=["GET", "POST"])
@limited
def register() -> ViewResponse:
    form = RegisterForm(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(safe_next(form.next.data), 303)
    if form.validate_on_submit():
        email_links = services.email_links()
        try:
            services.commit(lambda: email_links.sign_up(form.email.data, form.password.data))
        except Invalid as error:
            form.add_error(error)
        else:
            flash(SIGNED_UP.format(form.email.data), "success")
            target = safe_next(form.next.data)
            return redirect(url_for("accounts.login", next=target if target != "/" else None), 303)
    return render_template("accounts/register.html", form=form), form.status


@bp.post("/logout")
def logout() -> ViewResponse:
    if current_user.is_authenticated:
        services.commit(lambda: _end_login(current_identity()))
    logout_user()
    session.clear()
    flash("You have been logged out.", "info")
    return redirect("/", 303)


def _log_in(form: LoginForm) -> None:
    """Log in with a new cookie session, so that nothing from before the login is trusted after it.

    Flask-Login sends `user_logged_in` within the transaction of the login, so the visitor's cart is merged into the
    customer's if and only if the login commits. The session is cleared first, so that a retried transaction starts
    afresh; a failed login restores it.
    """
    accounts, session_before = services.accounts(), dict(session)
    email, password = form.email.data, form.password.data
    sent_form_key = form_key() if ONCE.fullmatch(request.form.get("key", "")) else ""

    def check_and_log_in() -> Identity:
        checked = accounts.check_password(email, password)
        return services.commit(lambda: log_in(checked))

    def log_in(checked: CheckedPassword) -> Identity:
        identity = accounts.log_in(checked, password, request.user_agent.string, sent_form_key)
        session.clear()
        session.permanent = True
        login_user(identity)
        return identity

    try:
        identity = services.with_counted_attempt(known_devices.login_limits(email), sent_form_key, check_and_log_in)
    except Exception:
        if current_user.is_authenticated:  # set by `login_user` before the commit failed
            logout_user()
            session.clear()
            session.update(session_before)
        raise
    session[NOTIFIED_SEEN] = accounts.notified_seen(identity.user_id)


def _end_login(me: Identity) -> None:
    """End this login and store how many notified pre-bookings the user has seen."""
    accounts = services.accounts()
    accounts.remember_notified_seen(me.user_id, session.get(NOTIFIED_SEEN, 0))
    if me.login_id is not None:
        accounts.log_out(me.login_id)
