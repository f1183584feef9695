"""Staff's page for a delivery: many books at once, scanned or typed, looked at and then received."""

from flask import render_template

from bookshop.admin import bp
from bookshop.admin.forms import DeliveryForm
from bookshop.admin.views import Answer, leaving, queued_again
from bookshop.alerts.repository import AlertRepository
from bookshop.inventory.service import Delivery
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required


@bp.route("/admin/delivery", methods=["GET", "POST"])
@staff_required
def delivery() -> Answer:
    form = DeliveryForm()
    if not form.validate_on_submit():
        return render_template("admin/delivery.html", form=form), form.status
    given = form.delivery(current_identity().user_id)
    return _receive(form, given) if form.is_confirmed(given) else _preview(form, given)


def _preview(form: DeliveryForm, given: Delivery) -> Answer:
    """What would come in, and once more what was typed, to be mended or added to."""
    lines = services.inventory().preview_delivery(given)
    expected = [line for line in lines if not line.refusal]
    stopped = services.repository(AlertRepository).count_gone([line.book_id for line in expected if line.comes_back])
    form.show_preview(given)
    page = render_template(
        "admin/delivery.html", form=form, expected=expected, again=sum(stopped.values()), wrong=form.wrong(lines)
    )
    return page, 200 if expected else 400


def _receive(form: DeliveryForm, given: Delivery) -> Answer:
    """What came in, and what did not, ready to be mended. The same sent again is only shown again."""
    lines, notified = services.commit(lambda: services.shelf().receive(given))
    received = [line for line in lines if not line.refusal]
    sending = f"{queued_again(notified.again.total())} {leaving(notified)}".strip()
    page = render_template(
        "admin/delivery.html", form=form, received=received, sending=sending, wrong=form.keep_wrong(lines)
    )
    return page, 200 if received else 409
