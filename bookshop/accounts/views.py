"""Log in, which also signs up, and log out."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from flask import Response, flash, redirect, render_template, request, session, url_for
from flask_login import current_user, logout_user
from werkzeug.exceptions import TooManyRequests
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts import bp, known_devices, pending_login
from bookshop.accounts.authentication import Identity, token_hash
from bookshop.accounts.browser import link_request, link_sent
from bookshop.accounts.forms import LoginCodeForm, LoginForm, PasswordLoginForm
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.logging_in import attempt_of_request, commit_login, end_login
from bookshop.accounts.pending_login import PendingLogin
from bookshop.accounts.service import CheckedUser, LoginAttempt
from bookshop.extensions import client_network, limiter, settings
from bookshop.kit.exceptions import Invalid, NotAuthenticated, TooManyAttempts
from bookshop.throttle.service import AttemptLimit
from bookshop.web import attempts, services
from bookshop.web.access import View, current_identity
from bookshop.web.navigation import landing_page, safe_next
from bookshop.web.rate_limits import seconds_until_reset

CODE_TOO_LATE = "The code has to follow within 10 minutes. Please log in again."
OLD_LINK = "This link is from an older message. Enter your e-mail address, and we'll send you a new one."
ViewResponse = str | tuple[str, int] | tuple[str, int, dict[str, str]] | Response | AnyResponse


def limited(view: View) -> View:
    """Limit how often the form of this page is sent (BOOKSHOP_LOGIN_LIMIT)."""
    limit = limiter.limit(lambda: settings().login_limit, key_func=_limit_key, methods=["POST"])
    return cast(View, limit(view))


def _limit_key() -> str:
    """Return the limiter key: the user on account pages, elsewhere the known device or else the network.

    A link in an e-mail has a limit of its own: others in the same network cannot keep it from working.
    """
    if request.path.startswith("/account/") and current_user.is_authenticated:
        return f"user {current_identity().user_id}"
    token = (request.view_args or {}).get("token")
    if token and services.repository(LinkRepository).find(token_hash(token)):
        return f"link {token_hash(token)}"
    pending = pending_login.get() if request.endpoint == "accounts.login_code" else None
    if device := known_devices.device_of(pending.email if pending else request.form.get("email", "")):
        return f"device {device}"
    return client_network()


def count_form() -> None:
    """Count this form as `limited` does, in a view that shows it again with what was typed; raises TooManyAttempts."""
    try:
        _count()
    except TooManyRequests:
        raise TooManyAttempts(seconds_until_reset(), "attempts") from None


@limited
def _count() -> None:
    """Count this request."""


@bp.route("/login", methods=["GET", "POST"])
@limited
def login() -> ViewResponse:
    """Ask for the address, then send a link, or ask for the password; signing up is the same."""
    with_password = "password" in request.form
    form = (PasswordLoginForm if with_password else LoginForm)(next=request.args.get("next", ""))
    if current_user.is_authenticated:
        return redirect(landing_page(form.next.data), 303)
    if form.validate_on_submit():
        if with_password:
            return _check_password(form)
        if form.with_password.data:
            return _show_password_form(PasswordLoginForm(formdata=None, data=form.data), 200)
        return _send_link(form)
    return _show_password_form(form, form.status) if with_password else _show_login_form(form)


def _show_login_form(form: LoginForm) -> ViewResponse:
    return render_template("accounts/login.html", form=form), form.status, form.headers


def _show_password_form(form: PasswordLoginForm, status: int) -> ViewResponse:
    return render_template("accounts/login_password.html", form=form), status, form.headers


def _send_link(form: LoginForm) -> ViewResponse:
    links, wanted = services.login_links(), link_request(form.email.data, form.next.data)
    try:
        return link_sent(services.commit(lambda: links.request(wanted)))
    except Invalid as error:
        form.add_error(error)
        return _show_login_form(form)


def _check_password(form: PasswordLoginForm) -> ViewResponse:
    email = form.email.data
    try:
        is_complete = _log_in_by_password(email, form.password.data, shared=form.shared.data)
    except (Invalid, TooManyAttempts) as error:
        form.add_error(error)
        return _show_password_form(form, form.status)
    return _logged_in(email, form) if is_complete else _ask_for_code(form)


def _logged_in(email: str, form: PasswordLoginForm | LoginCodeForm) -> ViewResponse:
    response = redirect(landing_page(form.next.data), 303)
    return response if form.shared.data else known_devices.remember(response, email)


def _ask_for_code(form: PasswordLoginForm) -> ViewResponse:
    pending_login.begin(form.email.data, shared=form.shared.data)
    return _to("accounts.login_code", form.next.data)


def _to(endpoint: str, target: str | None) -> ViewResponse:
    """Redirect to a page that goes on to `target`, unless that is the home page, where it goes anyway."""
    page = safe_next(target)
    return redirect(url_for(endpoint, next=page if page != "/" else None), 303)


@bp.route("/login/code", methods=["GET", "POST"])
@limited
def login_code() -> ViewResponse:
    """Ask for the code of the second factor, after the password or the link."""
    pending = pending_login.get()
    form = LoginCodeForm(next=request.args.get("next", ""), shared=pending is not None and pending.shared)
    if current_user.is_authenticated:
        return redirect(landing_page(form.next.data), 303)
    if pending is None:
        return _start_again(form, CODE_TOO_LATE)
    if form.validate_on_submit():
        try:
            _log_in_by_code(pending, form)
        except NotAuthenticated as error:
            return _start_again(form, error.sentence)
        except (Invalid, TooManyAttempts) as error:
            form.add_error(error)
        else:
            return _logged_in(pending.email, form)
    return render_template("accounts/login_code.html", form=form), form.status, form.headers


def _start_again(form: LoginCodeForm, sentence: str) -> ViewResponse:
    pending_login.end()
    flash(sentence, "warning")
    return _to("accounts.login", form.next.data)


@bp.get("/register")
@bp.get("/password/forgot")
@bp.get("/password/reset/<token>")
@bp.get("/confirm/<token>")
def old_page(token: str = "") -> ViewResponse:
    """Lead from addresses of older messages and bookmarks to the page that has replaced them."""
    if token:
        flash(OLD_LINK, "info")
    target = "/account/password" if request.path.startswith("/password") else request.args.get("next")
    return redirect(url_for("accounts.login", next=target), 303)


@bp.post("/logout")
def logout() -> ViewResponse:
    if current_user.is_authenticated:
        services.commit(lambda: end_login(current_identity()))
    logout_user()
    session.clear()
    flash("You have been logged out.", "info")
    return redirect("/", 303)


def _log_in_by_password(email: str, password: str, *, shared: bool) -> bool:
    """Log in, or return False if the account also needs a code; see `_log_in`."""
    check = partial(services.accounts().check_password, email, password)
    entered = attempt_of_request(email)._replace(password=password)
    return _log_in(known_devices.login_limits(email), check, entered, shared=shared)


def _log_in_by_code(pending: PendingLogin, form: LoginCodeForm) -> None:
    """Log in somebody whose password or link was checked before; raises NotAuthenticated if the account has changed."""
    entered = attempt_of_request(pending.email)._replace(code=form.code.data, link_id=pending.link_id or None)
    _log_in(known_devices.code_limits(pending.email), pending.check, entered, shared=form.shared.data)


def _log_in(
    limits: Sequence[AttemptLimit], check: Callable[[], CheckedUser], entered: LoginAttempt, *, shared: bool
) -> bool:
    """Check and log in; returns False if the account needs a code that is not among what was `entered`.

    A repeated form is the same attempt for a password only: a code that was wrong may be right half a minute later.
    """
    accounts = services.accounts()

    def check_and_log_in() -> Identity | None:
        checked = check()
        return commit_login(lambda: accounts.log_in(checked, entered), shared=shared)

    key = "" if entered.code else entered.form_key
    return attempts.with_counted_attempt(limits, key, check_and_log_in) is not None
