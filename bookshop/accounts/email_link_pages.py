"""Turn alerts on and off, also through a link in an e-mail; lead old links to the login page."""

from flask import flash, redirect, render_template, request, url_for

from bookshop.accounts import bp, signed_links
from bookshop.accounts.views import ViewResponse
from bookshop.kit.exceptions import Invalid
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required

ALERTS = {
    "yes": "We'll e-mail you when a book that you reserved is back in stock.",
    "no": "We'll no longer e-mail you when a reserved book is back in stock. We'll still e-mail you about your orders.",
}
OLD_LINK = "This link is from an older message. Enter your e-mail address, and we'll send you a new one."


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


@bp.route("/unsubscribe/<token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> ViewResponse:
    """Turn off alerts; GET asks first. Mail programs POST here without cookies or a CSRF token (RFC 8058)."""
    user_id, email_links = signed_links.read(signed_links.UNSUBSCRIBE, token), services.email_links()
    if request.method == "POST":
        services.commit(lambda: email_links.set_alerts(user_id, False))
    return render_template("accounts/unsubscribe.html", done=request.method == "POST")


@bp.post("/account/alerts")
@customer_required
def alerts() -> ViewResponse:
    user_id, email_links, wanted = current_identity().user_id, services.email_links(), request.form.get("wanted", "")
    if wanted not in ALERTS:
        raise Invalid("Choose whether you want these e-mails.", "wanted")
    services.commit(lambda: email_links.set_alerts(user_id, wanted == "yes"))
    flash(ALERTS[wanted], "success")
    return redirect(url_for("accounts.account"), 303)
