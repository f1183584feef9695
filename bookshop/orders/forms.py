"""The form of the checkout."""

import re
import secrets
from hashlib import sha256
from typing import NamedTuple

from flask import request
from wtforms import RadioField, StringField, SubmitField, TelField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, Optional
from wtforms.widgets import HiddenInput

from bookshop.cart.service import Cart
from bookshop.checkout.service import Checkout
from bookshop.kit.database import ID_MAX
from bookshop.orders.models import ADDRESS_MAX, COLLECT, NAME_MAX, ORDER_NOTE_MAX, PHONE_MAX, POST, Order
from bookshop.web.forms import ShopForm, Storable, tidied

KEY = re.compile(r"[0-9a-f]{32}")
ASIDE = ("take", "reserve", "remove")


class Aside(NamedTuple):
    """What a button beside a book asks for, before anything is ordered: `take` what is left, `reserve` or `remove`."""

    name: str
    book_id: int


class CheckoutForm(ShopForm):
    """Who orders, and how it is handed over.

    `key` names the order from the first look at the page on, however often it is sent: so it is placed once. `shown`
    is the cart as the page shows it, so that nothing is ordered that nobody has looked at.
    """

    name = StringField(
        "Your name",
        filters=[tidied],
        validators=[DataRequired("Please tell us your name."), Length(max=NAME_MAX), Storable()],
        render_kw={"autocomplete": "name"},
    )
    phone = TelField(
        "Phone",
        description="If you like: for a question about your order",
        filters=[tidied],
        validators=[Optional(), Length(max=PHONE_MAX), Storable()],
        render_kw={"autocomplete": "tel"},
    )
    delivery = RadioField(
        "How you get it",
        choices=[
            SelectChoice(COLLECT, "I collect it. You pay in the shop when you collect."),
            SelectChoice(POST, "Post it. We contact you about postage and payment before we send it."),
        ],
        default=COLLECT,
    )
    address = TextAreaField(
        "Address, if we post it",
        filters=[tidied],
        validators=[Optional(), Length(max=ADDRESS_MAX), Storable(lines=True)],
        render_kw={"rows": 4, "autocomplete": "street-address"},
    )
    note = TextAreaField(
        "Note to the shop",
        description="If you like",
        filters=[tidied],
        validators=[Optional(), Length(max=ORDER_NOTE_MAX), Storable(lines=True)],
        render_kw={"rows": 3},
    )
    once = None  # it has `key`, for the order
    key = StringField(widget=HiddenInput())
    shown = StringField(widget=HiddenInput())
    submit = SubmitField("Place the order")

    def __init__(self, last: Order | None = None) -> None:
        """An empty form, or with the contact of the customer's last order."""
        contact = {name: getattr(last, name) for name in ("name", "phone", "delivery", "address")} if last else {}
        super().__init__(**contact)
        if not KEY.fullmatch(self.key.data or ""):
            self.renew_key()

    def renew_key(self) -> None:
        """Make what is sent next an order of its own."""
        self.key.data = secrets.token_hex(16)

    def aside(self) -> Aside | None:
        """Which button beside a book was pressed, if it was one of these."""
        for name in ASIDE:
            if name in request.form:
                book_id = request.form.get(name, 0, type=int)
                return Aside(name, book_id if 0 < book_id <= ID_MAX else 0)
        return None

    @property
    def asked(self) -> str:
        """What is asked under the page's key: to order what it shows, whatever else was typed meanwhile."""
        return sha256(f"checkout {self.shown.data}".encode()).hexdigest()

    def checkout(self) -> Checkout:
        """What was typed, as the service takes it."""
        return Checkout(
            name=self.name.data,
            phone=self.phone.data,
            note=self.note.data,
            delivery=self.delivery.data,
            address=self.address.data,
            shown=self.shown.data or "",
        )

    def show(self, cart: Cart) -> None:
        """Remember what the page shows."""
        self.shown.data = cart.fingerprint
