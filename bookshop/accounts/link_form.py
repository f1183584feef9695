"""The form behind a login link: what the button will do, for the owner of the address to check and change."""

from collections.abc import Sequence
from typing import Any

from wtforms import BooleanField, HiddenField, SelectMultipleField, StringField, SubmitField
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import CheckboxInput, HiddenInput

from bookshop.accounts.forms import asked_myself, shared_device
from bookshop.cart import cookie
from bookshop.cart.repository import CartEntry
from bookshop.checkout.service import Checkout
from bookshop.kit.exceptions import Conflict
from bookshop.orders.forms import ContactForm
from bookshop.orders.models import COLLECT
from bookshop.orders.wording import BUTTONS
from bookshop.people.link_actions import CONTACT, Started
from bookshop.web.forms import new_once


class LinkForm(ContactForm):
    """Log in with a link, and do what was started. The service claims this form by its `key`, like PasswordLoginForm.

    `shown` is the fingerprint of the order on the page: if a book or what it costs has changed since, nothing is
    ordered.
    `listed` are the ids of everything on the page: what has been started since has to be shown first.
    """

    once = None
    key = HiddenField(default=new_once)
    shown = StringField(widget=HiddenInput())
    listed = StringField(widget=HiddenInput())
    next = HiddenField()
    # Not validated: another tab may just have done what is chosen here, which the service finds out.
    reservations = SelectMultipleField(coerce=int, option_widget=CheckboxInput(), default=(), validate_choice=False)
    order = BooleanField(default=True)
    take_cart = BooleanField("Also add the books in the cart of this browser to the cart of the account")
    confirmed = asked_myself()
    shared = shared_device()
    submit = SubmitField("Log in")

    def __init__(self, started: Started, *, is_other_browser: bool) -> None:
        super().__init__(**_contact(started))
        self.is_other_browser = is_other_browser
        self.reservations.choices = [SelectChoice(one.id, one.book.title) for one in started.reservations]
        if not self.is_submitted():
            self.reservations.data = [one.id for one in started.reservations]
        if started.order is None:
            for name in (*CONTACT, "order"):
                del self[name]
        if not is_other_browser:
            del self.confirmed
        if not is_other_browser or not cookie.count():
            del self.take_cart

    def show(self, started: Started, next_page: str) -> None:
        """Store what the page shows, and the page to go to afterwards if nothing was started."""
        self.submit.label.text = _label(started)
        self.shown.data = started.order.fingerprint if started.order else ""
        if started.order and "delivery" in self:
            self.show_postage(started.order.offer.available)
        self.listed.data = " ".join(map(str, started.ids))
        self.next.data = next_page

    def wanted(self, started: Started) -> Started:
        """Return what is left of what was started; raises Conflict if the page did not show all of it."""
        if not {str(number) for number in started.ids} <= set((self.listed.data or "").split()):
            raise Conflict("You have started something else meanwhile. Check the list, then press the button again.")
        return started.only(self.reservations.data or (), "order" in self and bool(self.order.data))

    def checkout(self) -> Checkout:
        """Return the contact for CheckoutService."""
        contact = {name: self[name].data for name in CONTACT} if "order" in self else {}
        return Checkout(**contact, shown=self.shown.data or "")

    def entries_to_merge(self, wanted: Started) -> Sequence[CartEntry]:
        """Return the books in this browser's cart that go into the account's: of another browser, only if asked to."""
        if self.is_other_browser and not ("take_cart" in self and self.take_cart.data):
            return []
        ordered = {entry.book_id for entry in wanted.order.entries} if wanted.order else set()
        return [entry for entry in cookie.entries() if entry.book_id not in ordered]


def _contact(started: Started) -> dict[str, Any]:
    """Return what was entered for the order; if the shop does not post it any more, it is to be collected."""
    if started.order is None:
        return {}
    contact = started.order.contact
    return contact if started.order.offer.postage else {**contact, "delivery": COLLECT}


def _label(started: Started) -> str:
    """Return what the button says."""
    if started.order is None or started.order.cart.is_short:
        return "Log in and reserve" if started.reservations else "Log in"
    button = BUTTONS[started.order.offer.wording].lower()
    return f"Log in, {button} and reserve the rest" if started.reservations else f"Log in and {button}"
