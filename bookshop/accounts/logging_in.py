"""Begin and end a login in this browser, together with its cookie session."""

from collections.abc import Callable

from flask import render_template, request, session
from flask_login import current_user, login_user, logout_user

from bookshop.accounts import known_devices
from bookshop.accounts.authentication import Identity, new_login_id
from bookshop.accounts.login_links import LinkNotValid, UsedLink
from bookshop.accounts.service import CheckedUser, LoginAttempt
from bookshop.cart import cookie
from bookshop.web import services
from bookshop.web.access import current_identity
from bookshop.web.forms import ONCE, ShopForm, has_csrf_token
from bookshop.web.sent_forms import form_key

NOTIFIED_SEEN = "notified_seen"


def commit_login(log_in: Callable[[], Identity | None], *, shared: bool = False) -> Identity | None:
    """Commit a login with a new cookie session, so that nothing from before the login is trusted after it.

    `log_in` returns None if the account needs a code that is still missing. If it returns the login that this browser
    already has, the session stays as it is. The session of a `shared` device ends with the browser. Flask-Login sends
    `user_logged_in` within the transaction, so the visitor's cart is merged into the customer's if and only if the
    login commits. The session is cleared first, so that a retried transaction starts afresh; a failure restores it.
    """
    session_before, login_before = dict(session), getattr(current_user, "login_id", None)

    def work() -> Identity | None:
        identity = log_in()
        if identity is not None and identity.login_id != login_before:
            session.clear()
            login_user(identity)
            session.permanent = True
        return identity

    try:
        identity = services.commit(work, lock_role=False)
    except Exception:
        if getattr(current_user, "login_id", None) != login_before:  # set by `login_user` before the commit failed
            logout_user()
        session.clear()
        session.update(session_before)
        raise
    if identity is not None and shared:
        session.permanent = False
    if identity is not None:
        session[NOTIFIED_SEEN] = services.accounts().notified_seen(identity.user_id)
    return identity


def attempt_of_request(email: str) -> LoginAttempt:
    """Return what this request says about its browser, for a login with this address."""
    key = form_key() if ONCE.fullmatch(request.form.get("key", "")) else ""
    is_known = bool(known_devices.device_of(email))
    return LoginAttempt(form_key=key, user_agent=request.user_agent.string, known_device=is_known)


def use_and_log_in(
    use: Callable[[], UsedLink], own_login: str | None, *, shared: bool
) -> tuple[UsedLink | None, Identity | None]:
    """Use a link and log in by it, in one transaction; returns the link, and the login unless a code is missing.

    `own_login` is this browser's login of the same account, which is made fresh; that of another account ends. A second
    factor is never replaced: the login of an account that has one stays as it is. Returns no link if the same form has
    just used it: see `log_in_again`.
    """
    accounts, key, used = services.accounts(), form_key(), list[UsedLink]()
    # Before the transaction, which changes the user, and may run again.
    me = current_identity() if current_user.is_authenticated else None

    def work() -> Identity | None:
        used.clear()
        login_id = own_login or new_login_id()
        if repeated := accounts.claim_form(key, login_id):
            return repeated
        used.append(use())
        return _log_in(used[0], login_id, me)

    identity = commit_login(work, shared=shared)
    return (used[0] if used else None), identity


def _log_in(used: UsedLink, login_id: str, me: Identity | None) -> Identity | None:
    accounts, user = services.accounts(), used.user
    if me is not None and me.user_id == user.id:
        return accounts.refresh_login(me, used.link_id) or me
    if me is not None:
        end_login(me)
    attempt = attempt_of_request(user.email)._replace(link_id=used.link_id, login_id=login_id)
    return accounts.log_in(CheckedUser(user.id, user.password_hash), attempt)


def log_in_again() -> bool:
    """Log in as this form has just done: of two clicks, the browser may see only the second answer.

    Merges no cart, as the first request has. Returns False if this form has not logged in.
    """
    if request.method != "POST" or not ONCE.fullmatch(request.form.get("key", "")):
        return False
    identity = services.accounts().login_by_form(form_key())
    if identity is None or identity.login_id == getattr(current_user, "login_id", None):
        return identity is not None
    if has_csrf_token():  # or another site could log its visitors in to an account of its own
        cookie.merge_only([])
        commit_login(lambda: identity, shared="shared" in request.form)
        return True
    return False


def link_not_valid(error: LinkNotValid, token: str) -> tuple[str, int]:
    """Return the page that says that a link does not work, and offers a new one where there can be one."""
    page = render_template("accounts/link_not_valid.html", error=error, form=ShopForm(formdata=None), token=token)
    return page, 404


def end_login(me: Identity) -> None:
    """End this login and store how many notified pre-bookings the user has seen."""
    accounts = services.accounts()
    accounts.remember_notified_seen(me.user_id, session.get(NOTIFIED_SEEN, 0))
    if me.login_id is not None:
        accounts.log_out(me.login_id)
