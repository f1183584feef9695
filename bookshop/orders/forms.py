"""The checkout form."""

import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from flask import request
from wtforms import RadioField, StringField, SubmitField, TelField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Optional
from wtforms.widgets import HiddenInput

from bookshop.accounts.forms import AddressForm
from bookshop.checkout.offer import Offer
from bookshop.checkout.service import Checkout
from bookshop.kit.database import ID_MAX
from bookshop.kit.money import Amount
from bookshop.orders.models import ADDRESS_MAX, COLLECT, NAME_MAX, ORDER_NOTE_MAX, PHONE_MAX, POST
from bookshop.orders.wording import BUTTONS
from bookshop.shop.postage import Postage
from bookshop.web.forms import ShopForm, Storable, max_length, tidied
from bookshop.web.jinja import money

KEY = re.compile(r"[0-9a-f]{32}")
LINE_ACTIONS = ("take", "reserve", "remove")


class LineAction(NamedTuple):
    """What the button next to a book does: `take` the copies that are left, `reserve` the book, or `remove` it."""

    name: str
    book_id: int


class ContactForm(ShopForm):
    """The customer's details, and whether they collect the order or have it posted."""

    name = StringField(
        "Your name",
        filters=[tidied],
        validators=[DataRequired("Enter your name."), max_length(NAME_MAX), Storable()],
        render_kw={"autocomplete": "name"},
    )
    phone = TelField(
        "Phone (optional)",
        description="In case we have a question about your order",
        filters=[tidied],
        validators=[Optional(), max_length(PHONE_MAX), Storable()],
        render_kw={"autocomplete": "tel"},
    )
    delivery = RadioField(
        "Collect or post",
        choices=[
            SelectChoice(COLLECT, "Collect in the shop. You pay when you collect."),
            SelectChoice(POST, "Send by post"),
        ],
        default=COLLECT,
    )
    address = TextAreaField(
        "Address (if we post it)",
        filters=[tidied],
        validators=[Optional(), max_length(ADDRESS_MAX), Storable(lines=True)],
        render_kw={"rows": 4, "autocomplete": "street-address"},
    )
    note = TextAreaField(
        "Note to the shop (optional)",
        filters=[tidied],
        validators=[Optional(), max_length(ORDER_NOTE_MAX), Storable(lines=True)],
        render_kw={"rows": 3},
    )

    def show_postage(self, offer: Offer) -> None:
        """Say beside the choice of delivery what posting these books costs."""
        if offer.postage:
            collect, _post = self.delivery.choices
            self.delivery.choices = [collect, SelectChoice(POST, _posting(offer.postage, offer.charge(POST)))]


class CheckoutForm(ContactForm):
    """The checkout.

    `key` is the idempotency key of the order, created when the page is first shown: a form that is sent twice places
    one order. `shown` is the fingerprint of the offer on the page: if it has changed since, nothing is ordered.
    """

    once = None  # replaced by `key`
    email = AddressForm.email  # of visitors only
    key = StringField(widget=HiddenInput())
    shown = StringField(widget=HiddenInput())
    submit = SubmitField("Continue by e-mail")  # of visitors; customers order at once

    def __init__(self, contact: Mapping[str, Any] | None = None, email: str | None = None) -> None:
        """Make a form with these details. Without an `email`, it is a customer's, who is not asked for the address."""
        super().__init__(**(contact or {}), email=email)
        if email is None:
            del self.email
        if not KEY.fullmatch(self.key.data or ""):
            self.renew_key()

    def renew_key(self) -> None:
        """Replace the idempotency key, so that the next submission places a new order."""
        self.key.data = secrets.token_hex(16)

    def line_action(self) -> LineAction | None:
        """Return the action of the button next to a book, if one was pressed."""
        for name in LINE_ACTIONS:
            if name in request.form:
                book_id = request.form.get(name, 0, type=int)
                return LineAction(name, book_id if 0 < book_id <= ID_MAX else 0)
        return None

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the request for `key`: the offer that is shown, but none of the other fields."""
        return sha256(f"checkout {self.shown.data}".encode()).hexdigest()

    def checkout(self) -> Checkout:
        """Return the form's data for CheckoutService."""
        return Checkout(
            name=self.name.data,
            phone=self.phone.data,
            note=self.note.data,
            delivery=self.delivery.data,
            address=self.address.data,
            shown=self.shown.data or "",
        )

    def show(self, offer: Offer) -> None:
        """Store the fingerprint of the offer that the page shows, and show its postage and what the button does."""
        self.shown.data = offer.fingerprint
        if "email" not in self:
            self.submit.label.text = BUTTONS[offer.wording]
        self.show_postage(offer.available)


def _posting(postage: Postage, charge: Amount | None) -> str:
    """Return the words for having an order posted."""
    price = f"for {money(charge)}" if charge else "free of charge"
    limit = f" (free from {money(postage.free_from_amount)})" if postage.free_from_amount else ""
    return f"Send by post {price}{limit}. We'll contact you about payment before we post it."
