"""Pages behind links in e-mails (confirm an address, reset a password, unsubscribe) and forms that request them."""

from flask import flash, redirect, render_template, request, url_for

from bookshop.accounts import bp, known_devices, signed_links
from bookshop.accounts.forms import ForgotForm, ResetForm
from bookshop.accounts.views import ViewResponse, limited
from bookshop.kit.exceptions import Invalid, NotFound
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required, login_required
from bookshop.web.forms import ShopForm

ALERTS = {
    "yes": "We'll e-mail you when a book that you reserved is back in stock.",
    "no": "We'll no longer e-mail you when a reserved book is back in stock. We'll still e-mail you about your orders.",
}
# We send an address one message of each kind in five minutes. The page must not reveal whether one was sent.
RESET_REQUESTED = (
    "If there is an account with this address, we've sent it a link that works once, within 30 minutes. If you asked"
    " less than five minutes ago, use the link that we sent you then."
)
CONFIRMATION_REQUESTED = (
    "We've sent a message to {}, unless we sent one in the last five minutes. If you can't find it, check your spam"
    " folder."
)


@bp.route("/password/forgot", methods=["GET", "POST"])
@limited
def forgot() -> ViewResponse:
    form = ForgotForm()
    if form.validate_on_submit():
        email_links = services.email_links()
        services.commit(lambda: email_links.request_reset(form.email.data))
        flash(RESET_REQUESTED, "info")
        return redirect(url_for("accounts.login"), 303)
    return render_template("accounts/forgot.html", form=form), form.status


@bp.route("/password/reset/<token>", methods=["GET", "POST"])
def reset(token: str) -> ViewResponse:
    """Set a new password; an expired or used link shows the form to request a new one."""
    try:
        return _reset(token)
    except NotFound as error:
        form = ForgotForm(formdata=None)
        return render_template("accounts/forgot.html", form=form, error=error.sentence), 404


def _reset(token: str) -> ViewResponse:
    form, email_links = ResetForm(), services.email_links()
    if form.validate_on_submit():
        try:
            email = services.commit(lambda: email_links.reset_password(token, form.new.data))
        except Invalid as error:
            form.add_error(error)
        else:
            flash("Your password has been changed, and you have been logged out. Log in with the new one.", "success")
            return known_devices.remember(redirect(url_for("accounts.login"), 303), email)
    email_links.check_reset(token)
    return render_template("accounts/reset.html", form=form), form.status


@bp.route("/confirm/<token>", methods=["GET", "POST"])
def confirm(token: str) -> ViewResponse:
    form, email_links = ShopForm(), services.email_links()
    user_id, email_key = signed_links.read(signed_links.CONFIRM, token)
    if form.validate_on_submit():
        services.commit(lambda: email_links.confirm(user_id, email_key))
        flash("Thank you. Your e-mail address is confirmed.", "success")
        return redirect(url_for("catalog.home"), 303)
    done = email_links.is_confirmed(user_id, email_key)
    return render_template("accounts/confirm.html", form=form, done=done, address=email_key), form.status


@bp.post("/account/confirm")
@login_required
@limited
def resend_confirmation() -> ViewResponse:
    me, email_links = current_identity(), services.email_links()
    services.commit(lambda: email_links.resend_confirmation(me.user_id))
    flash(CONFIRMATION_REQUESTED.format(me.email), "info")
    return redirect(url_for("accounts.account"), 303)


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
