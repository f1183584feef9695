"""Sign up, log in and log out."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from flask import Response, flash, redirect, render_template, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts import bp, known_devices, pending_login
from bookshop.accounts.authentication import Identity
from bookshop.accounts.forms import LoginCodeForm, LoginForm, RegisterForm
from bookshop.accounts.pending_login import PendingLogin
from bookshop.accounts.service import CheckedPassword, LoginAttempt
from bookshop.extensions import client_network, limiter, settings
from bookshop.kit.exceptions import Invalid, NotAuthenticated, TooManyAttempts
from bookshop.throttle.service import AttemptLimit
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
CODE_TOO_LATE = "The code has to follow within 10 minutes of the password. Please log in again."
ViewResponse = str | tuple[str, int] | tuple[str, int, dict[str, str]] | Response | AnyResponse


def limited(view: View) -> View:
    """Limit how often the form of this page is sent (BOOKSHOP_LOGIN_LIMIT)."""
    limit = limiter.limit(lambda: settings().login_limit, key_func=_limit_key, methods=["POST"])
    return cast(View, limit(view))


def _limit_key() -> str:
    """Return the limiter key: the user on account pages, elsewhere the known device or else the network."""
    if request.path.startswith("/account/") and current_user.is_authenticated:
        return f"user {current_identity().user_id}"
    pending = pending_login.get() if request.endpoint == "accounts.login_code" else None
    if device := known_devices.device_of(pending.email if pending else request.form.get("email", "")):
        return f"device {device}"
    return client_network()


@bp.route("/login", methods=["GET", "POST"])
@limited
def login() -> ViewResponse:
    form = LoginForm(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(safe_next(form.next.data), 303)
    if form.validate_on_submit():
        email = form.email.data
        try:
            is_complete = _log_in_by_password(email, form.password.data)
        except (Invalid, TooManyAttempts) as error:
            form.add_error(error)
        else:
            return _logged_in(email, form.next.data) if is_complete else _ask_for_code(email, form.next.data)
    return render_template("accounts/login.html", form=form), form.status, form.headers


def _logged_in(email: str, target: str | None) -> ViewResponse:
    return known_devices.remember(redirect(safe_next(target), 303), email)


def _ask_for_code(email: str, target: str | None) -> ViewResponse:
    pending_login.begin(email)
    return _to("accounts.login_code", target)


def _to(endpoint: str, target: str | None) -> ViewResponse:
    """Redirect to a page that goes on to `target`, unless that is the home page, where it goes anyway."""
    page = safe_next(target)
    return redirect(url_for(endpoint, next=page if page != "/" else None), 303)


@bp.route("/login/code", methods=["GET", "POST"])
@limited
def login_code() -> ViewResponse:
    """Ask for the code of the second factor, after the password."""
    form, pending = LoginCodeForm(next=request.args.get("next", "")), pending_login.get()
    if current_user.is_authenticated:
        return redirect(safe_next(form.next.data), 303)
    if pending is None:
        return _start_again(form, CODE_TOO_LATE)
    if form.validate_on_submit():
        try:
            _log_in_by_code(pending, form.code.data)
        except NotAuthenticated as error:
            return _start_again(form, error.sentence)
        except (Invalid, TooManyAttempts) as error:
            form.add_error(error)
        else:
            return _logged_in(pending.email, form.next.data)
    return render_template("accounts/login_code.html", form=form), form.status, form.headers


def _start_again(form: LoginCodeForm, sentence: str) -> ViewResponse:
    pending_login.end()
    flash(sentence, "warning")
    return _to("accounts.login", form.next.data)


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
            return _to("accounts.login", form.next.data)
    return render_template("accounts/register.html", form=form), form.status


@bp.post("/logout")
def logout() -> ViewResponse:
    if current_user.is_authenticated:
        services.commit(lambda: _end_login(current_identity()))
    logout_user()
    session.clear()
    flash("You have been logged out.", "info")
    return redirect("/", 303)


def _log_in_by_password(email: str, password: str) -> bool:
    """Log in, or return False if the account also needs a code; see `_log_in`."""
    check = partial(services.accounts().check_password, email, password)
    return _log_in(email, known_devices.login_limits(email), check, LoginAttempt(password=password))


def _log_in_by_code(pending: PendingLogin, code: str) -> None:
    """Log in somebody whose password was checked before; raises NotAuthenticated if the account has changed."""
    _log_in(pending.email, known_devices.code_limits(pending.email), pending.check, LoginAttempt(code=code))


def _log_in(
    email: str, limits: Sequence[AttemptLimit], check: Callable[[], CheckedPassword], entered: LoginAttempt
) -> bool:
    """Log in with a new cookie session, so that nothing from before the login is trusted after it.

    Returns False if the account needs a code that is not among what was `entered`. Flask-Login sends `user_logged_in`
    within the transaction of the login, so the visitor's cart is merged into the customer's if and only if the login
    commits. The session is cleared first, so that a retried transaction starts afresh; a failed login restores it. A
    repeated form is the same attempt for a password only: a code that was wrong may be right half a minute later.
    """
    accounts, session_before = services.accounts(), dict(session)
    key = form_key() if ONCE.fullmatch(request.form.get("key", "")) else ""
    is_known = bool(known_devices.device_of(email))
    attempt = entered._replace(form_key=key, user_agent=request.user_agent.string, known_device=is_known)

    def check_and_log_in() -> Identity | None:
        checked = check()
        return services.commit(lambda: log_in(checked))

    def log_in(checked: CheckedPassword) -> Identity | None:
        identity = accounts.log_in(checked, attempt)
        if identity is not None:
            session.clear()
            session.permanent = True
            login_user(identity)
        return identity

    try:
        identity = services.with_counted_attempt(limits, "" if entered.code else key, check_and_log_in)
    except Exception:
        if current_user.is_authenticated:  # set by `login_user` before the commit failed
            logout_user()
            session.clear()
            session.update(session_before)
        raise
    if identity is not None:
        session[NOTIFIED_SEEN] = accounts.notified_seen(identity.user_id)
    return identity is not None


def _end_login(me: Identity) -> None:
    """End this login and store how many notified pre-bookings the user has seen."""
    accounts = services.accounts()
    accounts.remember_notified_seen(me.user_id, session.get(NOTIFIED_SEEN, 0))
    if me.login_id is not None:
        accounts.log_out(me.login_id)
