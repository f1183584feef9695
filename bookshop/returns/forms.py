"""The form of a return."""

from typing import Any

from wtforms import EmailField, StringField, SubmitField, TextAreaField
from wtforms.validators import DataRequired, Optional, ValidationError

from bookshop.accounts.emails import normal_email
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import EMAIL_MAX
from bookshop.orders.models import NAME_MAX
from bookshop.orders.numbers import has_wrong_digit, parse_number
from bookshop.returns.models import BOOKS_MAX
from bookshop.returns.service import Declaration
from bookshop.web.forms import ShopForm, Storable, max_length, tidied

NUMBER_MAX = 40
NO_NUMBER = "An order number has eight digits, such as 4821-7301. It is in our e-mails about the order."
WRONG_DIGIT = "No order can have this number: one of its digits is wrong."


class ReturnForm(ShopForm):
    """The first step; the second shows its values, and sends them again with the button `confirm`."""

    name = StringField(
        "Your name",
        filters=[tidied],
        validators=[DataRequired("Enter your name."), max_length(NAME_MAX), Storable()],
        render_kw={"autocomplete": "name"},
    )
    order_number = StringField(
        "Order number",
        filters=[tidied],
        validators=[DataRequired("Enter the order number."), max_length(NUMBER_MAX), Storable()],
        render_kw={"inputmode": "numeric", "spellcheck": "false"},
    )
    email = EmailField(
        "E-mail address",
        description="The one to which we confirmed the order, or the one that your account has now, which gets the "
        "acknowledgement",
        filters=[tidied],
        validators=[DataRequired("Enter your e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "email"},
    )
    books = TextAreaField(
        "Which books? (optional)",
        description="Leave this empty to withdraw from the whole order. Otherwise write one title per line.",
        filters=[tidied],
        validators=[Optional(), max_length(BOOKS_MAX), Storable(lines=True)],
        render_kw={"rows": 4},
    )
    submit = SubmitField("Continue")
    confirm = SubmitField("Confirm withdrawal")
    edit = SubmitField("Change something")

    def __init__(self, known: dict[str, Any] | None = None) -> None:
        super().__init__(**(known or {}))

    def validate_order_number(self, field: StringField) -> None:
        """Check what can be seen of a number, without looking for its order."""
        number = parse_number(field.data)
        if number is None:
            raise ValidationError(NO_NUMBER)
        if has_wrong_digit(number):
            raise ValidationError(WRONG_DIGIT)
        field.data = number

    def validate_email(self, field: EmailField) -> None:
        try:
            field.data = normal_email(field.data)
        except Invalid as error:
            raise ValidationError(error.sentence) from None

    def declaration(self) -> Declaration:
        """Return the form's data for ReturnService."""
        return Declaration(
            number=self.order_number.data, email=self.email.data, name=self.name.data, books=self.books.data
        )
