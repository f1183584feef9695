"""The shape of the forms about accounts; what a good password is, the service knows."""

from wtforms import EmailField, HiddenField, PasswordField, SubmitField
from wtforms.validators import DataRequired, EqualTo, InputRequired, Length

from bookshop.accounts.models import EMAIL_MAX
from bookshop.accounts.passwords import PASSWORD_MAX, PASSWORD_MIN
from bookshop.forms import ShopForm, Storable, tidied

HINT = f"{PASSWORD_MIN} to {PASSWORD_MAX} characters, any you like"


class LoginForm(ShopForm):
    """An address and a password."""

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
    next = HiddenField()
    submit = SubmitField("Log in")


class RegisterForm(ShopForm):
    """A new account."""

    email = EmailField(
        "E-mail address",
        filters=[tidied],
        validators=[DataRequired("Please enter your e-mail address."), Length(max=EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "username", "autofocus": True},
    )
    password = PasswordField(
        "Password",
        description=HINT,
        validators=[InputRequired("Please choose a password.")],
        render_kw={"autocomplete": "new-password"},
    )
    next = HiddenField()
    submit = SubmitField("Create account")


class PasswordForm(ShopForm):
    """The old password and the new one, twice."""

    current = PasswordField(
        "Current password",
        validators=[InputRequired("Please enter your current password.")],
        render_kw={"autocomplete": "current-password"},
    )
    new = PasswordField(
        "New password",
        description=HINT,
        validators=[InputRequired("Please choose a new password.")],
        render_kw={"autocomplete": "new-password"},
    )
    repeat = PasswordField(
        "New password again",
        validators=[EqualTo("new", "The two new passwords differ.")],
        render_kw={"autocomplete": "new-password"},
    )
    submit = SubmitField("Change password")
