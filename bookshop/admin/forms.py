"""The shape of staff's forms."""

from wtforms import IntegerField, RadioField, StringField, SubmitField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional, ValidationError
from wtforms.widgets import HiddenInput

from bookshop.catalog.isbn import isbn13
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
from bookshop.extensions import settings
from bookshop.forms import PriceField, ShopForm, Storable, readable, tidied
from bookshop.inventory.models import CORRECTION, NOTE_MAX, RECEIVED
from bookshop.inventory.service import StockChange
from bookshop.money import major, minor


class BookForm(ShopForm):
    """A book without its stock; `currency` is the book's own."""

    title = StringField("Title", filters=[tidied], validators=[DataRequired(), Length(max=TITLE_MAX), Storable()])
    authors = StringField(
        "Authors",
        description="Separated by commas",
        filters=[tidied],
        validators=[DataRequired(), Length(max=AUTHORS_MAX), Storable()],
    )
    isbn = StringField(
        "ISBN", description="10 or 13 digits, as printed", filters=[tidied], validators=[Optional(), Length(max=40)]
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
    published_year = IntegerField(
        "Year of publication", validators=[Optional(), readable, NumberRange(YEAR_MIN, YEAR_MAX)]
    )
    description = TextAreaField(
        "Description",
        filters=[tidied],
        validators=[Optional(), Length(max=DESCRIPTION_MAX), Storable(lines=True)],
        render_kw={"rows": 6},
    )
    price = PriceField("Price", places=None, validators=[InputRequired()], render_kw={"inputmode": "decimal"})
    submit = SubmitField("Save")

    def __init__(self, book: Book | None = None) -> None:
        self.currency = book.currency if book else settings().currency
        super().__init__(obj=book, price=major(book.price_cents, self.currency) if book else None)

    def validate_isbn(self, field: StringField) -> None:
        try:
            field.data = isbn13(field.data)
        except ValueError as error:
            raise ValidationError(f"This {error}.") from None

    def validate_price(self, field: PriceField) -> None:
        if field.data is None:  # the field has said already that it is no number
            return
        try:
            self.price_cents = minor(field.data, self.currency)
        except (ValueError, ArithmeticError):
            raise ValidationError("This is not an amount such as 12.90.") from None
        if not 0 <= self.price_cents <= PRICE_MAX:
            raise ValidationError("The price is out of range.")

    def values(self) -> dict[str, object]:
        """The fields of the book, as the catalogue service takes them."""
        names = ("title", "authors", "isbn", "publisher", "language", "published_year", "description")
        fields = {name: self[name].data for name in names}
        fields["language"] = language_tag(self.language.data) if self.language.data else None
        return {**fields, "price_cents": self.price_cents, "currency": self.currency}


class StockForm(ShopForm):
    """A change of one book's stock; `expected` is the stock that the form shows."""

    change = RadioField(
        "What happened",
        choices=[
            SelectChoice(RECEIVED, "Received: add copies"),
            SelectChoice(CORRECTION, "Counted: set the stock"),
        ],
        default=RECEIVED,
    )
    copies = IntegerField(
        "Copies",
        validators=[InputRequired("Please enter a number."), readable, NumberRange(0, STOCK_MAX)],
        render_kw={"inputmode": "numeric", "autofocus": True},
    )
    note = StringField(
        "Note",
        description="For the ledger",
        filters=[tidied],
        validators=[Optional(), Length(max=NOTE_MAX), Storable()],
    )
    expected = IntegerField(widget=HiddenInput(), validators=[InputRequired()])
    submit = SubmitField("Save stock")

    def validate_copies(self, field: IntegerField) -> None:
        if self.change.data == RECEIVED and field.data == 0:
            raise ValidationError("Please enter how many copies came.")

    def stock_change(self, book_id: int, user_id: int) -> StockChange:
        received = self.change.data == RECEIVED
        return StockChange(
            book_id=book_id,
            delta=self.copies.data if received else None,
            quantity=None if received else self.copies.data,
            reason=self.change.data,
            note=self.note.data,
            user_id=user_id,
            expected=self.expected.data,
        )
