"""Registering, logging in and logging out."""

from collections.abc import Sequence
from typing import cast

from flask import Response, flash, redirect, render_template, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response as AnyResponse

from bookshop.accounts import bp, known_devices
from bookshop.accounts.forms import LoginForm, RegisterForm
from bookshop.accounts.identity import Identity
from bookshop.accounts.service import Checked
from bookshop.cart import visitors
from bookshop.extensions import limiter, network_of_visitor, settings
from bookshop.idempotency.views import form_key
from bookshop.kit.exceptions import Invalid, TooManyAttempts
from bookshop.kit.text import shortened
from bookshop.web import services
from bookshop.web.access import View, visitor
from bookshop.web.forms import ONCE
from bookshop.web.navigation import safe_next

NOTIFIED_SEEN = "notified_seen"
# The same for an address that is known: nobody learns here who is a customer.
SIGNED_UP = (
    "Thank you! We have written to {}: our message says how to go on. If your account is new, you can log in at once."
)
Answer = str | tuple[str, int] | tuple[str, int, dict[str, str]] | Response | AnyResponse


@limiter.request_filter
def has_no_limits() -> bool:
    """Spare all other requests the search for limits, which takes as long as two statements of SQL.

    A limit on a view of another blueprint counts for nothing until this lets that blueprint through.
    """
    return request.blueprint != bp.name


def limited(view: View) -> View:
    """Let nobody send the form of this page more often than BOOKSHOP_LOGIN_LIMIT says."""
    limit = limiter.limit(lambda: settings().login_limit, key_func=_who_counts, methods=["POST"])
    return cast(View, limit(view))


def _who_counts() -> str:
    """By what forms are counted: on pages of an account by its user, elsewhere by the known device or the network."""
    if request.path.startswith("/account/") and current_user.is_authenticated:
        return f"user {visitor().user_id}"
    if device := known_devices.device_of(request.form.get("email", "")):
        return f"device {device}"
    return network_of_visitor()


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
        mailbox = services.mailbox()
        try:
            services.commit(lambda: mailbox.sign_up(form.email.data, form.password.data))
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
        services.commit(lambda: _end(visitor()))
    logout_user()
    session.clear()
    flash("You are logged out.", "info")
    return redirect("/", 303)


def _log_in(form: LoginForm) -> None:
    """Log in on this device with a new cookie session, so that nothing from before the login is trusted after it.

    But for the visitor's cart, which becomes part of the customer's in the same transaction.
    """
    accounts, cart, wanted = services.accounts(), services.cart(), visitors.entries()
    email, password = form.email.data, form.password.data
    sent = form_key() if ONCE.fullmatch(request.form.get("key", "")) else ""

    def enter() -> tuple[Identity, Sequence[str]]:
        checked = accounts.check_password(email, password)
        return services.commit(lambda: admit(checked))

    def admit(checked: Checked) -> tuple[Identity, Sequence[str]]:
        identity = accounts.log_in(checked, password, request.user_agent.string, sent)
        return identity, cart.merge(identity.user_id, wanted) if wanted and identity.is_customer else ()

    identity, left_out = services.prove(known_devices.lanes_of_login(email), sent, enter)
    session.clear()
    session.permanent = True
    login_user(identity)
    session[NOTIFIED_SEEN] = accounts.notified_seen(identity.user_id)
    if left_out:
        flash(f"Your cart is full, so it does not hold {_some(left_out)}.", "warning")
    elif wanted and identity.is_staff:
        flash("Staff accounts have no cart, so what you had put into one is not kept.", "info")


def _some(titles: Sequence[str]) -> str:
    """The first titles, and how many more there are."""
    named = ", ".join(shortened(title) for title in titles[:3])
    return f"{named} and {len(titles) - 3} more" if len(titles) > 3 else named


def _end(me: Identity) -> None:
    """End this login, and remember for the next what its visitor has seen."""
    accounts = services.accounts()
    accounts.remember_notified_seen(me.user_id, session.get(NOTIFIED_SEEN, 0))
    if me.login_id is not None:
        accounts.log_out(me.login_id)
