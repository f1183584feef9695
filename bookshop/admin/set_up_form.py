"""The form with which a new shop gets its details and its first owner."""

from typing import Any

from wtforms import EmailField, HiddenField, PasswordField, SelectField, StringField, SubmitField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, EqualTo, InputRequired

from bookshop.accounts.forms import PASSWORD_HINT
from bookshop.admin.shop_forms import BY_NAME, CURRENCY_CHOICES, optional_text, time_zones
from bookshop.kit.text import EMAIL_MAX
from bookshop.shop.models import LINE_MAX, NAME_MAX, POSTCODE_MAX
from bookshop.web.forms import ShopForm, Storable, max_length, new_once, tidied

DETAILS = ("name", "street", "postcode", "city", "country", "time_zone", "currency")
CODE_MAX = 100  # characters


class SetUpForm(ShopForm):
    """A new shop and its first owner. The service claims this form by its `key`, like PasswordLoginForm."""

    code = StringField(
        "Code",
        filters=[tidied],
        validators=[DataRequired("Enter the code from the server's log."), max_length(CODE_MAX)],
        render_kw={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"},
    )
    name = StringField(
        "Name of the shop",
        filters=[tidied],
        validators=[DataRequired("Enter the name of the shop."), max_length(NAME_MAX), Storable()],
        render_kw={"autocomplete": "organization"},
    )
    street = optional_text("Street and number (optional)", LINE_MAX, render_kw={"autocomplete": "street-address"})
    postcode = optional_text("Postcode (optional)", POSTCODE_MAX, render_kw={"autocomplete": "postal-code"})
    city = optional_text("Town or city (optional)", LINE_MAX, render_kw={"autocomplete": "address-level2"})
    country = SelectField("Country (optional)", choices=[SelectChoice("", ""), *BY_NAME], default="")
    time_zone = SelectField(
        "Time zone",
        description="Of all times that customers and staff read",
        validators=[InputRequired("Choose the time zone of the shop.")],
    )
    currency = SelectField(
        "Currency",
        choices=[SelectChoice("", ""), *CURRENCY_CHOICES],
        validators=[InputRequired("Choose the currency of your prices.")],
    )
    email = EmailField(
        "Your e-mail address",
        description="You log in with it. You will be the first owner of the shop, and can add others.",
        filters=[tidied],
        validators=[DataRequired("Enter your e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "username"},
    )
    password = PasswordField(
        "Choose a password",
        description=PASSWORD_HINT,
        validators=[InputRequired("Choose a password.")],
        render_kw={"autocomplete": "new-password"},
    )
    repeat = PasswordField(
        "Repeat the password",
        validators=[EqualTo("password", "The two passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
    once = None
    key = HiddenField(default=new_once)
    submit = SubmitField("Set up the shop")

    def __init__(self) -> None:
        super().__init__()
        self.time_zone.choices = [("", ""), *((zone, zone) for zone in time_zones())]

    def details(self) -> dict[str, Any]:
        """Return the shop's details for OpeningService.create."""
        return {name: self[name].data or "" for name in DETAILS}
