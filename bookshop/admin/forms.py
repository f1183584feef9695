"""The shape of staff's forms."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import replace

from flask_wtf.file import FileField, FileRequired
from wtforms import RadioField, SelectMultipleField, StringField, SubmitField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional, ValidationError
from wtforms.widgets import CheckboxInput, HiddenInput, ListWidget, URLInput

from bookshop.catalog.isbn import LONGEST_TYPED, isbn13
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
from bookshop.extensions import settings
from bookshop.inventory.delivery_note import LINES_MAX, NoteLine, copies_by_isbn, read_note
from bookshop.inventory.models import CORRECTION, NOTE_MAX, RECEIVED, SALE
from bookshop.inventory.service import Delivery, DeliveryLine, StockChange
from bookshop.kit.money import in_words, major, read_amount
from bookshop.kit.text import LONGEST_TEXT
from bookshop.web.forms import ShopForm, Storable, WholeNumberField, readable, tidied
from bookshop.webhooks.addresses import URL_MAX

DELIVERY_NUMBER = re.compile(r"[0-9a-f]{8}")
COPIES = f"Copies are from 0 to {STOCK_MAX:,}."


class BookForm(ShopForm):
    """A book without its stock; `currency` is the book's own."""

    title = StringField(
        "Title", filters=[tidied], validators=[DataRequired("Please give a title."), Length(max=TITLE_MAX), Storable()]
    )
    authors = StringField(
        "Authors",
        description="Separated by commas",
        filters=[tidied],
        validators=[DataRequired("Please name the authors."), Length(max=AUTHORS_MAX), Storable()],
    )
    isbn = StringField(
        "ISBN",
        description="10 or 13 digits, as printed",
        filters=[tidied],
        validators=[Optional(), Length(max=LONGEST_TYPED)],
    )
    publisher = StringField(
        "Publisher", filters=[tidied], validators=[Optional(), Length(max=PUBLISHER_MAX), Storable()]
    )
    language = StringField(
        "Language",
        description="A code such as en, de or fr-CA",
        filters=[tidied],
        validators=[Optional(), Length(max=LANGUAGE_MAX), Storable()],
    )
    published_year = WholeNumberField(
        "Year of publication",
        validators=[Optional(), readable, NumberRange(YEAR_MIN, YEAR_MAX)],
        render_kw={"inputmode": "numeric"},
    )
    description = TextAreaField(
        "Description",
        filters=[tidied],
        validators=[Optional(), Length(max=DESCRIPTION_MAX), Storable(lines=True)],
        render_kw={"rows": 6},
    )
    price = StringField(
        "Price",
        validators=[InputRequired("Please give a price; 0 is a price on request.")],
        render_kw={"inputmode": "decimal"},
    )
    submit = SubmitField("Save")

    def __init__(self, book: Book | None = None) -> None:
        self.currency = book.currency if book else settings().currency
        super().__init__(obj=book, price=str(major(book.price_cents, self.currency)) if book else None)

    def validate_isbn(self, field: StringField) -> None:
        try:
            field.data = isbn13(field.data)
        except ValueError as error:
            raise ValidationError(f"This {error}.") from None

    def validate_price(self, field: StringField) -> None:
        try:
            self.price_cents = read_amount(field.data or "", self.currency)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not 0 <= self.price_cents <= PRICE_MAX:
            raise ValidationError(f"A price is from 0 to {in_words(PRICE_MAX, self.currency)}.")

    def values(self) -> dict[str, object]:
        """The fields of the book, as the catalogue service takes them."""
        names = ("title", "authors", "isbn", "publisher", "language", "published_year", "description")
        fields = {name: self[name].data for name in names}
        fields["language"] = language_tag(self.language.data) if self.language.data else None
        return {**fields, "price_cents": self.price_cents, "currency": self.currency}


class CoverForm(ShopForm):
    """The picture of a book's cover; what is in the file is looked at when it is read."""

    picture = FileField(
        "Picture",
        description="JPEG, PNG or WebP, up to 8 MB and 40 megapixels, at least 100 × 150 pixels",  # noqa: RUF001
        validators=[FileRequired("Please choose a file.")],
        render_kw={"accept": "image/jpeg,image/png,image/webp"},
    )
    submit = SubmitField("Upload")


class StockForm(ShopForm):
    """A change of one book's stock; `expected` is the stock that the form shows."""

    change = RadioField(
        "What happened",
        choices=[
            SelectChoice(RECEIVED, "Received: add copies"),
            SelectChoice(SALE, "Sold at the counter: take copies away"),
            SelectChoice(CORRECTION, "Counted: set the stock"),
        ],
        default=RECEIVED,
    )
    copies = WholeNumberField(
        "Copies",
        validators=[InputRequired("Please enter a number."), readable, NumberRange(0, STOCK_MAX, COPIES)],
        render_kw={"inputmode": "numeric", "autofocus": True},
    )
    note = StringField(
        "Note",
        description="For the ledger",
        filters=[tidied],
        validators=[Optional(), Length(max=NOTE_MAX), Storable()],
    )
    expected = WholeNumberField(widget=HiddenInput(), validators=[InputRequired()])
    submit = SubmitField("Save stock")

    def validate_copies(self, field: WholeNumberField) -> None:
        if self.change.data == RECEIVED and field.data == 0:
            raise ValidationError("Please enter how many copies came.")
        if self.change.data == SALE and field.data == 0:
            raise ValidationError("Please enter how many copies were sold.")

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


