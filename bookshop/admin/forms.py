"""The forms of the staff pages."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from flask_wtf.file import FileField, FileRequired
from wtforms import (
    DateField,
    EmailField,
    Form,
    RadioField,
    SelectMultipleField,
    StringField,
    SubmitField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, NumberRange, Optional, ValidationError
from wtforms.widgets import CheckboxInput, HiddenInput, ListWidget, URLInput

from bookshop.accounts.models import BOOKSELLER, CUSTOMER, OWNER, STAFF_ROLES
from bookshop.audit.models import ACTION_MAX, REQUEST_ID_MAX
from bookshop.audit.repository import AuditSearch
from bookshop.catalog.isbn import TYPED_MAX, isbn13
from bookshop.catalog.languages import language_tag
from bookshop.catalog.models import (
    AUTHORS_MAX,
    DESCRIPTION_MAX,
    LANGUAGE_MAX,
    PRICE_MAX,
    PUBLISHER_MAX,
    STOCK_MAX,
    TITLE_MAX,
    YEAR_MAX,
    YEAR_MIN,
    Book,
)
from bookshop.events import kinds
from bookshop.inventory.models import CORRECTION, NOTE_MAX, RECEIVED, SALE
from bookshop.inventory.service import StockChange
from bookshop.kit.database import ID_MAX
from bookshop.kit.exceptions import NotFound
from bookshop.kit.money import format_amount, parse_amount, to_major_units
from bookshop.kit.text import EMAIL_MAX, tidy
from bookshop.web import services
from bookshop.web.forms import ShopForm, Storable, WholeNumberField, max_length, readable, tidied
from bookshop.webhooks.addresses import URL_MAX

YEAR = f"The year must be from {YEAR_MIN} to {YEAR_MAX}."
COPIES = f"The number of copies must be from 0 to {STOCK_MAX:,}."


class BookForm(ShopForm):
    """A book without its stock; `currency` is that of the book, or the shop's for a new one."""

    title = StringField(
        "Title", filters=[tidied], validators=[DataRequired("Enter a title."), max_length(TITLE_MAX), Storable()]
    )
    authors = StringField(
        "Authors",
        description="Separated by commas",
        filters=[tidied],
        validators=[DataRequired("Enter the authors."), max_length(AUTHORS_MAX), Storable()],
    )
    isbn = StringField(
        "ISBN (optional)",
        description="10 or 13 digits, as printed",
        filters=[tidied],
        validators=[Optional(), max_length(TYPED_MAX)],
    )
    publisher = StringField(
        "Publisher (optional)", filters=[tidied], validators=[Optional(), max_length(PUBLISHER_MAX), Storable()]
    )
    language = StringField(
        "Language (optional)",
        description="A code such as en, de or fr-CA",
        filters=[tidied],
        validators=[Optional(), max_length(LANGUAGE_MAX), Storable()],
    )
    published_year = WholeNumberField(
        "Year of publication (optional)",
        validators=[Optional(), readable, NumberRange(YEAR_MIN, YEAR_MAX, YEAR)],
        render_kw={"inputmode": "numeric"},
    )
    description = TextAreaField(
        "Description (optional)",
        filters=[tidied],
        validators=[Optional(), max_length(DESCRIPTION_MAX), Storable(lines=True)],
        render_kw={"rows": 6},
    )
    price = StringField(
        "Price",
        validators=[InputRequired("Enter a price, or 0 for a price on request.")],
        render_kw={"inputmode": "decimal"},
    )
    submit = SubmitField("Save")

    def __init__(self, book: Book | None = None) -> None:
        self.currency = book.currency if book else services.shop_details().currency
        super().__init__(obj=book, price=str(to_major_units(book.price_cents, self.currency)) if book else None)

    def validate_isbn(self, field: StringField) -> None:
        try:
            field.data = isbn13(field.data)
        except ValueError as error:
            raise ValidationError(f"This {error}.") from None

    def validate_price(self, field: StringField) -> None:
        self.price_cents = typed_price(field, self.currency)

    def values(self) -> dict[str, object]:
        """Return the book's fields in the form that the catalogue service expects."""
        names = ("title", "authors", "isbn", "publisher", "language", "published_year", "description")
        fields = {name: self[name].data for name in names}
        fields["language"] = language_tag(self.language.data) if self.language.data else None
        return {**fields, "price_cents": self.price_cents, "currency": self.currency}


def typed_price(field: StringField, currency: str) -> int:
    """Return the typed price in minor units; raises ValidationError with what is wrong."""
    try:
        price = parse_amount(field.data or "", currency)
    except ValueError as error:
        raise ValidationError(str(error)) from None
    if not 0 <= price <= PRICE_MAX:
        raise ValidationError(f"The price must be from 0 to {format_amount(PRICE_MAX, currency)}.")
    return price


class CoverForm(ShopForm):
    """A cover picture; its content is checked when `read_cover` reads it."""

    picture = FileField(
        "Picture",
        description="JPEG, PNG or WebP, up to 8 MB and 40 megapixels, at least 100 × 150 pixels",  # noqa: RUF001
        validators=[FileRequired("Choose a file.")],
        render_kw={"accept": "image/jpeg,image/png,image/webp"},
    )
    submit = SubmitField("Upload")


