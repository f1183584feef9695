"""The form of the shop's details."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from babel import Locale
from wtforms import (
    BooleanField,
    EmailField,
    Form,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    SubmitField,
    TelField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from bookshop.accounts.emails import normal_email
from bookshop.admin.forms import typed_price
from bookshop.kit.database import now
from bookshop.kit.exceptions import Invalid
from bookshop.kit.money import CURRENCIES, LOCALE, to_major_units
from bookshop.kit.text import EMAIL_MAX, LONGEST_TEXT
from bookshop.orders.wording import BUTTONS
from bookshop.shop.holidays import public_holidays
from bookshop.shop.hours import WEEKDAYS, format_hours, parse_hours
from bookshop.shop.models import (
    COLLECT_DAYS_MAX,
    EXCEPTIONS_MAX,
    LINE_MAX,
    MAIL_DELAY_MAX,
    NAME_MAX,
    NOTE_MAX,
    PHONE_MAX,
    POSTCODE_MAX,
    REGISTRATION_MAX,
    TAGLINE_MAX,
    TO_PAY,
    TO_RESERVE,
    VAT_NOTE_MAX,
    VAT_NUMBER_MAX,
)
from bookshop.shop.service import COUNTRIES, Details
from bookshop.shop.single_days import TOO_MANY, format_days, parse_days
from bookshop.web.forms import Storable, VersionedForm, WholeNumberField, max_length, readable, tidied
from bookshop.web.jinja import weekday

HOURS_MAX = 80
DAYS_RANGE = f"The number of days must be from 1 to {COLLECT_DAYS_MAX}."
DELAY_RANGE = f"The number of seconds must be from 0 to {MAIL_DELAY_MAX:,}, which is a day."
CURRENCY_CHOICES = [
    SelectChoice(code, f"{code}: {name}")
    for code, name in sorted(Locale(LOCALE).currencies.items())
    if code in CURRENCIES
]
BY_NAME = [SelectChoice(code, COUNTRIES[code]) for code in sorted(COUNTRIES, key=COUNTRIES.__getitem__)]
TEXTS = (
    *("name", "tagline", "street", "postcode", "city", "country", "phone", "email"),
    *("responsible", "registration", "vat_number", "vat_note", "time_zone", "currency"),
)
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


def amount_field(label: str, description: str) -> StringField:
    """Return the field for an amount that may stay empty; see `typed_price`."""
    options = {"description": description, "render_kw": {"inputmode": "decimal"}}
    return StringField(label, filters=[tidied], validators=[Optional()], **options)


class ShopDetailsForm(VersionedForm):
    """What owners enter about the shop."""

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
    responsible = optional_text("Person responsible (optional)", LINE_MAX, description="For the imprint")
    registration = optional_text(
        "Registration (optional)", REGISTRATION_MAX, description="For the imprint, such as the court and the number"
    )
    vat_number = optional_text("VAT number (optional)", VAT_NUMBER_MAX, description="For the imprint")
    vat_note = optional_text(
        "Note on VAT (optional)", VAT_NOTE_MAX, description="Beside totals, such as: Prices include VAT."
    )
    time_zone = SelectField("Time zone", description="Of all times that customers and staff read")
    currency = SelectField(
        "Currency of new books", choices=CURRENCY_CHOICES, description="Books that have a price keep theirs."
    )
    collect_days = WholeNumberField(
        "Days for which an order is kept ready",
        validators=[readable, InputRequired("Enter a number of days."), NumberRange(1, COLLECT_DAYS_MAX, DAYS_RANGE)],
        render_kw={"inputmode": "numeric"},
    )
    post_orders = BooleanField("Customers can have orders posted")
    postage = amount_field("Postage of an order", "In the currency above. Customers see the total before they order.")
    postage_free = amount_field("Postage is free from (optional)", "The total of the books in that currency")
    order_wording = RadioField(
        "The button that places an order says",
        choices=[
            SelectChoice(TO_RESERVE, f"{BUTTONS[TO_RESERVE]}: customers buy the books when they pay in the shop"),
            SelectChoice(TO_PAY, f"{BUTTONS[TO_PAY]}: customers owe what they order"),
        ],
        description="The second is necessary if you post orders.",
    )
    mail_delay = WholeNumberField(
        "Seconds before a back-in-stock e-mail is sent",
        description="If a stock was entered by mistake, set it back to 0 in this time, and no customer gets an e-mail.",
        validators=[readable, InputRequired("Enter a number of seconds."), NumberRange(0, MAIL_DELAY_MAX, DELAY_RANGE)],
        render_kw={"inputmode": "numeric"},
    )
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
    submit = SubmitField("Save")

    def __init__(self, details: Details) -> None:
        super().__init__(
            **{name: getattr(details, name) for name in TEXTS},
            **dict(zip(DAYS, details.week, strict=True)),
            post_orders=details.post_orders,
            collect_days=details.collect_days,
            order_wording=details.order_wording,
            postage=_written(details.postage_cents, details.currency),
            postage_free=_written(details.postage_free_cents, details.currency),
            mail_delay=details.mail_delay,
            exceptions=format_days(details.exceptions),
            version=details.version,
        )
        self.time_zone.choices = list(time_zones())
        self.has_hours = details.hours.are_known
        self.names = _suggested(details)
        self.holidays.choices = [SelectChoice(day, _holiday(day, name)) for day, name in self.names.items()]
        self.single_days: dict[str, list[str]] = {}
        self.amounts: dict[str, int | None] = {"postage_cents": None, "postage_free_cents": None}

    def validate_email(self, field: EmailField) -> None:
        if field.data:
            try:
                field.data = normal_email(field.data)
            except Invalid as error:
                raise ValidationError(error.sentence) from None

    def validate_post_orders(self, field: BooleanField) -> None:
        if field.data and not self.postage.data:
            raise ValidationError("Enter the postage below, or 0 if it is free.")

    def validate_order_wording(self, field: RadioField) -> None:
        if self.post_orders.data and field.data == TO_RESERVE:
            raise ValidationError(
                "An order by post obliges the customer to pay, and its button has to say so. Choose the second one, or "
                "post no orders."
            )

    def validate_postage(self, field: StringField) -> None:
        self.amounts["postage_cents"] = typed_price(field, self.currency.data)

    def validate_postage_free(self, field: StringField) -> None:
        self.amounts["postage_free_cents"] = typed_price(field, self.currency.data)

    def validate_exceptions(self, field: TextAreaField) -> None:
        try:
            self.single_days = parse_days(field.data or "")
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def validate_holidays(self, field: SelectMultipleField) -> None:
        """Add the ticked days to the others, which count if a day is among both."""
        closed = {day: ["", self.names[day]] for day in field.data or () if day in self.names}
        self.single_days = closed | self.single_days
        if len(self.single_days) > EXCEPTIONS_MAX:
            raise ValidationError(TOO_MANY)

    def values(self) -> dict[str, Any]:
        """Return the details for ShopService.change."""
        texts = {name: self[name].data or "" for name in TEXTS}
        week = [format_hours(parse_hours(self[day].data or "")) for day in DAYS]
        rules = {name: self[name].data for name in ("post_orders", "order_wording", "collect_days", "mail_delay")}
        return {**texts, **rules, **self.amounts, "week": week, "exceptions": self.single_days}


def _written(cents: int | None, currency: str) -> str:
    """Return an amount as owners type it; empty if there is none."""
    return "" if cents is None else str(to_major_units(cents, currency))


@cache
def time_zones() -> Sequence[str]:
    """Return the time zones that are named after places, and UTC."""
    return ["UTC", *sorted(name for name in available_timezones() if name.split("/")[0] in CONTINENTS)]


def _suggested(details: Details) -> Mapping[str, str]:
    """Return the names of coming public holidays that fall on a day on which the shop would be open."""
    found = public_holidays(details.country, details.local(now()).date())
    return {day.isoformat(): name[:NOTE_MAX].strip() for day, name in found.items() if details.hours.on(day)}


def _holiday(day: str, name: str) -> str:
    return f"{weekday(date.fromisoformat(day))}: {name}"
