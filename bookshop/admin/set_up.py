"""The first visit: until somebody has an account, every page leads to the one that sets up the shop."""

from flask import flash, redirect, render_template, request, url_for

from bookshop.accounts.authentication import Identity, new_login_id
from bookshop.accounts.logging_in import attempt_of_request, commit_login, log_in_again
from bookshop.accounts.service import CheckedUser
from bookshop.accounts.views import ViewResponse
from bookshop.admin import bp
from bookshop.admin.set_up_form import SetUpForm
from bookshop.extensions import client_network
from bookshop.kit.exceptions import Conflict, Invalid, TooManyAttempts
from bookshop.throttle.service import AttemptLimit
from bookshop.web import attempts, opening, services
from bookshop.web.access import for_pages

FREE_ATTEMPTS, LONGEST_WAIT = 5, 15 * 60
NOT_PAGES = frozenset(("admin.set_up", "catalog.robots", "catalog.sitemaps", "catalog.sitemap"))
ALREADY_OPEN = "This shop has been set up."


@bp.before_app_request
@for_pages
def lead_to_set_up() -> ViewResponse | None:
    """Lead to the page that sets up a new shop; a shop that has accounts is asked once in each process."""
    if not _leads_away() or opening.is_open():
        return None
    return redirect(url_for("admin.set_up"), 303)


def _leads_away() -> bool:
    """Whether this is a page that a new shop does not have: no file, no address for machines, nothing unknown."""
    endpoint = request.endpoint or "static"
    return not (endpoint in NOT_PAGES or endpoint.endswith("static") or request.blueprint == "operations")


@bp.route("/setup", methods=["GET", "POST"])
def set_up() -> ViewResponse:
    """Set up a new shop, and log its first owner in; the form asks for the code in the log."""
    if opening.is_open():
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
    new_shop, accounts = opening.service(), services.accounts()
    details, email, password, code = form.details(), form.email.data, form.password.data, form.code.data
    login_id, entered = new_login_id(), attempt_of_request(email)

    def create_and_log_in() -> Identity | None:
        if entered.form_key and (repeated := accounts.claim_form(entered.form_key, login_id)):
            return repeated
        owner = new_shop.create(details, email, password, by_owner=True)
        attempt = entered._replace(form_key="", login_id=login_id)
        return accounts.log_in(CheckedUser(owner.id, owner.password_hash), attempt)

    def check_and_create() -> Identity | None:
        new_shop.check_code(code)
        return commit_login(create_and_log_in)

    limit = AttemptLimit(f"set up at {client_network()}", FREE_ATTEMPTS, LONGEST_WAIT)
    attempts.with_counted_attempt([limit], entered.form_key, check_and_create)
