"""Forms for accounts; the service decides what a good password is."""

import hmac

from flask import current_app
from wtforms import (
    BooleanField,
    EmailField,
    HiddenField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
    SubmitField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, EqualTo, InputRequired
from wtforms.widgets import CheckboxInput

from bookshop.accounts.authentication import Identity, new_token
from bookshop.accounts.models import TOKEN_NAME_MAX
from bookshop.accounts.passwords import PASSWORD_MAX, PASSWORD_MIN
from bookshop.accounts.scopes import CATALOG_READ, SCOPES, scopes_of
from bookshop.kit.text import EMAIL_MAX
from bookshop.web.forms import ONCE, ShopForm, Storable, code_field, max_length, new_once, tidied

EXPIRY_CHOICES = ((30, "in 30 days"), (90, "in 90 days"), (365, "in a year"), (0, "never"))
PASSWORD_HINT = f"{PASSWORD_MIN} to {PASSWORD_MAX} characters of any kind"


def current_password() -> PasswordField:
    """Return the field with which a logged-in user confirms a change."""
    return PasswordField(
        "Current password",
        validators=[InputRequired("Enter your current password.")],
        render_kw={"autocomplete": "current-password"},
    )


def shared_device() -> BooleanField:
    """Return the box that ends the login with the browser."""
    return BooleanField("This is not my device: log me out when the browser is closed")


def asked_myself() -> BooleanField:
    """Return the box to tick when a link is opened in another browser than the one that asked for it."""
    return BooleanField(
        "I asked for this e-mail myself, on another device or in another browser",
        validators=[InputRequired("Tick this box if you asked for the e-mail. If you didn't, close this page.")],
    )


class AddressForm(ShopForm):
    """An e-mail address, where that is all we need. Sent twice, it has the effect of one: a link, and what it does."""

    once = None
    email = EmailField(
        "Your e-mail address",
        filters=[tidied],
        validators=[DataRequired("Enter your e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "email"},
    )
    submit = SubmitField("Send the link")


class LoginForm(ShopForm):
    """Log in or sign up: an address, then a link or a password."""

    once = None
    email = EmailField(
        "E-mail address",
        filters=[tidied],
        validators=[DataRequired("Enter your e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "username", "autofocus": True},
    )
    next = HiddenField()
    link = SubmitField("E-mail me a link")
    with_password = SubmitField("Log in with a password")


class PasswordLoginForm(ShopForm):
    """Log in with a password.

    The service claims this form by its `key`, as a login changes the cookie as well as the database.
    """

    email = EmailField(
        "E-mail address",
        filters=[tidied],
        validators=[DataRequired("Enter your e-mail address."), max_length(EMAIL_MAX)],
        render_kw={"autocomplete": "username"},
    )
    password = PasswordField(
        "Password",
        validators=[InputRequired("Enter your password.")],
        render_kw={"autocomplete": "current-password", "autofocus": True},
    )
    shared = shared_device()
    once = None
    key = HiddenField(default=new_once)
    next = HiddenField()
    submit = SubmitField("Log in")


class LoginCodeForm(ShopForm):
    """Enter the code after the password or link; the service claims this form by its `key`, like PasswordLoginForm."""

    code = code_field()
    shared = shared_device()
    once = None
    key = HiddenField(default=new_once)
    next = HiddenField()
    submit = SubmitField("Log in")


class SecondFactorForm(ShopForm):
    """Turn on the second factor. A form that is sent twice, with the same `key`, shows the same recovery codes."""

    once = None
    key = HiddenField(default=new_once)
    code = StringField(
        "Code that the app shows now",
        validators=[InputRequired("Enter the 6 digits that your authenticator app shows.")],
        render_kw={"autocomplete": "one-time-code", "inputmode": "numeric"},
    )
    submit = SubmitField("Turn on")


class RecoveryCodesForm(ShopForm):
    """Create new recovery codes; `key` as in SecondFactorForm."""

    once = None
    key = HiddenField(default=new_once)
    submit = SubmitField("Create new recovery codes")


class ConfirmedForm(ShopForm):
    """A form that asks for the current password, unless a fresh login is enough: then it has no such field."""

    current: PasswordField

    def __init__(self, *, needs_password: bool = True) -> None:
        super().__init__()
        if not needs_password:
            del self.current

    def confirmed_by(self, me: Identity) -> str | Identity:
        """Return what confirms the change: the password that was entered, or else the login of this user."""
        return str(self.current.data) if "current" in self else me


class EmailForm(ConfirmedForm):
    """Change the e-mail address."""

    email = EmailField(
        "New e-mail address",
        filters=[tidied],
        validators=[DataRequired("Enter your new e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "email"},
    )
    current = current_password()
    submit = SubmitField("Change e-mail address")


class ConfirmAddressForm(ShopForm):
    """Change to the address that a link was sent to; the service claims this form by its `key`, like LinkForm."""

    once = None
    key = HiddenField(default=new_once)
    confirmed = asked_myself()
    shared = shared_device()
    submit = SubmitField("Change my address")

    def __init__(self, *, is_other_browser: bool = True, is_logged_in: bool = False) -> None:
        super().__init__()
        self.is_other_browser = is_other_browser
        if not is_other_browser:
            del self.confirmed
        if is_logged_in:
            del self.shared


class PasswordForm(ConfirmedForm):
    """Change the password, or set one."""

    current = current_password()
    new = PasswordField(
        "New password",
        description=PASSWORD_HINT,
        validators=[InputRequired("Choose a new password.")],
        render_kw={"autocomplete": "new-password"},
    )
    repeat = PasswordField(
        "Repeat new password",
        validators=[EqualTo("new", "The two new passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
    submit = SubmitField("Save password")


class TokenForm(ShopForm):
    """Create an API token for a user with this role.

    The token is derived from the form's `key`, so that a form sent twice shows the same token.
    """

    once = None
    key = HiddenField(default=new_once)

    name = StringField(
        "What is it for?",
        description="A name that helps you recognise the token, such as the name of your program",
        filters=[tidied],
        validators=[DataRequired("Give the token a name."), max_length(TOKEN_NAME_MAX), Storable()],
        render_kw={"autocomplete": "off"},
    )
    scopes = SelectMultipleField("What is it allowed to do?", option_widget=CheckboxInput(), default=())
    days = SelectField(
        "When should it expire?",
        choices=[SelectChoice(*choice) for choice in EXPIRY_CHOICES],
        default=365,
        coerce=int,
    )
    submit = SubmitField("Create token")

    def token(self, user_id: int) -> str | None:
        """Return the token derived from this user and the form's values; None if `key` is malformed."""
        key, secret = self.key.data or "", str(current_app.secret_key)
        if not ONCE.fullmatch(key):
            return None
        filled_in = f"API token {user_id} {key} {self.name.data} {self.scopes.data} {self.days.data}"
        return new_token(hmac.digest(secret.encode(), filled_in.encode(), "sha256"))

    def clear(self) -> None:
        """Clear the form for the next token."""
        self.name.data, self.key.data = None, new_once()

    def __init__(self, role: str) -> None:
        super().__init__()
        choices = [name for name in scopes_of(role) if name != CATALOG_READ]
        self.scopes.choices = [SelectChoice(name, f"{SCOPES[name].words.capitalize()} ({name})") for name in choices]
        if not self.is_submitted():
            self.scopes.data = choices


class DeleteForm(ConfirmedForm):
    """Delete the account."""

    current = current_password()
    submit = SubmitField("Delete my account")
