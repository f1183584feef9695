"""The form of the shop's details."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from wtforms import (
    EmailField,
    Form,
    SelectField,
    SelectMultipleField,
    StringField,
    SubmitField,
    TelField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, Optional, ValidationError
from wtforms.widgets import CheckboxInput, HiddenInput, ListWidget

from bookshop.accounts.emails import normal_email
from bookshop.kit.database import now
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import EMAIL_MAX, LONGEST_TEXT
from bookshop.shop.holidays import public_holidays
from bookshop.shop.hours import WEEKDAYS, format_hours, parse_hours
from bookshop.shop.models import (
    EXCEPTIONS_MAX,
    LINE_MAX,
    NAME_MAX,
    NOTE_MAX,
    PHONE_MAX,
    POSTCODE_MAX,
    TAGLINE_MAX,
)
from bookshop.shop.service import COUNTRIES, Details
from bookshop.web.forms import ShopForm, Storable, WholeNumberField, max_length, readable, tidied
from bookshop.web.jinja import weekday

EXCEPTION = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})\s*:?\s+(?P<hours>closed|[0-9][0-9:.,;hapm\s\u2013\u2014-]*?)(?:\s+(?P<note>[^\W\d].*))?",
    re.IGNORECASE,
)
NO_EXCEPTION = "Write the date, the hours or “closed”, and why: 2026-12-24 9:00-12:00 Christmas Eve"
HOURS_MAX = 80
BY_NAME = [SelectChoice(code, COUNTRIES[code]) for code in sorted(COUNTRIES, key=COUNTRIES.__getitem__)]
TEXTS = ("name", "tagline", "street", "postcode", "city", "country", "phone", "email", "time_zone")
DAYS = tuple(day.lower() for day in WEEKDAYS)
CONTINENTS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"),
)


def optional_text(label: str, longest: int, **options: Any) -> StringField:
    """Return a field for a line that may stay empty."""
    return StringField(label, filters=[tidied], validators=[Optional(), max_length(longest), Storable()], **options)


def readable_hours(_form: Form, field: StringField) -> None:
    """Refuse what `parse_hours` cannot read."""
    try:
        parse_hours(field.data or "")
    except ValueError as error:
        raise ValidationError(str(error)) from None


def hours_field(weekday: str) -> StringField:
    """Return the field for the hours of a weekday."""
    return StringField(weekday, filters=[tidied], validators=[Optional(), max_length(HOURS_MAX), readable_hours])


class ShopDetailsForm(ShopForm):
    """Name, address and opening hours of the shop. `version` is that of the details that the page has shown."""

    name = StringField(
        "Name",
        filters=[tidied],
        validators=[DataRequired("Enter the name of the shop."), max_length(NAME_MAX), Storable()],
    )
    tagline = optional_text("Tagline (optional)", TAGLINE_MAX, description="A few words below the name")
    street = optional_text("Street and number (optional)", LINE_MAX, render_kw={"autocomplete": "street-address"})
    postcode = optional_text("Postcode (optional)", POSTCODE_MAX, render_kw={"autocomplete": "postal-code"})
    city = optional_text("Town or city (optional)", LINE_MAX, render_kw={"autocomplete": "address-level2"})
    country = SelectField("Country (optional)", choices=[SelectChoice("", ""), *BY_NAME])
    phone = TelField("Phone (optional)", filters=[tidied], validators=[Optional(), max_length(PHONE_MAX), Storable()])
    email = EmailField(
        "E-mail for customers (optional)", filters=[tidied], validators=[Optional(), max_length(EMAIL_MAX)]
    )
    time_zone = SelectField("Time zone", description="Of all times that customers and staff read")
    monday, tuesday, wednesday, thursday, friday, saturday, sunday = map(hours_field, WEEKDAYS)
    exceptions = TextAreaField(
        "Other hours on single days (optional)",
        description="A day a line, such as 2026-12-24 9:00-12:00 Christmas Eve, or 2026-12-25 closed Christmas Day",
        filters=[tidied],
        validators=[Optional(), Length(max=LONGEST_TEXT), Storable(lines=True)],
        render_kw={"rows": 6, "spellcheck": "false"},
    )
    holidays = SelectMultipleField(
        "Public holidays on which the shop is closed",
        widget=ListWidget(),
        option_widget=CheckboxInput(),
        description="Those of the whole country. Add regional ones above.",
    )
    version = WholeNumberField(widget=HiddenInput(), validators=[readable, InputRequired()])
    submit = SubmitField("Save")

    def __init__(self, details: Details) -> None:
        super().__init__(
            **{name: getattr(details, name) for name in TEXTS},
            **dict(zip(DAYS, details.week, strict=True)),
            exceptions=_written(details.exceptions),
            version=details.version,
        )
        self.time_zone.choices = list(time_zones())
        self.names = _suggested(details)
        self.holidays.choices = [SelectChoice(day, _holiday(day, name)) for day, name in self.names.items()]
        self.read_exceptions: dict[str, list[str]] = {}

    def validate_email(self, field: EmailField) -> None:
        if field.data:
            try:
                field.data = normal_email(field.data)
            except Invalid as error:
                raise ValidationError(error.sentence) from None

    def validate_exceptions(self, field: TextAreaField) -> None:
        """Read the lines; one that cannot be read is named."""
        for number, line in enumerate((field.data or "").splitlines(), start=1):
            if line.strip():
                try:
                    day, exception = _exception(line.strip())
                except ValueError as error:
                    raise ValidationError(f"Line {number} cannot be read. {error}") from None
                self.read_exceptions[day] = exception
        if len(self.read_exceptions) > EXCEPTIONS_MAX:
            raise ValidationError(f"There are {len(self.read_exceptions)} days. Keep at most {EXCEPTIONS_MAX}.")

    def values(self) -> dict[str, Any]:
        """Return the details for ShopService.change."""
        texts = {name: self[name].data or "" for name in TEXTS}
        week = [format_hours(parse_hours(self[day].data or "")) for day in DAYS]
        closed = {day: ["", self.names[day][:NOTE_MAX]] for day in self.holidays.data or ()}
        return {**texts, "week": week, "exceptions": {**closed, **self.read_exceptions}}


@cache
def time_zones() -> Sequence[str]:
    """Return the time zones that are named after places, and UTC."""
    return ["UTC", *sorted(name for name in available_timezones() if name.split("/")[0] in CONTINENTS)]


def _suggested(details: Details) -> Mapping[str, str]:
    """Return the names of coming public holidays that fall on a day on which the shop would be open."""
    found = public_holidays(details.country, details.local(now()).date())
    return {day.isoformat(): name for day, name in found.items() if details.hours.on(day)}


def _holiday(day: str, name: str) -> str:
    return f"{weekday(date.fromisoformat(day))}: {name}"


def _written(exceptions: Mapping[str, Sequence[str]]) -> str:
    lines = (f"{day} {hours or 'closed'} {note}".rstrip() for day, (hours, note) in sorted(exceptions.items()))
    return "\n".join(lines)


def _exception(line: str) -> tuple[str, list[str]]:
    """Read a line: the ISO date, the hours and the note of an exception."""
    match = EXCEPTION.fullmatch(line)
    if not match:
        raise ValueError(NO_EXCEPTION)
    note = match["note"] or ""
    if len(note) > NOTE_MAX:
        raise ValueError(f"A note can have at most {NOTE_MAX} characters.")
    try:
        day = date.fromisoformat(match["day"])
    except ValueError:
        raise ValueError(f"There is no day {match['day']}.") from None
    return day.isoformat(), [format_hours(parse_hours(match["hours"])), note]
