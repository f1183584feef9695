"""The form of how the shop looks: its logo, a photo and its colour."""

from typing import Any

from flask_wtf.file import FileField
from wtforms import ColorField, Form, StringField, SubmitField
from wtforms.validators import Optional, ValidationError

from bookshop.catalog.pictures import DAMAGED, Kind, Picture, Refusals, Size, read_picture
from bookshop.kit.exceptions import Invalid
from bookshop.shop.colours import DEFAULT, parse_colour
from bookshop.shop.models import ALT_MAX
from bookshop.shop.service import Details
from bookshop.web.forms import Storable, VersionedForm, max_length, tidied

FEW = range(20, 86, 13)  # qualities of WebP: each one tried for a photo takes half a second
LOGO = Kind(
    Refusals(
        "logo",
        "This file is too large: a logo may have at most 8 MB. Choose a smaller one.",
        "This picture is too large: a logo may have at most 40 megapixels. Choose a smaller one.",
        DAMAGED,
    ),
    sizes={"large": Size((1000, 600), 60_000), "small": Size((512, 96), 6_000)},
    short_side_min=48,
    long_side_min=48,
    ratio_max=8,
    too_small="This picture is too small: a logo needs at least 48 × 48 pixels. Choose a larger one.",  # noqa: RUF001
    too_long="This logo is more than eight times as long as it is high or wide. Choose another.",
    transparent=True,
)
PHOTO = Kind(
    Refusals(
        "photo",
        "This file is too large: a photo may have at most 8 MB. Choose a smaller one.",
        "This picture is too large: a photo may have at most 40 megapixels. Choose a smaller one.",
        DAMAGED,
    ),
    sizes={"large": Size((1600, 1000), 300_000, FEW), "small": Size((800, 500), 70_000, FEW)},
    short_side_min=300,
    long_side_min=400,
    ratio_max=3,
    too_small="This picture is too small: a photo needs at least 400 × 300 pixels. Choose a larger one.",  # noqa: RUF001
    too_long="One side of this photo is more than three times as long as the other. Choose another.",
)
KINDS = {"logo": LOGO, "photo": PHOTO}
ACCEPTED = {"accept": "image/jpeg,image/png,image/webp"}
NO_WORDS = "Say in a few words what the photo shows."
CHOOSE_AGAIN = "Choose the picture again: it has not been saved."


def readable_colour(_form: Form, field: StringField) -> None:
    """Refuse what `parse_colour` cannot read; what it can read becomes #rrggbb."""
    try:
        field.data = parse_colour(field.data or "")
    except ValueError as error:
        raise ValidationError(str(error)) from None


class LookForm(VersionedForm):
    """What owners choose; pictures that are not chosen stay as they are."""

    logo = FileField(
        "Logo (optional)",
        description="Stands in place of the name, at the top of every page: JPEG, PNG or WebP, up to 8 MB. A "
        "transparent ground is kept; on dark pages, the logo stands on a light one.",
        render_kw=ACCEPTED,
    )
    photo = FileField(
        "Photo of the shop (optional)",
        description="For the page Visit us: JPEG, PNG or WebP, up to 8 MB, at least 400 × 300 pixels",  # noqa: RUF001
        render_kw=ACCEPTED,
    )
    photo_alt = StringField(
        "What the photo shows",
        description="For people who cannot see it, such as: our shop window on the corner of High Street",
        filters=[tidied],
        validators=[max_length(ALT_MAX), Storable()],
    )
    accent = ColorField("Colour of links and buttons", validators=[readable_colour])
    code = StringField(
        "Its code (optional)",
        description=f"Such as {DEFAULT}, the colour of a new shop. A code counts instead of the colour chosen above.",
        filters=[tidied],
        validators=[Optional(), readable_colour],
        render_kw={"spellcheck": "false", "autocomplete": "off"},
    )
    submit = SubmitField("Save")

    def __init__(self, details: Details) -> None:
        super().__init__(photo_alt=details.photo_alt, accent=details.accent or DEFAULT, version=details.version)
        self.has_photo = bool(details.photo)
        self.pictures: dict[str, Picture] = {}

    def validate_photo_alt(self, field: StringField) -> None:
        if not field.data and (self.has_photo or self.photo.data):
            raise ValidationError(NO_WORDS)

    def validate(self, extra_validators: Any = None) -> bool:
        """Check the fields and then, because that takes a few seconds, read the pictures into `pictures`."""
        if not super().validate(extra_validators):
            return False
        were_read = [self._read(name) for name in KINDS]
        return all(were_read)

    def _read(self, name: str) -> bool:
        if self[name].data:
            try:
                self.pictures[name] = read_picture(self[name].data.stream, KINDS[name])
            except Invalid as error:
                self.add_error(error)
                return False
        return True

    def ask_for_pictures_again(self) -> None:
        """Say at the pictures that nothing is wrong with them, but that a browser does not send them again."""
        for name in KINDS:
            if self[name].data and not self[name].errors:
                self[name].errors = [CHOOSE_AGAIN]

    def values(self) -> dict[str, Any]:
        """Return the details for ShopService.change."""
        colour = self.code.data or self.accent.data
        new = {name: picture.name for name, picture in self.pictures.items()}
        sizes = {f"{name}_size": picture.dimensions for name, picture in self.pictures.items()}
        return {**new, **sizes, "photo_alt": self.photo_alt.data or "", "accent": "" if colour == DEFAULT else colour}
