"""The base class, fields, filters and validators of all forms."""

import re
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import g, request
from flask_wtf import FlaskForm
from flask_wtf.csrf import validate_csrf
from flask_wtf.file import FileField
from werkzeug.datastructures import CombinedMultiDict, MultiDict
from wtforms import Field, Form, HiddenField, IntegerField, StringField
from wtforms.validators import InputRequired, Length, StopValidation, ValidationError
from wtforms.widgets import HiddenInput, TextInput

from bookshop.kit.exceptions import BookshopError, Conflict, TooManyAttempts
from bookshop.kit.text import problem_in, tidy

ONCE = re.compile(r"[A-Za-z0-9_-]{22}")
WHOLE = re.compile(r"-?[0-9]{1,20}")
GROUPS = ("RadioField", "SelectMultipleField")  # shown as one input for each choice
PAGE_TOO_OLD = "This page was open for too long. What you typed is still here: send it again."
NO_COOKIE = "Your browser did not send our cookie. Allow cookies for this site, then send it again."


def new_once() -> str:
    """Return a random name for the forms of a page, which identifies them if they are sent twice."""
    return secrets.token_urlsafe(16)


def has_csrf_token() -> bool:
    """Whether the form was sent from a page of this session; others must not see the response."""
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError:
        return False
    return True


class Problem(NamedTuple):
    """What is wrong with a form: a sentence, the label of its field if it belongs to one, and the id to link to."""

    sentence: str
    label: str = ""
    target: str = ""


class ShopForm(FlaskForm):  # type: ignore[misc]
    """A form with a CSRF token and a random name, `once`, so that sending it twice has one effect.

    A single button is a form without further fields.
    """

    once = HiddenField(default=new_once)

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        """English messages; data only from the form body, not from JSON, and files only for file fields."""

        locales = ["en"]

        def wrap_formdata(self, form: Form, formdata: Any) -> Any:
            if not form.is_submitted():
                return g.get("typed")  # what was typed before a login expired: see kept_forms
            files = [(field.name, file) for field in form if isinstance(field, FileField)
                     for file in request.files.getlist(field.name)]  # fmt: skip
            return CombinedMultiDict([request.form, MultiDict(files)])

    throttled: TooManyAttempts | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        g.setdefault("forms", []).append(self)

    @property
    def status(self) -> int:
        """The status of the page with this form: 400 or 429 when it is shown again with errors."""
        return 429 if self.throttled else 400 if self.is_submitted() else 200

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the page with this form."""
        return {"Retry-After": str(self.throttled.seconds)} if self.throttled else {}

    def add_error(self, error: BookshopError) -> None:
        """Show a service's error at the field that it names, or above the form."""
        if isinstance(error, TooManyAttempts):
            self.throttled = error
        field = self._fields.get(getattr(error, "field", ""))
        if field is None:
            self.form_errors.append(error.sentence)
        else:
            field.errors = [*field.errors, error.sentence]

    def refuse(self, error: BookshopError) -> int:
        """Show a service's error like `add_error`; returns the status of the page that shows it."""
        self.add_error(error)
        return 409 if isinstance(error, Conflict) else self.status


def is_refused() -> bool:
    """Whether the page shows a form with errors; its title then says so."""
    return any(form.errors for form in g.get("forms", ()))


def problems_of(*forms: Form) -> list[Problem]:
    """Return what is wrong with forms that are sent together, first what belongs to no field that is shown."""
    found = [Problem(sentence) for form in forms for sentence in form.form_errors]
    found += [problem for form in forms for field in form for problem in _problems_at(field)]
    return sorted(found, key=lambda problem: bool(problem.label))


def _problems_at(field: Field) -> Iterator[Problem]:
    if field.type == "CSRFTokenField":
        yield from [Problem(PAGE_TOO_OLD if request.cookies else NO_COOKIE)] if field.errors else []
    elif isinstance(field.widget, HiddenInput):
        yield from map(Problem, field.errors)
    else:
        target = f"{field.id}-0" if field.type in GROUPS else field.id
        yield from (Problem(sentence, field.label.text, target) for sentence in field.errors)


def field_attributes(field: Field, *, group: bool = False) -> dict[str, str]:
    """Return the attributes that tie a field, or a `group` of choices, to its hint and its errors."""
    shown = [f"{field.id}-{part}" for part, text in (("hint", field.description), ("error", field.errors)) if text]
    described = {"aria-describedby": " ".join(shown)} if shown else {}
    return {**described, "aria-invalid": "true"} if field.errors and not group else described


def code_field() -> StringField:
    """Return the field for a code of the second factor, or a recovery code."""
    return StringField(
        "Code",
        description="The 6 digits in your authenticator app, or one of your recovery codes",
        validators=[InputRequired("Enter the code from your authenticator app.")],
        render_kw={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"},
    )


class Storable:
    """Validator: text must be fit to store and show; `lines` allows more than one line."""

    def __init__(self, *, lines: bool = False) -> None:
        self.lines = lines

    def __call__(self, form: Form, field: Field) -> None:
        if field.data and (problem := problem_in(field.data, lines=self.lines)):
            raise ValidationError(f"The text {problem}.")


def max_length(longest: int) -> Length:
    """Return a validator: text must have at most this many characters."""
    return Length(max=longest, message=f"This is too long. Enter at most {longest:,} characters.")


def readable(_form: Form, field: Field) -> None:
    """Validator: skip further checks of a value that could not be parsed, as the field already shows an error."""
    if field.process_errors:
        raise StopValidation


def tidied(text: str | None) -> str | None:
    """Filter: strip and normalise the text; None if nothing is left."""
    return tidy(text) or None if text else None


class WholeNumberField(IntegerField):  # type: ignore[misc]
    """A whole number typed in digits only: 2,5 and 1,000 are refused as ambiguous.

    It is a text input, because browsers drop characters from number inputs: 2,5 could arrive as 25.
    """

    data: Any
    widget = TextInput()

    def process_formdata(self, valuelist: list[Any]) -> None:
        typed = str(valuelist[0]).strip().replace("\N{MINUS SIGN}", "-") if valuelist else ""
        if valuelist and not WHOLE.fullmatch(typed):
            self.data = None
            raise ValueError("Enter a whole number in digits, such as 12.")
        super().process_formdata([typed] if valuelist else [])


class VersionedForm(ShopForm):
    """The form of something that has a version; `version` is the one that the page has shown, 0 for something new."""

    version = WholeNumberField(widget=HiddenInput(), default=0, validators=[readable, InputRequired()])

    def show_again(self, version: int) -> None:
        """Let the next save apply to this version, after a change in between has been pointed out."""
        self.version.raw_data, self.version.data = None, version