class DeliveryForm(ShopForm):
    """A delivery as it is typed or scanned, one book a line.

    `number` names the delivery from its first preview on, however often the page is sent: so nothing of it is received
    twice. `previewed` is what the preview showed, so that nothing is received that nobody has looked at.
    """

    lines = TextAreaField(
        "ISBNs, one book a line",
        description="9780141439587, or 9780141439587 x5 for five copies. The same book on several lines adds up.",
        filters=[tidied],
        validators=[
            DataRequired("Please scan or type at least one ISBN."),
            Length(max=LONGEST_TEXT, message="This is too much at once. Please send it in parts."),
            Storable(lines=True),
        ],
        render_kw={"rows": 10, "autofocus": True, "autocomplete": "off", "spellcheck": "false"},
    )
    number = StringField(widget=HiddenInput())
    previewed = StringField(widget=HiddenInput())
    receive = SubmitField("Receive")

    def validate_lines(self, field: TextAreaField) -> None:
        if field.errors:  # too long or not to be stored, so not worth reading
            return
        self.note = read_note(field.data)
        if len(self.note) > LINES_MAX:
            raise ValidationError(f"These are {len(self.note):,} lines. Please send at most {LINES_MAX} at a time.")

    def delivery(self, user_id: int) -> Delivery:
        """What was typed, as the service takes it."""
        number = self.number.data or ""
        self.number.data = number if DELIVERY_NUMBER.fullmatch(number) else secrets.token_hex(4)
        return Delivery(copies=copies_by_isbn(self.note), note=f"Delivery {self.number.data}", user_id=user_id)

    def is_confirmed(self, delivery: Delivery) -> bool:
        """Whether this came from the button below the preview, and of the very books and copies that it showed."""
        shown = self.previewed.data == _fingerprint(delivery)
        return bool(self.receive.data and delivery.copies and shown)

    def show_preview(self, delivery: Delivery) -> None:
        """Remember what the preview shows."""
        self.previewed.data = _fingerprint(delivery)

    def wrong(self, lines: Sequence[DeliveryLine]) -> list[NoteLine]:
        """The lines of which nothing can come in, and why."""
        refusals = {line.isbn: line.refusal for line in lines}
        marked = [replace(line, problem=line.problem or refusals[line.isbn]) for line in self.note]
        return [line for line in marked if line.problem]

    def keep_wrong(self, lines: Sequence[DeliveryLine]) -> list[NoteLine]:
        """Leave in the form what could not come in, to be mended and sent as another delivery; returns these lines."""
        kept = [replace(line, number=number) for number, line in enumerate(self.wrong(lines), start=1)]
        self.lines.data = "\n".join(line.text for line in kept)
        self.number.data = self.previewed.data = ""
        return kept

    def numbers_of(self, isbn: str) -> list[int]:
        """The lines on which a book stands."""
        return [line.number for line in self.note if line.isbn == isbn]


def _fingerprint(delivery: Delivery) -> str:
    return " ".join(f"{isbn}x{copies}" for isbn, copies in delivery.copies.items())


TOLD_OF = {
    kinds.STOCK_CHANGED: "the stock of a book changed",
    kinds.BOOK_RESTOCKED: "a book came back in stock",
    kinds.PREBOOKING_CREATED: "a customer reserved a book",
    kinds.PREBOOKING_CANCELLED: "a reservation was cancelled",
    kinds.PREBOOKING_NOTIFIED: "a reserved book came back",
    kinds.ORDER_PLACED: "a customer ordered",
    kinds.ORDER_READY: "an order is ready",
    kinds.ORDER_COLLECTED: "an order was collected",
    kinds.ORDER_CANCELLED: "an order was cancelled",
}


class WebhookForm(ShopForm):
    """A webhook: where it goes, and of what it tells."""

    url = StringField(
        "Address",
        description="Where the other program listens: it begins with https://",
        widget=URLInput(),
        filters=[tidied],
        validators=[DataRequired("Please give the address."), Length(max=URL_MAX), Storable()],
    )
    kinds = SelectMultipleField(
        "Tell it when",
        choices=[SelectChoice(kind, f"{words} ({kind})") for kind, words in TOLD_OF.items()],
        default=list(TOLD_OF),
        widget=ListWidget(),
        option_widget=CheckboxInput(),
        validators=[DataRequired("Please choose at least one.")],
    )
    submit = SubmitField("Register")
