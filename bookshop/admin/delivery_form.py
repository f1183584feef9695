"""The form of a delivery: lines that are typed, scanned, dropped as a file or read from a photo."""

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask_wtf.file import FileField
from wtforms import StringField, SubmitField, TextAreaField
from wtforms.validators import DataRequired, Length, ValidationError
from wtforms.widgets import HiddenInput

from bookshop.admin.delivery_file import read_delivery_file
from bookshop.inventory.barcodes import read_isbns
from bookshop.inventory.delivery_note import LINES_MAX, NoteLine, copies_by_isbn, read_note
from bookshop.inventory.service import Delivery, DeliveryLine
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import LONGEST_TEXT
from bookshop.web import services
from bookshop.web.forms import ShopForm, Storable, tidied

DELIVERY_NUMBER = re.compile(r"[0-9a-f]{8}")


class DeliveryForm(ShopForm):
    """A delivery as typed or scanned, one book per line.

    `number` identifies the delivery from its first preview on, so that submitting it again receives nothing twice.
    `previewed` is what the preview showed, so that only previewed lines can be received. The lines of a file and the
    barcodes of a photo are added to the typed ones, apart from the `unread` ones of the file. `in_file` is what the
    file says about titles, by ISBN-13, and `notice` a sentence about its copies, if they may not be those delivered.
    """

    lines = TextAreaField(
        "ISBNs, one per line",
        description="For example 9780141439587, or 9780141439587 x5 for five copies. A book may be on several lines.",
        filters=[tidied],
        validators=[
            DataRequired("Scan or type at least one ISBN."),
            Length(max=LONGEST_TEXT, message="This text is too long. Split the delivery into smaller parts."),
            Storable(lines=True),
        ],
        render_kw={"rows": 10, "autofocus": True, "autocomplete": "off", "spellcheck": "false"},
    )
    file = FileField(
        "Delivery note as a file (optional)",
        description="CSV or Excel, up to 4 MB, with a column for the ISBN and one for the copies",
    )
    photo = FileField(
        "Take a photo of the barcode (optional)",
        description="JPEG, PNG or WebP, up to 8 MB. Hold the camera straight and close.",
        render_kw={"accept": "image/jpeg,image/png,image/webp", "capture": "environment"},
    )
    number = StringField(widget=HiddenInput())
    previewed = StringField(widget=HiddenInput())
    receive = SubmitField("Receive")

    def __init__(self) -> None:
        super().__init__()
        self.in_file: Mapping[str, Mapping[str, Any]] = {}
        self.added: Sequence[str] = ()
        self.unread: Sequence[NoteLine] = ()
        self.notice = ""

    def validate(self, extra_validators: Any = None) -> bool:
        """Add the lines of the files to the typed ones, then check the form."""
        self.added = [*self._lines_of_file(), *self._lines_of_photo()]
        if self.added:
            self.lines.data = "\n".join(filter(None, [self.lines.data, *self.added]))
        return bool(super().validate(extra_validators))

    def _lines_of_file(self) -> Sequence[str]:
        if not self.file.data:
            return ()
        try:
            found = read_delivery_file(self.file.data, services.shop_details().currency)
        except Invalid as error:
            self.file.process_errors.append(error.sentence)
            return ()
        self.in_file, self.unread, self.notice = found.titles, found.problems, found.notice
        return found.lines

    def _lines_of_photo(self) -> Sequence[str]:
        if not self.photo.data:
            return ()
        try:
            return read_isbns(self.photo.data.stream)
        except Invalid as error:
            self.photo.process_errors.append(error.sentence)
            return ()

    def validate_lines(self, field: TextAreaField) -> None:
        if field.errors:  # too long, or cannot be stored
            return
        self.note = read_note(field.data)
        if len(self.note) > LINES_MAX:
            raise ValidationError(f"There are {len(self.note):,} lines. Enter at most {LINES_MAX} at a time.")

    def delivery(self, user_id: int) -> Delivery:
        """Return the typed lines as a delivery for the inventory service."""
        number = self.number.data or ""
        self.number.data = number if DELIVERY_NUMBER.fullmatch(number) else secrets.token_hex(4)
        return Delivery(copies=copies_by_isbn(self.note), note=f"Delivery {self.number.data}", user_id=user_id)

    def is_confirmed(self, delivery: Delivery) -> bool:
        """Whether the preview's button was pressed and the preview showed exactly these books and copies."""
        shown = self.previewed.data == _fingerprint(delivery)
        return bool(self.receive.data and delivery.copies and shown)

    def show_preview(self, delivery: Delivery) -> None:
        """Store in the form what the preview shows."""
        self.previewed.data = _fingerprint(delivery)

    def refused_lines(self, lines: Sequence[DeliveryLine], new: Collection[str] = ()) -> list[NoteLine]:
        """Return the lines that cannot be received, each with its problem; those of `new` titles can."""
        refusals = {line.isbn: line.refusal for line in lines if line.isbn not in new}
        marked = [replace(line, problem=line.problem or refusals.get(line.isbn, "")) for line in self.note]
        return [line for line in marked if line.problem]

    def keep_refused_lines(self, lines: Sequence[DeliveryLine]) -> list[NoteLine]:
        """Leave only the lines that were refused in the form, as the start of a new delivery, and return them."""
        wrong = [replace(line, number=number) for number, line in enumerate(self.refused_lines(lines), start=1)]
        self.lines.data = "\n".join(line.text for line in wrong)
        self.number.data = self.previewed.data = ""
        return wrong

    def numbers_of(self, isbn: str) -> list[int]:
        """Return the numbers of the lines that name this book."""
        return [line.number for line in self.note if line.isbn == isbn]


def _fingerprint(delivery: Delivery) -> str:
    return " ".join(f"{isbn}x{copies}" for isbn, copies in delivery.copies.items())
