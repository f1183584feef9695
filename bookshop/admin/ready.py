"""The list Ready to open: what to do before customers come, and whether it is done."""

from collections.abc import Callable, Sequence

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts.views import ViewResponse
from bookshop.admin import bp
from bookshop.backups.repository import BackupRepository
from bookshop.catalog.repository import BookRepository
from bookshop.content.service import STARTER
from bookshop.extensions import settings
from bookshop.mailer import check_link
from bookshop.opening import checks
from bookshop.opening.checks import Check
from bookshop.opening.repository import OpeningRepository
from bookshop.opening.service import MAIL
from bookshop.web import opening, services
from bookshop.web.access import current_identity, owner_required, staff_required
from bookshop.web.forms import ShopForm

# Where to do what a check asks for, and what the link says: for owners, or for all staff.
FOR_OWNERS = {
    checks.DETAILS: ("admin.shop_details", "Go to Settings"),
    checks.PAGES: ("admin.pages", "Go to the pages"),
}
FOR_STAFF = {checks.BOOKS: ("admin.imports", "Import a file")}


def details_check() -> Check:
    return checks.check_details(services.shop_details())


def pages_check() -> Check:
    pages = services.content().list_pages(drafts=True)
    return checks.check_pages([page.title for page in pages if page.state == STARTER])


def books_check() -> Check:
    return checks.check_books(bool(services.repository(BookRepository).list_newest(1)))


def worker_check() -> Check:
    return checks.check_worker(opening.missing_loops())


def backup_check() -> Check:
    last = services.repository(BackupRepository).last()
    return checks.check_backup(last[1] if last else None, settings().backups is not None)


def mail_check() -> Check:
    has_arrived = services.repository(OpeningRepository).has_passed(MAIL, check_link.fingerprint())
    return checks.check_mail(bool(settings().smtp_url), has_arrived)


def address_check() -> Check:
    return checks.check_address(settings().base_url, request.host_url.rstrip("/"))


def https_check() -> Check:
    return checks.check_https(settings().base_url, request.is_secure)


def proxies_check() -> Check:
    passed = [address for line in request.headers.getlist("X-Forwarded-For") for address in line.split(",")]
    return checks.check_proxies(len(passed), settings().trusted_proxies)


CHECKS: Sequence[Callable[[], Check]] = (
    *(address_check, https_check, proxies_check, worker_check, mail_check, backup_check),
    *(details_check, pages_check, books_check),
)


def all_checks() -> Sequence[Check]:
    """Carry out all checks, with what this request shows of the address, HTTPS and proxies; none in a demo."""
    return [] if settings().demo else [check() for check in CHECKS]


@bp.get("/admin/ready")
@staff_required
def ready() -> ViewResponse:
    links = FOR_STAFF | (FOR_OWNERS if current_user.is_owner else {})
    return render_template("admin/ready.html", checks=all_checks(), links=links, form=ShopForm())


@bp.post("/admin/ready/mail")
@owner_required
def send_check() -> Response:
    me = current_identity()
    services.commit(lambda: services.mail().queue_check(me.user_id, me.email))
    flash(f"We've sent a message to {me.email}. Follow the link in it.", "success")
    return redirect(url_for("admin.ready"), 303)


@bp.route("/admin/ready/mail/<token>", methods=["GET", "POST"])
def confirm_mail(token: str) -> ViewResponse:
    """Record that a message has arrived; GET asks first, as programs that check links for viruses open them, too."""
    fingerprint, form = check_link.fingerprint_of(token), ShopForm()
    is_current = fingerprint == check_link.fingerprint()
    is_done = is_current and form.validate_on_submit()
    if is_done:
        services.commit(lambda: opening.service().record_passed(MAIL, fingerprint))
    page = render_template("admin/mail_arrived.html", form=form, is_done=is_done, is_current=is_current)
    return page, 200 if is_done else form.status
