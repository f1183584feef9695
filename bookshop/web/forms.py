"""What all forms have in common."""

import re
import secrets
from typing import Any

from flask import request
from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from werkzeug.datastructures import CombinedMultiDict, MultiDict
from wtforms import Field, Form, HiddenField, IntegerField
from wtforms.validators import StopValidation, ValidationError
from wtforms.widgets import TextInput

from bookshop.kit.exceptions import BookshopError, TooManyAttempts
from bookshop.kit.text import problem_in, tidy

ONCE = re.compile(r"[A-Za-z0-9_-]{22}")
WHOLE = re.compile(r"-?[0-9]{1,20}")


def new_once() -> str:
    """A name for the forms of a page, by which they are known if they are sent twice."""
    return secrets.token_urlsafe(16)


class ShopForm(FlaskForm):  # type: ignore[misc]
    """A form with a CSRF token and, as `once`, a name for the page that shows it: it has one effect.

    A button alone is a form without fields.
    """

    once = HiddenField(default=new_once)

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        """English messages, and fields from a form alone: not from JSON, nor from files unless a field is for one."""

        locales = ["en"]

        def wrap_formdata(self, form: Form, formdata: Any) -> Any:
            if not form.is_submitted():
                return None
            files = [(field.name, file) for field in form if isinstance(field, FileField)
                     for file in request.files.getlist(field.name)]  # fmt: skip
            return CombinedMultiDict([request.form, MultiDict(files)])

    too_early: TooManyAttempts | None = None

    @property
    def status(self) -> int:
        """The status of the page that shows the form: 400 or 429 when it is shown again with a refusal."""
        return 429 if self.too_early else 400 if self.is_submitted() else 200

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the page that shows the form."""
        return {"Retry-After": str(self.too_early.seconds)} if self.too_early else {}

    def add_error(self, refused: BookshopError) -> None:
        """Show a service's refusal at the field that it names, or above the form."""
        if isinstance(refused, TooManyAttempts):
            self.too_early = refused
        field = self._fields.get(getattr(refused, "field", ""))
        if field is None:
            self.form_errors.append(refused.sentence)
        else:
            field.errors = [*field.errors, refused.sentence]


class Storable:
    """Validator: text that can be stored and shown; `lines` allows more than one line."""

    def __init__(self, *, lines: bool = False) -> None:
        self.lines = lines

    def __call__(self, form: Form, field: Field) -> None:
        if field.data and (problem := problem_in(field.data, lines=self.lines)):
            raise ValidationError(f"The text {problem}.")


def readable(_form: Form, field: Field) -> None:
    """Validator: say no more about a value that could not even be read, which the field has said already."""
    if field.process_errors:
        raise StopValidation


def tidied(text: str | None) -> str | None:
    """Filter: the text without blanks around it, None if nothing is left."""
    return tidy(text) or None if text else None


class WholeNumberField(IntegerField):  # type: ignore[misc]
    """A whole number that a person types, in digits alone: 2,5 and 1,000 are refused, as nobody can tell what is meant.

    A text field: from its own number fields a browser drops what it does not understand, so that 2,5 arrives as 25.
    """

    data: Any
    widget = TextInput()

    def process_formdata(self, valuelist: list[Any]) -> None:
        typed = str(valuelist[0]).strip().replace("\N{MINUS SIGN}", "-") if valuelist else ""
        if valuelist and not WHOLE.fullmatch(typed):
            self.data = None
            raise ValueError("Please write a whole number in digits, such as 12.")
        super().process_formdata([typed] if valuelist else [])
