"""The forms of the staff pages for imports."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from flask_wtf.file import FileField, FileRequired
from wtforms import Field, RadioField, SelectField, StringField, SubmitField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import NumberRange, Optional, ValidationError

from bookshop.admin.forms import COPIES, typed_price
from bookshop.bookfiles.columns import FIELD_WORDS, FIELDS, OF_ONE_PROGRAM, SEVERAL
from bookshop.bookfiles.encodings import CHOICES
from bookshop.catalog.models import STOCK_MAX
from bookshop.imports.models import ImportJob
from bookshop.web import services
from bookshop.web.forms import ShopForm, WholeNumberField, readable

TWO_ARE_NAMED = 2
COLUMNS_CHANGED = "The columns have been read again meanwhile. Look at them again."


class ImportForm(ShopForm):
    """A file of books to import, and what new books get that it does not say."""

    file = FileField(
        "File",
        description="CSV, Excel (.xlsx), OpenDocument (.ods) or ONIX 3, up to 200 MB",
        validators=[FileRequired("Choose a file.")],
    )
    price = StringField(
        "Price of each new book, if the file does not say (optional)",
        validators=[Optional()],
        render_kw={"inputmode": "decimal", "autocomplete": "off"},
    )
    stock_quantity = WholeNumberField(
        "Copies of each new book, if the file does not say (optional)",
        validators=[Optional(), readable, NumberRange(0, STOCK_MAX, COPIES)],
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    submit = SubmitField("Check the file")

    price_cents: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.price.description = (
            f"In {services.shop_details().currency}. Without it, such books have a price on request."
        )
        self.stock_quantity.description = "Without it, such books are out of stock."

    def validate_price(self, field: StringField) -> None:
        self.price_cents = typed_price(field, services.shop_details().currency)

    def options(self) -> dict[str, int | None]:
        """Return the values of new books that the file does not have, for ImportService.create."""
        return {"price_cents": self.price_cents, "stock_quantity": self.stock_quantity.data}


class ColumnsField(Field):  # type: ignore[misc]
    """The field of each column of a file, "" for a column that is not used; sent once for each column."""

    data: list[str]

    def __init__(self, label: str = "", **options: Any) -> None:
        super().__init__(label, **options)
        self.header: Sequence[str] = ()
        self.choices: dict[str, str] = {}

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = [value if isinstance(value, str) else "" for value in valuelist]

    def pre_validate(self, _form: Any) -> None:
        """Check that each column has one of the fields, and that a field has one column unless several may feed it."""
        if not set(self.data or ()) <= {"", *self.choices}:
            raise ValidationError("Not a valid choice.")
        if len(self.data or ()) != len(self.header):
            raise ValidationError(COLUMNS_CHANGED)
        for field, names in self._named().items():
            if len(names) >= TWO_ARE_NAMED and field not in SEVERAL:
                both = " and ".join(names[:TWO_ARE_NAMED])
                raise ValidationError(f"{both} cannot both be the {self.choices[field]}. Choose one of them.")

    def _named(self) -> dict[str, list[str]]:
        """Return the names of the columns of each field that is used."""
        names = defaultdict(list)
        for number, (name, field) in enumerate(zip(self.header, self.data, strict=True), start=1):
            if field:
                names[field].append(f"“{name}”" if name.strip() else f"column {number}")
        return names


class ColumnsForm(ShopForm):
    """How an import reads the columns, the numbers and the names of its file."""

    columns = ColumnsField("Columns")
    encoding = SelectField("Encoding", description="Choose another one if the preview shows letters such as Ã¼ or Ÿ.")
    decimal = RadioField(
        "Prices",
        choices=[SelectChoice(".", "1,234.50 is read as 1234.50"), SelectChoice(",", "1.234,50 is read as 1234.50")],
    )
    names = RadioField(
        "Names of authors",
        choices=[
            SelectChoice("first last", "“Jane Austen, Franz Kafka” is read as two authors"),
            SelectChoice("last, first", "“Kafka, Franz” is read as one author, Franz Kafka"),
        ],
    )

    def __init__(self, job: ImportJob) -> None:
        super().__init__(columns=job.mapping, decimal=job.decimal, names=job.names, encoding=job.encoding or "")
        self.encoding.choices = list(dict.fromkeys([job.encoding, *CHOICES])) if job.encoding else [""]
        offered = [field for field in FIELDS if field not in OF_ONE_PROGRAM or field in job.mapping]
        self.columns.header, self.columns.choices = job.header, {field: FIELD_WORDS[field] for field in offered}
