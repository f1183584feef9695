"""Ask for a password, code or link again before a sensitive action, and keep what was typed meanwhile."""

from flask import g, redirect, render_template, request, url_for
from flask_login import current_user
from flask_wtf.csrf import CSRFError, validate_csrf
from werkzeug.wrappers import Response
from wtforms import Field, HiddenField, PasswordField, SubmitField, ValidationError
from wtforms.validators import InputRequired

from bookshop.accounts.authentication import Identity
from bookshop.accounts.repository import UserRepository
from bookshop.audit.service import set_actor
from bookshop.kit import transactions
from bookshop.kit.exceptions import BookshopError, FreshLoginRequired, Invalid, NotAuthenticated, TooManyAttempts
from bookshop.throttle.service import AttemptLimit
from bookshop.web import attempts, services
from bookshop.web.forms import ShopForm, code_field
from bookshop.web.navigation import return_address

CONFIRMATION = "confirmation"  # the field of the password or code, also in the form that sends a POST again
CONTINUE = "confirmation_link"  # the button to press after the link was used
NOT_REPEATED = {CONFIRMATION, CONTINUE, "csrf_token"}


class ConfirmForm(ShopForm):
    """Confirm that it is you, by the password or a link; without a password, there is neither its field nor button."""

    once = None
    by_link = True
    confirmation: Field = PasswordField(
        "Password",
        validators=[InputRequired("Enter your password.")],
        render_kw={"autocomplete": "current-password", "autofocus": True},
    )
    next = HiddenField()
    submit = SubmitField("Confirm")


class ConfirmByCodeForm(ConfirmForm):
    """Confirm that it is you, by the second factor, which no link replaces."""

    by_link = False
    confirmation = code_field()


def form_for(identity: Identity, next_page: str = "") -> ConfirmForm:
    """Return the form that asks this user for the code or, without a second factor, for the password or a link."""
    if services.repository(UserRepository).has_second_factor(identity.user_id):
        return ConfirmByCodeForm(next=next_page)
    form = ConfirmForm(next=next_page)
    if not identity.has_password:
        del form.confirmation, form.submit
    return form


def confirm(identity: Identity, typed: str) -> None:
    """Check the password or code and make the login fresh, in a transaction of its own.

    The request's own form stays unclaimed. Every attempt counts, even if the form was sent before, as a code that was
    wrong may be right half a minute later. Raises WrongPassword, TooManyAttempts, or NotAuthenticated if the login has
    ended.
    """
    login_id = identity.login_id
    if login_id is None:
        raise NotAuthenticated("Please log in first.")

    def check() -> None:
        with services.separate_session() as session:
            set_actor(session, services.actor())
            service = services.second_factor(session)
            transactions.in_transaction(session, lambda: service.confirm_login(identity.user_id, login_id, typed))

    attempts.with_counted_attempt(limits_of(identity), "", check)


def limits_of(identity: Identity) -> list[AttemptLimit]:
    """Return the limit of wrong passwords and codes in this login."""
    return [AttemptLimit(f"password {identity.login_id}", 5, 900)]


def confirm_by_form(identity: Identity) -> None:
    """Confirm a login by the password or code sent along with this form; raises FreshLoginRequired or CSRFError."""
    if request.method != "POST":
        raise FreshLoginRequired
    _check_csrf()
    if not is_entered():
        raise FreshLoginRequired
    try:
        confirm(identity, request.form[CONFIRMATION])
    except (Invalid, TooManyAttempts) as error:
        raise FreshLoginRequired(error) from None


def is_entered() -> bool:
    """Whether a password or code was entered; the button for after a link sends an empty field."""
    return CONFIRMATION in request.form and (CONTINUE not in request.form or request.form[CONFIRMATION] != "")


def _check_csrf() -> None:
    """Refuse a form from elsewhere: the page that asks would turn it into one of ours. Raises CSRFError."""
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError as error:
        raise CSRFError(str(error)) from None


def ask(error: FreshLoginRequired) -> Response:
    """Return the page that asks for the password, code or link.

    It sends a POST again with everything that was typed, and leads a GET back to its page.
    """
    if request.method != "POST":
        return redirect(url_for("accounts.confirm_login", next=return_address()), 303)
    form = form_for(current_user)
    status = 403
    if error.refusal is not None:
        add_refusal(form, error.refusal)
        status = form.status
    shown = page(form, request.full_path.rstrip("?"), return_address())
    return Response(shown, status, form.headers, mimetype="text/html")


def page(form: ConfirmForm, action: str, target: str, *, link_sent: bool = False) -> str:
    """Render the page that asks, with everything that was typed; a link to be sent from it leads to `target`.

    `action` is where the form is sent when the login is fresh.
    """
    g.never_keep = True  # what was typed may be a password: see kept_forms
    typed = [field for field in request.form.items(multi=True) if field[0] not in NOT_REPEATED]
    if CONFIRMATION in form:
        form.confirmation.data = None
        form.confirmation.render_kw = {**form.confirmation.render_kw, "autofocus": not link_sent}
    is_waiting = CONTINUE in request.form
    shown = {"typed": typed, "action": action, "target": target, "link_sent": link_sent, "is_waiting": is_waiting}
    return render_template("accounts/confirm_login.html", form=form, **shown)


def add_refusal(form: ConfirmForm, error: BookshopError) -> None:
    """Show at the field why a password or code was refused."""
    form.add_error(error if isinstance(error, TooManyAttempts) else Invalid(error.sentence, CONFIRMATION))
