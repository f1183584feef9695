"""Pages of login links: after one was sent, and behind it, where one button logs in and does what was started."""

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user

from bookshop.accounts import bp, known_devices, pending_login
from bookshop.accounts.browser import browser_id, is_browser_of, link_request, link_sent, sent_to
from bookshop.accounts.emails import key_of
from bookshop.accounts.forms import AddressForm
from bookshop.accounts.link_form import LinkForm
from bookshop.accounts.logging_in import link_not_valid, log_in_again, use_and_log_in
from bookshop.accounts.login_links import LinkNotValid, UsedLink
from bookshop.accounts.models import LOGIN, LoginLink
from bookshop.accounts.typing_mistakes import suggested_address
from bookshop.accounts.views import ViewResponse, limited
from bookshop.cart import cookie
from bookshop.catalog.views import address_of
from bookshop.kit.exceptions import Conflict, Invalid
from bookshop.orders.wording import THANKS
from bookshop.people.link_actions import Outcome, Performed, Started
from bookshop.web import services
from bookshop.web.navigation import flash_with_link, landing_page, safe_next

LISTS = {"order": "orders.orders", "reservations": "prebookings.reservations"}
FIRST_CONFIRMATION = (
    "Your address is confirmed. Anybody could have used this account before, so its password was erased."
)
RENEWED = "We've sent a new link to the same address, unless it had one in the last five minutes, or five today."


@bp.route("/login/sent", methods=["GET", "POST"])
@limited
def link_sent_page() -> ViewResponse:
    """Say where the link was sent and what it will do; a POST sends one to a corrected address."""
    address, links = sent_to(), services.login_links()
    form = AddressForm(email=address)
    if not address:
        return redirect(url_for("accounts.login"), 303)
    if form.validate_on_submit():
        wanted = link_request(form.email.data)
        try:
            return link_sent(services.commit(lambda: links.correct(wanted, address)))
        except Invalid as error:
            form.add_error(error)
    started = services.link_actions().list_started(key_of(address), {browser_id()})
    shown = {"address": address, "started": started, "suggestion": suggested_address(address)}
    return render_template("accounts/link_sent.html", form=form, **shown), form.status


@bp.route("/login/link/<token>", methods=["GET", "POST"])
@limited
def use_link(token: str) -> ViewResponse:
    """Show what the link does; its button does it. A GET, as by a scanner of e-mails, changes nothing."""
    try:
        return _repeated() or _use_link(token)
    except LinkNotValid as error:
        if pending_login.get():  # the first of two clicks has used the link
            return redirect(url_for("accounts.login_code"), 303)
        return link_not_valid(error, token)


@bp.post("/login/link/<token>/again")
@limited
def renew_link(token: str) -> ViewResponse:
    """Send a new link to the address of one that is not valid any more."""
    links = services.login_links()
    link = links.find_to_renew(token)
    device = known_devices.device_of(link.email)
    services.commit(lambda: links.renew(link, device))
    flash(RENEWED, "info")
    return redirect(url_for("catalog.home"), 303)


def _use_link(token: str) -> ViewResponse:
    link = services.login_links().find(token, LOGIN)
    started = _started(link)
    form = LinkForm(started, is_other_browser=not is_browser_of(link))
    status = form.status
    if form.validate_on_submit():
        try:
            return _press(token, link, form, started)
        except (Conflict, Invalid) as error:
            started, status = _started(link), form.refuse(error)
    form.show(started, link.next)
    return render_template("accounts/use_link.html", form=form, link=link, started=started), status


def _started(link: LoginLink) -> Started:
    """Return what was started in the browser that asked for the link and in this one, and in no other."""
    return services.link_actions().list_started(link.email_key, {link.browser, browser_id()})


def _repeated() -> ViewResponse | None:
    """Log in again if the same form has just done so: of two clicks, the browser may see only the second answer."""
    if not log_in_again():
        return None
    started = [page for name, page in LISTS.items() if name in request.form and current_user.is_customer]
    if started:
        flash("You are logged in.", "success")
    page = url_for(started[0]) if started else landing_page(request.form.get("next"))
    return _remembered(page, current_user.email, shared="shared" in request.form)


def _own_login(link: LoginLink) -> str | None:
    """Return the id of this browser's login, if it is one of the account with the address of the link."""
    is_own = current_user.is_authenticated and key_of(current_user.email) == link.email_key
    return current_user.login_id if is_own else None


def _press(token: str, link: LoginLink, form: LinkForm, started: Started) -> ViewResponse:
    """Log in and do what is wanted, in one transaction."""
    wanted, checkout, performed = form.wanted(started), form.checkout(), Performed()
    links, actions = services.login_links(), services.link_actions()

    def use() -> UsedLink:
        nonlocal performed
        used = links.use(token)
        performed = actions.perform(used.user, started, wanted, checkout)
        return used

    cookie.merge_only(form.entries_to_merge(wanted))
    used, identity = use_and_log_in(use, _own_login(link), shared=form.shared.data)
    if used is None:
        return _repeated() or redirect("/", 303)
    _report(used, performed)
    if identity is None:
        pending_login.begin(used.user.email, used.link_id, shared=form.shared.data)
        return redirect(url_for("accounts.login_code", next=safe_next(link.next)), 303)
    return _remembered(_next_page(link, wanted, performed), link.email, shared=form.shared.data)


def _remembered(page: str, email: str, *, shared: bool) -> ViewResponse:
    """Redirect to a page, with the cookie of a device that the account knows, unless others use the device."""
    response = redirect(page, 303)
    return response if shared else known_devices.remember(response, email)


def _report(used: UsedLink, performed: Performed) -> None:
    """Flash what the link has done, and what has changed meanwhile."""
    if used.ended is not None:
        flash(f"{FIRST_CONFIRMATION} {used.ended.sentence('device')}", "info")
    for outcome in performed.reservations:
        _report_reservation(outcome)
    if performed.order_id is not None:
        flash(THANKS[services.shop_details().wording], "success")
    elif performed.moved_to_cart:
        flash("Some books have sold out meanwhile. Nothing was ordered: choose what to do with each.", "warning")


def _report_reservation(outcome: Outcome) -> None:
    title, error = outcome.book.title, outcome.error
    if error is None:
        flash(f"Reserved: {title}. We'll e-mail you when it is back in stock.", "success")
    elif error.code == "PREBOOK_BOOK_IN_STOCK":
        link = {"link": address_of(outcome.book.id, title), "label": "Add it to your cart"}
        flash_with_link({"sentence": f"{title} is back in stock, so you can order it now.", **link}, "info")
    else:
        flash(f"{title}: {error.sentence}", "warning")


def _next_page(link: LoginLink, wanted: Started, performed: Performed) -> str:
    """Return the page that shows what was done."""
    if performed.order_id is not None:
        return url_for("orders.order", order_id=performed.order_id)
    if performed.moved_to_cart:
        return url_for("orders.checkout")
    if len(wanted.reservations) == 1:
        book = wanted.reservations[0].book
        return f"{address_of(book.id, book.title)}#availability"
    return url_for("prebookings.reservations") if wanted.reservations else landing_page(link.next)
