"""The short forms of the delivery page for books that the shop does not have yet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import request
from wtforms import BooleanField, Form, StringField
from wtforms.validators import DataRequired, InputRequired

from bookshop.admin.forms import typed_price
from bookshop.catalog.models import AUTHORS_MAX, TITLE_MAX
from bookshop.inventory.service import Delivery, DeliveryLine
from bookshop.kit.money import to_major_units
from bookshop.reference.repository import ReferenceRepository, Title
from bookshop.web import services
from bookshop.web.forms import Storable, max_length, tidied

IN_FORM = {"form": "delivery"}  # the id of the page's form, as these fields are beside it
TYPED = ("title", "authors", "price")
FROM_REFERENCE = ("publisher", "language", "published_year", "description")


class NewTitleForm(Form):  # type: ignore[misc]
    """A book to add: filled in from what was typed, else from the reference catalogue, else from the delivered file."""

    wanted = BooleanField("Add this book and receive its copies", render_kw=IN_FORM)
    title = StringField(
        "Title",
        filters=[tidied],
        validators=[DataRequired("Enter a title."), max_length(TITLE_MAX), Storable()],
        render_kw=IN_FORM,
    )
    authors = StringField(
        "Authors",
        description="Separated by commas",
        filters=[tidied],
        validators=[DataRequired("Enter the authors."), max_length(AUTHORS_MAX), Storable()],
        render_kw=IN_FORM,
    )
    price = StringField(
        "Price",
        validators=[InputRequired("Enter a price, or 0 for a price on request.")],
        render_kw={**IN_FORM, "inputmode": "decimal"},
    )

    def __init__(self, line: DeliveryLine, reference: Title | None, in_file: Mapping[str, Any]) -> None:
        self.line, self.reference, self.currency = line, reference, services.shop_details().currency
        prefix = f"new-{line.isbn}-"
        self.was_shown = f"{prefix}title" in request.form
        typed = any(request.form.get(f"{prefix}{name}", "").strip() for name in TYPED)
        keep = typed or (self.was_shown and not in_file)
        ticked = not self.was_shown or f"{prefix}wanted" in request.form
        suggested = {"wanted": ticked, **self._suggested(in_file)}
        super().__init__(formdata=request.form if keep else None, prefix=prefix, data=suggested)

    def _suggested(self, in_file: Mapping[str, Any]) -> dict[str, Any]:
        known = {name: value for name, value in (self.reference._asdict() if self.reference else {}).items() if value}
        price = self._price_of(known) or self._price_of(in_file)
        return {**in_file, **known, "price": price}

    def _price_of(self, values: Mapping[str, Any]) -> str | None:
        """Return a price as it is typed, if it is in the shop's currency."""
        cents = values.get("price_cents")
        is_ours = values.get("currency") in (None, self.currency)
        return str(to_major_units(cents, self.currency)) if cents is not None and is_ours else None

    @property
    def is_left_out(self) -> bool:
        """Whether the book is not to be added: its box is not ticked, nothing is typed, or it was not on the page."""
        return not (self.was_shown and self.wanted.data and any(self[name].data for name in TYPED))

    def validate_price(self, field: StringField) -> None:
        self.price_cents = typed_price(field, self.currency)

    def values(self) -> dict[str, Any]:
        """Return the fields of the book in the form that the catalogue service expects; the form must be valid."""
        known = {name: getattr(self.reference, name, None) for name in FROM_REFERENCE}
        typed = {"title": self.title.data, "authors": self.authors.data, "price_cents": self.price_cents}
        return {**known, **typed, "currency": self.currency}


class NewTitles:
    """The forms of all the new titles of a delivery."""

    def __init__(self, lines: Iterable[DeliveryLine], in_file: Mapping[str, Mapping[str, Any]]) -> None:
        unknown = [line for line in lines if line.can_be_added]
        known = services.repository(ReferenceRepository).find([line.isbn for line in unknown])
        self.forms = [NewTitleForm(line, known.get(line.isbn), in_file.get(line.isbn, {})) for line in unknown]

    def validate(self) -> bool:
        """Check each form that is not left out; all errors are then at their fields."""
        wrong = [form for form in self._wanted if not form.validate()]
        return not wrong

    @property
    def _wanted(self) -> Sequence[NewTitleForm]:
        return [form for form in self.forms if not form.is_left_out]

    @property
    def isbns(self) -> set[str]:
        """The ISBN-13s of the new titles."""
        return {form.line.isbn for form in self.forms}

    def add_to(self, delivery: Delivery) -> Delivery:
        """Return the delivery with the books to add; the forms must be valid."""
        return replace(delivery, new={form.line.isbn: form.values() for form in self._wanted})
