"""The list Ready to open: what to do before customers come, and whether it is done."""

from collections.abc import Callable, Mapping, Sequence

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from bookshop.accounts.views import ViewResponse
from bookshop.admin import bp
from bookshop.backups.repository import BackupRepository
from bookshop.catalog.repository import BookRepository
from bookshop.content.service import STARTER
from bookshop.content.views import blanks
from bookshop.extensions import settings
from bookshop.mailer import check_link
from bookshop.opening import checks
from bookshop.opening.checks import Check
from bookshop.opening.repository import OpeningRepository
from bookshop.opening.service import MAIL
from bookshop.web import opening, services
from bookshop.web.access import current_identity, owner_required, staff_required
from bookshop.web.forms import ShopForm

FOR_STAFF = (checks.BOOKS,)  # what booksellers can do, too
# The details in the texts of pages: in words, and the field in which owners enter them.
DETAILS = {
    "name": ("the name", "name"),
    "address": ("the address", "street"),
    "email": ("the e-mail address", "email"),
    "phone": ("the phone number", "phone"),
    "responsible": ("the person responsible", "responsible"),
    "registration": ("the registration", "registration"),
    "vat": ("the VAT number", "vat_number"),
}


def details_check() -> Check:
    return checks.check_details(services.shop_details())


def postage_check() -> Check:
    return checks.check_postage(services.shop_details())


def pages_check() -> Check:
    pages = services.content().list_pages(drafts=True)
    titles, missing = blanks()
    words = [DETAILS[name][0] for name in missing]
    return checks.check_pages([page.title for page in pages if page.state == STARTER], titles, words)


def books_check() -> Check:
    return checks.check_books(bool(services.repository(BookRepository).list_newest(1)))


def worker_check() -> Check:
    return checks.check_worker(opening.missing_loops())


def backup_check() -> Check:
    last = services.repository(BackupRepository).last()
    return checks.check_backup(last[1] if last else None, settings().backups is not None)


def mail_check() -> Check:
    passed_at = services.repository(OpeningRepository).passed_at(MAIL, check_link.fingerprint())
    problem = services.mail().problem(services.shop_details().mail_delay, passed_at)
    return checks.check_mail(bool(settings().smtp_url), passed_at is not None, problem)


def address_check() -> Check:
    return checks.check_address(settings().base_url, request.host_url.rstrip("/"))


def https_check() -> Check:
    return checks.check_https(settings().base_url, request.is_secure)


def proxies_check() -> Check:
    passed = [address for line in request.headers.getlist("X-Forwarded-For") for address in line.split(",")]
    return checks.check_proxies(len(passed), settings().trusted_proxies)


CHECKS: Sequence[Callable[[], Check]] = (
    *(address_check, https_check, proxies_check, worker_check, mail_check, backup_check),
    *(details_check, postage_check, pages_check, books_check),
)


def all_checks() -> Sequence[Check]:
    """Carry out all checks, with what this request shows of the address, HTTPS and proxies; none in a demo."""
    return [] if settings().demo else [check() for check in CHECKS]


@bp.get("/admin/ready")
@staff_required
def ready() -> ViewResponse:
    found = all_checks()
    mine = {check.key for check in found if current_user.is_owner or check.key in FOR_STAFF}
    return render_template("admin/ready.html", checks=found, mine=mine, links=_links(), form=ShopForm())


def _links() -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return where to do what each check asks for: what the link says, and its address."""
    fields = (DETAILS[name] for name in blanks()[1])
    missing = [(f"Enter {words}", url_for("admin.shop_details", _anchor=field)) for words, field in fields]
    return {
        checks.DETAILS: [("Go to Settings", url_for("admin.shop_details"))],
        checks.POSTAGE: [("Enter the postage", url_for("admin.shop_details", _anchor="postage"))],
        checks.PAGES: [*missing, ("Go to the pages", url_for("admin.pages"))],
        checks.MAIL_WORKS: [("Go to Mail", url_for("admin.mail"))],
        checks.BOOKS: [("Import a file", url_for("admin.imports"))],
    }


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
