"""The first visit: until somebody has an account, every page leads to the one that sets up the shop."""

import logging

from flask import current_app, flash, redirect, render_template, request, url_for

from bookshop.accounts.authentication import Identity, new_login_id
from bookshop.accounts.logging_in import attempt_of_request, commit_login, log_in_again
from bookshop.accounts.service import CheckedUser
from bookshop.accounts.views import ViewResponse
from bookshop.admin import bp
from bookshop.admin.set_up_form import SetUpForm
from bookshop.extensions import client_network, settings
from bookshop.kit.exceptions import Conflict, Invalid, TooManyAttempts
from bookshop.throttle.service import AttemptLimit
from bookshop.web import services
from bookshop.web.access import for_pages
from bookshop.web.navigation import absolute_url

log = logging.getLogger(__name__)

IS_OPEN, CODE_IS_LOGGED = "bookshop_is_open", "bookshop_code_is_logged"  # keys in `app.extensions`
FREE_ATTEMPTS, LONGEST_WAIT = 5, 15 * 60
ALREADY_OPEN = "This shop has been set up."


@bp.before_app_request
@for_pages
def lead_to_set_up() -> ViewResponse | None:
    """Lead to the page that sets up a new shop; a shop that has accounts is asked once in each process."""
    if current_app.extensions.get(IS_OPEN) or not _leads_away() or is_open():
        return None
    return redirect(url_for("admin.set_up"), 303)


def _leads_away() -> bool:
    """Whether this is a page that a new shop does not have: no file, no address for machines, nothing unknown."""
    endpoint = request.endpoint or "static"
    return endpoint != "admin.set_up" and not endpoint.endswith("static") and request.blueprint != "operations"


def is_open() -> bool:
    """Whether the shop has accounts, or is a demo. Otherwise the log gets the code that sets it up, once."""
    if current_app.extensions.get(IS_OPEN):
        return True
    opened = settings().demo or not services.opening().is_new()
    current_app.extensions[IS_OPEN] = opened
    if not opened and not current_app.extensions.get(CODE_IS_LOGGED):
        current_app.extensions[CODE_IS_LOGGED] = True
        page, code = absolute_url("admin.set_up"), services.opening().code()
        log.warning("this shop has no owner yet: open %s and enter the code %s", page, code)
    return opened


@bp.route("/setup", methods=["GET", "POST"])
def set_up() -> ViewResponse:
    """Set up a new shop, and log its first owner in; the form asks for the code in the log."""
    if is_open():
        if log_in_again():
            return redirect(url_for("admin.ready"), 303)
        flash(ALREADY_OPEN, "info")
        return redirect(url_for("accounts.login"), 303)
    form = SetUpForm()
    if form.validate_on_submit():
        try:
            _create(form)
        except (Invalid, Conflict, TooManyAttempts) as error:
            form.add_error(error)
        else:
            return redirect(url_for("admin.ready"), 303)
    page = render_template("admin/set_up.html", form=form)
    return page, form.status, form.headers


def _create(form: SetUpForm) -> None:
    """Check the code, then create the shop and its owner and log them in, in one transaction."""
    opening, accounts = services.opening(), services.accounts()
    details, email, password, code = form.details(), form.email.data, form.password.data, form.code.data
    login_id, entered = new_login_id(), attempt_of_request(email)

    def create_and_log_in() -> Identity | None:
        if entered.form_key and (repeated := accounts.claim_form(entered.form_key, login_id)):
            return repeated
        owner = opening.create(details, email, password, by_owner=True)
        attempt = entered._replace(form_key="", login_id=login_id)
        return accounts.log_in(CheckedUser(owner.id, owner.password_hash), attempt)

    def check_and_create() -> Identity | None:
        opening.check_code(code)
        return commit_login(create_and_log_in)

    limit = AttemptLimit(f"set up at {client_network()}", FREE_ATTEMPTS, LONGEST_WAIT)
    services.with_counted_attempt([limit], entered.form_key, check_and_create)