class StockForm(ShopForm):
    """A change of one book's stock; `expected` is the stock that the page showed."""

    change = RadioField(
        "What happened?",
        choices=[
            SelectChoice(RECEIVED, "Received: add copies"),
            SelectChoice(SALE, "Sold at the counter: take copies away"),
            SelectChoice(CORRECTION, "Counted: set the stock to this number"),
        ],
        default=RECEIVED,
    )
    copies = WholeNumberField(
        "Copies",
        validators=[InputRequired("Enter the number of copies."), readable, NumberRange(0, STOCK_MAX, COPIES)],
        render_kw={"inputmode": "numeric", "autofocus": True},
    )
    note = StringField(
        "Note (optional)",
        description="Shown in the stock ledger",
        filters=[tidied],
        validators=[Optional(), max_length(NOTE_MAX), Storable()],
    )
    expected = WholeNumberField(widget=HiddenInput(), validators=[InputRequired()])
    submit = SubmitField("Save stock")

    def validate_copies(self, field: WholeNumberField) -> None:
        if self.change.data == RECEIVED and field.data == 0:
            raise ValidationError("Enter how many copies you received.")
        if self.change.data == SALE and field.data == 0:
            raise ValidationError("Enter how many copies were sold.")

    def stock_change(self, book_id: int, user_id: int) -> StockChange:
        copies: int = self.copies.data
        return StockChange(
            book_id=book_id,
            delta={RECEIVED: copies, SALE: -copies}.get(self.change.data),
            quantity=copies if self.change.data == CORRECTION else None,
            reason=self.change.data,
            note=self.note.data,
            user_id=user_id,
            expected=self.expected.data,
        )


EVENT_LABELS = {
    kinds.STOCK_CHANGED: "the stock of a book changes",
    kinds.BOOK_RESTOCKED: "a book is back in stock",
    kinds.PREBOOKING_CREATED: "a customer reserves a book",
    kinds.PREBOOKING_CANCELLED: "a reservation is cancelled",
    kinds.PREBOOKING_NOTIFIED: "a waiting customer is notified",
    kinds.ORDER_PLACED: "a customer places an order",
    kinds.ORDER_READY: "an order is ready",
    kinds.ORDER_COLLECTED: "an order is collected",
    kinds.ORDER_CANCELLED: "an order is cancelled",
}


ROLE_CHOICES = {
    BOOKSELLER: "Bookseller: everything at the desk",
    OWNER: "Owner: also manages staff, and sees the settings and the audit log",
    CUSTOMER: "Customer: no longer a member of staff",
}


class NewStaffForm(ShopForm):
    """Add a member of staff by e-mail address, whether or not they have an account."""

    email = EmailField(
        "E-mail address",
        description="If there is no account with this address yet, we create one and send an invitation.",
        filters=[tidied],
        validators=[DataRequired("Enter an e-mail address."), max_length(EMAIL_MAX), Storable()],
        render_kw={"autocomplete": "off"},
    )
    role = RadioField(
        "Role", choices=[SelectChoice(role, ROLE_CHOICES[role]) for role in STAFF_ROLES], default=BOOKSELLER
    )
    submit = SubmitField("Add to staff")


class RoleForm(ShopForm):
    """Change a user's role."""

    role = RadioField("Role", choices=[SelectChoice(*choice) for choice in ROLE_CHOICES.items()])
    submit = SubmitField("Change role")

    def __init__(self, role: str) -> None:
        super().__init__(role=role)


class AuditForm(Form):  # type: ignore[misc]
    """Search the audit log, with the values of a query string."""

    user_id: int | None = None

    who = StringField(
        "Who", description="E-mail address or user number", validators=[Optional(), max_length(EMAIL_MAX)]
    )
    what = StringField(
        "What", description="Such as stock, order or role", validators=[Optional(), max_length(ACTION_MAX), Storable()]
    )
    number = WholeNumberField(
        "Number",
        description="Of the book, order or user, for example",
        validators=[Optional(), readable, NumberRange(1, ID_MAX, "There is no such number.")],
    )
    since = DateField("From", validators=[Optional()])
    until = DateField("To", validators=[Optional()])
    request = StringField("Request id", validators=[Optional(), max_length(REQUEST_ID_MAX), Storable()])

    def validate_who(self, field: StringField) -> None:
        """Find the user."""
        if field.errors:  # too long
            return
        typed = tidy(field.data or "")
        if typed.isascii() and typed.isdigit():
            self.user_id = min(int(typed), ID_MAX)
        elif typed:
            try:
                self.user_id = services.accounts().user_by_email(typed).id
            except NotFound as error:
                raise ValidationError(error.sentence) from None

    def search(self) -> AuditSearch:
        """Return the search; the form must be valid."""
        zone = services.shop_details().zone
        return AuditSearch(
            user_id=self.user_id,
            action=_as_recorded(tidy(self.what.data or "")),
            subject_id=self.number.data,
            request_id=tidy(self.request.data or "") or None,
            since=_moment(self.since.data, time.min, zone) if self.since.data else None,
            until=_moment(self.until.data, time.max, zone) if self.until.data else None,
        )


def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return a time of a day; the first and the last year would not fit into those of other zones."""
    return datetime.combine(min(max(day, date(2, 1, 1)), date(9998, 12, 31)), at, zone)


def _as_recorded(action: str) -> str | None:
    """Return an action as the log spells it: the page shows `user.role_changed` as "user: role changed"."""
    return action.lower().replace(": ", ".").replace(" ", "_") or None


class WebhookForm(ShopForm):
    """A webhook: its address and the kinds of events that it receives."""

    url = StringField(
        "Address",
        description="Where the other program receives events. It begins with https://",
        widget=URLInput(),
        filters=[tidied],
        validators=[DataRequired("Enter the address."), max_length(URL_MAX), Storable()],
    )
    kinds = SelectMultipleField(
        "Send an event when",
        choices=[SelectChoice(kind, f"{words} ({kind})") for kind, words in EVENT_LABELS.items()],
        default=list(EVENT_LABELS),
        widget=ListWidget(),
        option_widget=CheckboxInput(),
        validators=[DataRequired("Choose at least one.")],
    )
    submit = SubmitField("Register")
