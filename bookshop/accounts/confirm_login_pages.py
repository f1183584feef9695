"""The page that asks whether it is you before a sensitive action: by a password, a code or a link."""

from flask import redirect, request, url_for

from bookshop.accounts import bp
from bookshop.accounts.browser import link_request
from bookshop.accounts.views import ViewResponse, limited
from bookshop.kit.exceptions import Invalid, TooManyAttempts
from bookshop.web import fresh_login, services
from bookshop.web.access import current_identity, login_required
from bookshop.web.navigation import own_path, safe_next


@bp.route("/account/confirm-login", methods=["GET", "POST"])
@login_required
@limited
def confirm_login() -> ViewResponse:
    """Ask for the password, a code or a link, then go on to the page that needs it."""
    me = current_identity()
    form = fresh_login.form_for(me, request.args.get("next", ""))
    target = safe_next(form.next.data)
    if me.is_fresh:
        return redirect(target, 303)
    if fresh_login.is_entered() and form.validate_on_submit():
        try:
            fresh_login.confirm(me, request.form[fresh_login.CONFIRMATION])
        except (Invalid, TooManyAttempts) as error:
            fresh_login.add_refusal(form, error)
        else:
            return redirect(target, 303)
    page = fresh_login.page(form, url_for("accounts.confirm_login", next=form.next.data or None), target)
    return page, form.status, form.headers


@bp.post("/account/confirm-login/link")
@login_required
@limited
def send_confirm_link() -> ViewResponse:
    """E-mail a link to the user's own address, and keep everything that was typed for when it has been used.

    In this browser, the link makes this login fresh; elsewhere it only logs in there.
    """
    me, target = current_identity(), safe_next(request.args.get("next"))
    form, links, wanted = fresh_login.form_for(me), services.login_links(), link_request(me.email, target)
    if form.by_link:
        services.commit(lambda: links.request(wanted))
    action = own_path(request.args.get("action")) or url_for("accounts.confirm_login", next=target)
    return fresh_login.page(form, action, target, link_sent=form.by_link)
