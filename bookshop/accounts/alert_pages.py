"""Turn alerts on and off, also through a link in an e-mail."""

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


@bp.route("/unsubscribe/<token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> ViewResponse:
    """Turn off alerts; GET asks first. Mail programs POST here without cookies or a CSRF token (RFC 8058)."""
    user_id, people = signed_links.read(signed_links.UNSUBSCRIBE, token), services.people()
    if request.method == "POST":
        services.commit(lambda: people.set_alerts(user_id, False))
    return render_template("accounts/unsubscribe.html", done=request.method == "POST")


@bp.post("/account/alerts")
@customer_required
def alerts() -> ViewResponse:
    user_id, people, wanted = current_identity().user_id, services.people(), request.form.get("wanted", "")
    if wanted not in ALERTS:
        raise Invalid("Choose whether you want these e-mails.", "wanted")
    services.commit(lambda: people.set_alerts(user_id, wanted == "yes"))
    flash(ALERTS[wanted], "success")
    return redirect(url_for("accounts.account"), 303)
