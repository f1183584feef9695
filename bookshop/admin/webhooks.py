"""The staff pages about webhooks: the list, and each webhook with its delivery log."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.forms import WebhookForm
from bookshop.admin.views import ViewResponse
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid
from bookshop.web import services
from bookshop.web.access import current_identity, fresh_login_required, require_fresh_login, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page, safe_next
from bookshop.webhooks.models import DELIVERED, FAILED, MAX_WEBHOOKS, QUEUED, SENDING

WEBHOOK = "/admin/webhooks/<int:webhook_id>"
SIZE = 50
TABS = {"": "All", "waiting": "To deliver", FAILED: "Failed", DELIVERED: "Delivered"}
STATES = {"waiting": (QUEUED, SENDING), FAILED: (FAILED,), DELIVERED: (DELIVERED,)}


@bp.route("/admin/webhooks", methods=["GET", "POST"])
@staff_required
def webhooks() -> ViewResponse:
    if request.method == "POST":
        require_fresh_login()
    form = WebhookForm()
    if form.validate_on_submit():
        try:
            webhook_id = services.register_webhook(current_identity().user_id, form.url.data, form.kinds.data)
        except (Conflict, Invalid) as error:
            form.add_error(error)
        else:
            flash("The webhook has been registered. Enter its secret in the receiving program.", "success")
            return redirect(url_for("admin.webhook", webhook_id=webhook_id), 303)
    found = services.webhooks().list_all()
    return render_template("admin/webhooks.html", found=found, form=form, max_webhooks=MAX_WEBHOOKS), form.status


@bp.get(WEBHOOK)
@staff_required
@fresh_login_required
def webhook(webhook_id: int) -> ViewResponse:
    state = request.args.get("state", "")
    tab = state if state in TABS else ""
    return render_list(
        "admin/webhook.html",
        services.webhooks().list_deliveries(webhook_id, STATES.get(tab, ()), requested_page(), SIZE),
        webhook=services.webhooks().get(webhook_id),
        tab=tab,
        tabs=TABS,
        now=now(),
        form=ShopForm(),
    )


@bp.post(f"{WEBHOOK}/deliveries/<int:delivery_id>/redeliver")
@staff_required
@fresh_login_required
def redeliver(webhook_id: int, delivery_id: int) -> Response:
    delivery = services.commit(lambda: services.webhooks().redeliver(webhook_id, delivery_id))
    flash(f"Event {delivery.position} will be delivered now.", "success")
    next_page = request.form.get("next", url_for("admin.webhook", webhook_id=webhook_id))
    return redirect(safe_next(next_page), 303)


@bp.post(f"{WEBHOOK}/delete")
@staff_required
@fresh_login_required
def delete_webhook(webhook_id: int) -> Response:
    services.commit(lambda: services.webhooks().delete(webhook_id))
    flash("The webhook has been deleted. Its address will receive no more events.", "success")
    return redirect(url_for("admin.webhooks"), 303)
