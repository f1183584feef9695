"""The staff page that receives a delivery: many books at once, scanned or typed, previewed, then received."""

from collections.abc import Sequence

from flask import render_template

from bookshop.admin import bp
from bookshop.admin.delivery_form import DeliveryForm
from bookshop.admin.new_titles import NewTitles
from bookshop.admin.views import ViewResponse, queued_again_words, sending_words
from bookshop.alerts.repository import AlertRepository
from bookshop.inventory.service import Delivery, DeliveryLine
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required


@bp.route("/admin/delivery", methods=["GET", "POST"])
@staff_required
def delivery() -> ViewResponse:
    form = DeliveryForm()
    if not form.validate_on_submit():
        return render_template("admin/delivery.html", form=form), form.status
    typed = form.delivery(current_identity().user_id)
    lines = services.inventory().preview_delivery(typed)
    titles = NewTitles(lines, form.in_file)
    if titles.validate() and form.is_confirmed(typed):
        return _receive(form, titles.add_to(typed))
    return _preview(form, typed, lines, titles)


def _preview(form: DeliveryForm, typed: Delivery, lines: Sequence[DeliveryLine], titles: NewTitles) -> ViewResponse:
    """Show what would be received, above the form with the typed lines."""
    expected = [line for line in lines if not line.refusal]
    stopped = services.repository(AlertRepository).count_to_queue_again(
        [line.book_id for line in expected if line.comes_back]
    )
    form.show_preview(typed)
    page = render_template(
        "admin/delivery.html",
        form=form,
        expected=expected,
        titles=titles.forms,
        again=sum(stopped.values()),
        wrong=form.refused_lines(lines, titles.isbns),
    )
    is_ready = (expected or titles.forms) and not any(title.errors for title in titles.forms)
    return page, 200 if is_ready else 400


def _receive(form: DeliveryForm, typed: Delivery) -> ViewResponse:
    """Receive the delivery and show the result; refused lines stay in the form. A repeated request changes nothing."""
    lines, notified = services.commit(lambda: services.shelf().receive(typed))
    received = [line for line in lines if not line.refusal]
    sending = f"{queued_again_words(notified.again.total())} {sending_words(notified)}".strip()
    page = render_template(
        "admin/delivery.html", form=form, received=received, sending=sending, wrong=form.keep_refused_lines(lines)
    )
    return page, 200 if received else 409
