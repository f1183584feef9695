"""The forms of staff picks."""

from collections.abc import Sequence
from typing import Any

from wtforms import RadioField, StringField, SubmitField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Optional

from bookshop.catalog.repository import BookDetails
from bookshop.kit.database import ID_MAX
from bookshop.kit.text import shortened
from bookshop.picks.models import DRAFT, INTRODUCTION_MAX, NAME_MAX, PUBLISHED, SENTENCE_MAX
from bookshop.picks.repository import PickSentence, Shelf, ShelfSummary
from bookshop.web.forms import ShopForm, Storable, VersionedForm, max_length, tidied

SEARCH_MAX = 200


def id_in(value: Any) -> int | None:
    """Return the id in a field; None if there is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= ID_MAX else None


def sentence_field() -> TextAreaField:
    """Return the field for the sentence about a book."""
    return TextAreaField(
        "Why you recommend it",
        description=f"A sentence for customers, at most {SENTENCE_MAX} characters. You can sign it.",
        filters=[tidied],
        validators=[
            DataRequired("Say in a sentence why you recommend it."),
            max_length(SENTENCE_MAX),
            Storable(lines=True),
        ],
        render_kw={"rows": 3},
    )


class ShelfForm(VersionedForm):
    """The name and the introduction of a shelf, and who sees it."""

    name = StringField(
        "Name",
        description="Such as Winter reading",
        filters=[tidied],
        validators=[DataRequired("Enter a name."), max_length(NAME_MAX), Storable()],
    )
    introduction = TextAreaField(
        "Introduction (optional)",
        filters=[tidied],
        validators=[Optional(), max_length(INTRODUCTION_MAX), Storable(lines=True)],
        render_kw={"rows": 3},
    )
    state = RadioField(
        "Who can see it",
        choices=[SelectChoice(PUBLISHED, "Everybody: on the home page and with its books"),
                 SelectChoice(DRAFT, "Only staff: it is a draft")],
        default=PUBLISHED,
    )  # fmt: skip
    submit = SubmitField("Save")

    def __init__(self, shelf: Shelf | None = None) -> None:
        super().__init__(**shelf._asdict() if shelf else {})

    def values(self) -> dict[str, Any]:
        """Return the shelf for PickService."""
        return {"name": self.name.data, "introduction": self.introduction.data, "state": self.state.data}


class AddPickForm(ShopForm):
    """Put a book on a shelf: typed, and chosen from a list if several books match."""

    book = StringField(
        "Book",
        description="ISBN, or words of the title and author",
        filters=[tidied],
        validators=[DataRequired("Enter the ISBN or the title of a book."), max_length(SEARCH_MAX), Storable()],
        render_kw={"autocomplete": "off"},
    )
    chosen = RadioField("Which book?", choices=[], coerce=id_in, validate_choice=False, validators=[Optional()])
    sentence = sentence_field()
    submit = SubmitField("Put on the shelf")

    def offer(self, books: Sequence[BookDetails]) -> None:
        """Let staff choose one of the books that match."""
        self.chosen.choices = [SelectChoice(book.id, _label(book)) for book in books]


class SentenceForm(VersionedForm):
    """Change the sentence about a book."""

    sentence = sentence_field()
    submit = SubmitField("Save")

    def __init__(self, pick: PickSentence | None = None) -> None:
        super().__init__(**pick._asdict() if pick else {})


class BookPickForm(ShopForm):
    """Put one book on one of the shelves."""

    shelf = RadioField("Shelf", coerce=id_in, validators=[InputRequired("Choose a shelf.")])
    sentence = sentence_field()
    submit = SubmitField("Put on the shelf")

    def __init__(self, shelves: Sequence[ShelfSummary]) -> None:
        super().__init__()
        self.shelf.choices = [SelectChoice(shelf.id, shelf.name) for shelf in shelves]


def _label(book: BookDetails) -> str:
    return " · ".join(part for part in (shortened(book.title), shortened(book.authors), book.isbn) if part)
