"""The pages on which customers withdraw from an order by post: what they enter, a summary, and what happened."""

from typing import Any

from flask import redirect, render_template, request, url_for
from flask_login import current_user

from bookshop.accounts.views import ViewResponse, count_form
from bookshop.kit.database import ID_MAX
from bookshop.kit.exceptions import NotFound, TooManyAttempts
from bookshop.orders.models import POST
from bookshop.returns import bp
from bookshop.returns.forms import ReturnForm
from bookshop.web import services
from bookshop.web.access import current_identity


@bp.route("/return", methods=["GET", "POST"])
def declare() -> ViewResponse:
    """Ask what is returned, then show what will be sent; only the button of the second step sends it."""
    form = ReturnForm(_known() if request.method == "GET" else None)
    try:
        count_form()
    except TooManyAttempts as error:
        form.add_error(error)
        return _show(form)
    if not form.validate_on_submit():
        return _show(form)
    if form.edit.data:
        return render_template("returns/declare.html", form=form)
    if not form.confirm.data:
        return render_template("returns/confirm.html", form=form)
    returns, declaration = services.returns(), form.declaration()
    services.commit(lambda: returns.receive(declaration))
    return redirect(url_for("returns.received"), 303)


def _show(form: ReturnForm) -> ViewResponse:
    return render_template("returns/declare.html", form=form), form.status, form.headers


def _known() -> dict[str, Any]:
    """Return what the shop knows of the customer's own order, whose id is in the query string."""
    order_id = request.args.get("order", 0, type=int)
    if not (current_user.is_customer and 0 < order_id <= ID_MAX):
        return {}
    try:
        order = services.orders().get(current_identity().user_id, order_id)
    except NotFound:
        return {}
    return (
        {"name": order.name, "order_number": order.number, "email": current_user.email}
        if order.delivery == POST
        else {}
    )


@bp.get("/return/received")
def received() -> str:
    """Say what has happened without saying whether there is such an order."""
    return render_template("returns/received.html")
