"""The pages to which e-mail leads: an address confirmed, a new password, no more alerts; and those that ask for it."""

from flask import flash, redirect, render_template, request, url_for

from bookshop.accounts import bp, known_devices, signed_links
from bookshop.accounts.forms import ForgotForm, ResetForm
from bookshop.accounts.views import Answer, limited
from bookshop.kit.exceptions import Invalid, NotFound
from bookshop.web import services
from bookshop.web.access import current_identity, customer_required, login_required
from bookshop.web.forms import ShopForm

ALERTS = {
    "yes": "We write to you when a book that you reserved is back in stock.",
    "no": "We no longer write to you when a book that you reserved is back. E-mails about your orders still come.",
}
# Of each kind an address gets one message in five minutes, but nobody may learn here whether there was one to send.
ASKED = (
    "If there is an account with this address, we have just written to it. The link in it is good for 30 minutes."
    " If you asked a moment ago, it is the message that you have."
)
ASKED_TO_CONFIRM = "We have written to {}; at most once in five minutes. Please look among the unwanted mail, too."


@bp.route("/password/forgot", methods=["GET", "POST"])
@limited
def forgot() -> Answer:
    form = ForgotForm()
    if form.validate_on_submit():
        email_links = services.email_links()
        services.commit(lambda: email_links.ask_for_reset(form.email.data))
        flash(ASKED, "info")
        return redirect(url_for("accounts.login"), 303)
    return render_template("accounts/forgot.html", form=form), form.status


@bp.route("/password/reset/<token>", methods=["GET", "POST"])
def reset(token: str) -> Answer:
    """A new password; who comes with a link that is of no use any more can ask for another at once."""
    try:
        return _reset(token)
    except NotFound as refused:
        form = ForgotForm(formdata=None)
        return render_template("accounts/forgot.html", form=form, refused=refused.sentence), 404


def _reset(token: str) -> Answer:
    form, email_links = ResetForm(), services.email_links()
    if form.validate_on_submit():
        try:
            email = services.commit(lambda: email_links.reset_password(token, form.new.data))
        except Invalid as refused:
            form.add_error(refused)
        else:
            flash("Your password is changed, and you are logged out everywhere. Log in with the new one.", "success")
            return known_devices.remember(redirect(url_for("accounts.login"), 303), email)
    email_links.check_reset(token)
    return render_template("accounts/reset.html", form=form), form.status


@bp.route("/confirm/<token>", methods=["GET", "POST"])
def confirm(token: str) -> Answer:
    form, email_links = ShopForm(), services.email_links()
    user_id, email_key = signed_links.read(signed_links.CONFIRM, token)
    if form.validate_on_submit():
        services.commit(lambda: email_links.confirm(user_id, email_key))
        flash("Thank you, your e-mail address is confirmed.", "success")
        return redirect(url_for("catalog.home"), 303)
    done = email_links.is_confirmed(user_id, email_key)
    return render_template("accounts/confirm.html", form=form, done=done, address=email_key), form.status


@bp.post("/account/confirm")
@login_required
@limited
def ask_to_confirm() -> Answer:
    me, email_links = current_identity(), services.email_links()
    services.commit(lambda: email_links.ask_to_confirm(me.user_id))
    flash(ASKED_TO_CONFIRM.format(me.email), "info")
    return redirect(url_for("accounts.account"), 303)


@bp.route("/unsubscribe/<token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> Answer:
    """Asks, or does it at once: mail programs post here for their readers, without cookies or CSRF token (RFC 8058)."""
    user_id, email_links = signed_links.read(signed_links.UNSUBSCRIBE, token), services.email_links()
    if request.method == "POST":
        services.commit(lambda: email_links.set_alerts(user_id, False))
    return render_template("accounts/unsubscribe.html", done=request.method == "POST")


@bp.post("/account/alerts")
@customer_required
def alerts() -> Answer:
    user_id, email_links, wanted = current_identity().user_id, services.email_links(), request.form.get("wanted", "")
    if wanted not in ALERTS:
        raise Invalid("Please say whether you want these e-mails.", "wanted")
    services.commit(lambda: email_links.set_alerts(user_id, wanted == "yes"))
    flash(ALERTS[wanted], "success")
    return redirect(url_for("accounts.account"), 303)
