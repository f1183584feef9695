"""The form of a content page."""

from typing import Any

from wtforms import RadioField, StringField, SubmitField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from bookshop.content.models import BODY_MAX, DRAFT, PUBLISHED, TITLE_MAX
from bookshop.content.service import Page
from bookshop.web.forms import Storable, VersionedForm, max_length, tidied


class PageForm(VersionedForm):
    """A content page in Markdown."""

    title = StringField(
        "Title", filters=[tidied], validators=[DataRequired("Enter a title."), max_length(TITLE_MAX), Storable()]
    )
    body = TextAreaField(
        "Text",
        description="Markdown: ## heading, **bold**, *italic*, - list, [link](https://example.com). {name}, {address}, "
        "{email}, {phone}, {responsible}, {registration} and {vat} stand for the shop's details.",
        filters=[tidied],
        validators=[DataRequired("Enter a text."), max_length(BODY_MAX), Storable(lines=True)],
        render_kw={"rows": 18},
    )
    state = RadioField(
        "Who can read it",
        choices=[SelectChoice(PUBLISHED, "Everybody, with a link at the foot of each page"),
                 SelectChoice(DRAFT, "Only owners: it is a draft")],
        default=PUBLISHED,
    )  # fmt: skip
    preview = SubmitField("Preview")
    submit = SubmitField("Save")

    def __init__(self, page: Page | None = None) -> None:
        if page is None:
            super().__init__()
        else:
            state = page.state if page.version else PUBLISHED
            super().__init__(title=page.title, body=page.body, state=state, version=page.version)

    def values(self) -> dict[str, Any]:
        """Return the page for ContentService."""
        return {"title": self.title.data, "body": self.body.data, "state": self.state.data}
