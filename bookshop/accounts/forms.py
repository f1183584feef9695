"""The shape of the forms about accounts; what a good password is, the service knows."""

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
from wtforms.validators import DataRequired, EqualTo, InputRequired, Length
from wtforms.widgets import CheckboxInput

from bookshop.accounts.authentication import new_token
from bookshop.accounts.models import TOKEN_NAME_MAX
from bookshop.accounts.passwords import PASSWORD_MAX, PASSWORD_MIN
from bookshop.accounts.scopes import CATALOG_READ, SCOPES, scopes_of
from bookshop.kit.text import EMAIL_MAX
from bookshop.web.forms import ONCE, ShopForm, Storable, new_once, tidied

ENDS = ((30, "in 30 days"), (90, "in 90 days"), (365, "in a year"), (0, "never"))
HINT = f"{PASSWORD_MIN} to {PASSWORD_MAX} characters, any you like"


def current_password() -> PasswordField:
    """The field with which somebody who is logged in confirms a change."""
    return PasswordField(
        "Current password",
        validators=[InputRequired("Please enter your current password.")],
        render_kw={"autocomplete": "current-password"},
    )


def new_password() -> PasswordField:
    """The field for a new password."""
    return PasswordField(
        "New password",
        description=HINT,
        validators=[InputRequired("Please choose a new password.")],
        render_kw={"autocomplete": "new-password"},
    )


def new_password_again() -> PasswordField:
    """The field that guards a new password against a slip."""
    return PasswordField(
        "New password again",
        validators=[EqualTo("new", "The two new passwords differ.")],
        render_kw={"autocomplete": "new-password"},
    )


def address() -> EmailField:
    """The field for the address of one's account, made or to be made."""
    return EmailField(
        "E-mail address",
        filters=[tidied],
        validators=[DataRequired("Please enter your e-mail address."), Length(max=EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "username", "autofocus": True},
    )


class LoginForm(ShopForm):
    """An address and a password. Its name is a matter of the service: what a login does is in the cookie, too."""

    email = EmailField(
        "E-mail address",
        filters=[tidied],
        validators=[DataRequired("Please enter your e-mail address."), Length(max=EMAIL_MAX)],
        render_kw={"autocomplete": "username", "autofocus": True},
    )
    password = PasswordField(
        "Password",
        validators=[InputRequired("Please enter your password.")],
        render_kw={"autocomplete": "current-password"},
    )
    once = None
    key = HiddenField(default=new_once)
    next = HiddenField()
    submit = SubmitField("Log in")


class RegisterForm(ShopForm):
    """A new account."""

    email = address()
    password = PasswordField(
        "Password",
        description=HINT,
        validators=[InputRequired("Please choose a password.")],
        render_kw={"autocomplete": "new-password"},
    )
    next = HiddenField()
    submit = SubmitField("Create account")


class EmailForm(ShopForm):
    """Another address, and the password."""

    email = EmailField(
        "New e-mail address",
        filters=[tidied],
        validators=[DataRequired("Please enter your new e-mail address."), Length(max=EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "email"},
    )
    current = current_password()
    submit = SubmitField("Change e-mail address")


class PasswordForm(ShopForm):
    """The old password and the new one, twice."""

    current = current_password()
    new = new_password()
    repeat = new_password_again()
    submit = SubmitField("Change password")


class ForgotForm(ShopForm):
    """The address of somebody who forgot the password."""

    email = address()
    submit = SubmitField("Write to me")


class ResetForm(ShopForm):
    """A new password, twice."""

    new = new_password()
    repeat = new_password_again()
    submit = SubmitField("Change password")


class TokenForm(ShopForm):
    """A new API token of a user with this role: its name, what it may do, and how long.

    Sent twice it is the same token, which the answer shows: so that is made of the form's `key`.
    """

    once = None
    key = HiddenField(default=new_once)

    name = StringField(
        "What is it for?",
        description="A name by which you will know it again, such as the name of your program",
        filters=[tidied],
        validators=[DataRequired("Please give the token a name."), Length(max=TOKEN_NAME_MAX), Storable()],
        render_kw={"autocomplete": "off"},
    )
    scopes = SelectMultipleField("What may it do?", option_widget=CheckboxInput(), default=())
    days = SelectField(
        "When does it expire?",
        choices=[SelectChoice(*end) for end in ENDS],
        default=365,
        coerce=int,
    )
    submit = SubmitField("Create token")

    def token(self, user_id: int) -> str | None:
        """The token that this form stands for, filled in as it is by this user; None if its name is none of ours."""
        key, secret = self.key.data or "", str(current_app.secret_key)
        if not ONCE.fullmatch(key):
            return None
        filled_in = f"API token {user_id} {key} {self.name.data} {self.scopes.data} {self.days.data}"
        return new_token(hmac.digest(secret.encode(), filled_in.encode(), "sha256"))

    def empty(self) -> None:
        """Be the form of another token."""
        self.name.data, self.key.data = None, new_once()

    def __init__(self, role: str) -> None:
        super().__init__()
        may = [name for name in scopes_of(role) if name != CATALOG_READ]
        self.scopes.choices = [SelectChoice(name, f"{SCOPES[name].words.capitalize()} ({name})") for name in may]
        if not self.is_submitted():
            self.scopes.data = may


class DeleteForm(ShopForm):
    """The password that confirms the end of an account."""

    current = current_password()
    submit = SubmitField("Delete my account")
