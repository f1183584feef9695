"""Forms for accounts; the service decides what a good password is."""

import hmac

from flask import current_app
from wtforms import (
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

from bookshop.accounts.authentication import new_token
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


def new_password() -> PasswordField:
    """Return the field for a new password."""
    return PasswordField(
        "New password",
        description=PASSWORD_HINT,
        validators=[InputRequired("Choose a new password.")],
        render_kw={"autocomplete": "new-password"},
    )


def new_password_again() -> PasswordField:
    """Return the field in which the new password is repeated."""
    return PasswordField(
        "Repeat new password",
        validators=[EqualTo("new", "The two new passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )


def address() -> EmailField:
    """Return the field for the e-mail address of an account."""
    return EmailField(
        "E-mail address",
        filters=[tidied],
        validators=[DataRequired("Enter your e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "username", "autofocus": True},
    )


class LoginForm(ShopForm):
    """Log in. The service claims this form by its `key`, as a login changes the cookie as well as the database."""

    email = EmailField(
        "E-mail address",
        filters=[tidied],
        validators=[DataRequired("Enter your e-mail address."), max_length(EMAIL_MAX)],
        render_kw={"autocomplete": "username", "autofocus": True},
    )
    password = PasswordField(
        "Password",
        validators=[InputRequired("Enter your password.")],
        render_kw={"autocomplete": "current-password"},
    )
    once = None
    key = HiddenField(default=new_once)
    next = HiddenField()
    submit = SubmitField("Log in")


class LoginCodeForm(ShopForm):
    """Enter the code after the password; the service claims this form by its `key`, like LoginForm."""

    code = code_field()
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


class RegisterForm(ShopForm):
    """Sign up."""

    email = address()
    password = PasswordField(
        "Password",
        description=PASSWORD_HINT,
        validators=[InputRequired("Choose a password.")],
        render_kw={"autocomplete": "new-password"},
    )
    next = HiddenField()
    submit = SubmitField("Sign up")


class EmailForm(ShopForm):
    """Change the e-mail address."""

    email = EmailField(
        "New e-mail address",
        filters=[tidied],
        validators=[DataRequired("Enter your new e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "email"},
    )
    current = current_password()
    submit = SubmitField("Change e-mail address")


class PasswordForm(ShopForm):
    """Change the password."""

    current = current_password()
    new = new_password()
    repeat = new_password_again()
    submit = SubmitField("Change password")


class ForgotForm(ShopForm):
    """Request a password reset link."""

    email = address()
    submit = SubmitField("Send the link")


class ResetForm(ShopForm):
    """Set a new password by a reset link."""

    new = new_password()
    repeat = new_password_again()
    submit = SubmitField("Change password")


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


class DeleteForm(ShopForm):
    """Delete the account, confirmed by the password."""

    current = current_password()
    submit = SubmitField("Delete my account")
