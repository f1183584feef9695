"""Staff's pages about webhooks: which there are, what waits or failed, and the log of each with its buttons."""

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.forms import WebhookForm
from bookshop.admin.views import Answer
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Invalid
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page, safe_next
from bookshop.webhooks.models import DELIVERED, FAILED, MOST_WEBHOOKS, QUEUED, SENDING

WEBHOOK = "/admin/webhooks/<int:webhook_id>"
SIZE = 50
TABS = {"": "All", "waiting": "To deliver", FAILED: "Failed", DELIVERED: "Delivered"}
STATES = {"waiting": (QUEUED, SENDING), FAILED: (FAILED,), DELIVERED: (DELIVERED,)}


@bp.route("/admin/webhooks", methods=["GET", "POST"])
@staff_required
def webhooks() -> Answer:
    form = WebhookForm()
    if form.validate_on_submit():
        try:
            webhook_id = services.register_webhook(current_identity().user_id, form.url.data, form.kinds.data)
        except (Conflict, Invalid) as refused:
            form.add_error(refused)
        else:
            flash("The webhook is registered. Give its secret to the program that listens there.", "success")
            return redirect(url_for("admin.webhook", webhook_id=webhook_id), 303)
    found = services.webhooks().list_all()
    return render_template("admin/webhooks.html", found=found, form=form, most=MOST_WEBHOOKS), form.status


@bp.get(WEBHOOK)
@staff_required
def webhook(webhook_id: int) -> Answer:
    asked = request.args.get("state", "")
    tab = asked if asked in TABS else ""
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
def redeliver(webhook_id: int, delivery_id: int) -> Response:
    found = services.commit(lambda: services.webhooks().redeliver(webhook_id, delivery_id))
    flash(f"Event {found.position} is to be delivered again now.", "success")
    there = request.form.get("next", url_for("admin.webhook", webhook_id=webhook_id))
    return redirect(safe_next(there), 303)


@bp.post(f"{WEBHOOK}/delete")
@staff_required
def delete_webhook(webhook_id: int) -> Response:
    services.commit(lambda: services.webhooks().delete(webhook_id))
    flash("The webhook is deleted. Its address is told nothing any more.", "success")
    return redirect(url_for("admin.webhooks"), 303)
