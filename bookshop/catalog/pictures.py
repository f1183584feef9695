"""Uploaded pictures: validated, then stored as WebP in two sizes, without metadata and under a new name.

They are the covers of books, and the logo and the photo of the shop.
"""

import logging
import os
import re
import secrets
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from bookshop.kit.exceptions import Busy, Invalid
from bookshop.kit.storage import storage_at

log = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP")
BYTES_MAX = 8 * 1024 * 1024
PIXELS_MAX = 40_000_000
SHORT_SIDE_MIN, LONG_SIDE_MIN = 100, 150
RATIO_MAX = 3  # of the long side to the short side
WORKING_SIZE = (1800, 1800)  # larger pictures are scaled down to this first
QUALITIES = range(20, 86)
SCALE_STEP = 0.85
NAME = re.compile("[0-9a-f]{32}")
SRGB = ImageCms.createProfile("sRGB")

TOO_MANY_BYTES = "This file is too large: a cover may have at most 8 MB. Choose a smaller one."
TOO_MANY_PIXELS = "This picture is too large: a cover may have at most 40 megapixels. Choose a smaller one."
TOO_SMALL = "This picture is too small: a cover needs at least 100 × 150 pixels. Choose a larger one."  # noqa: RUF001
TOO_LONG = "This is not the shape of a cover: one side is more than three times as long as the other. Choose another."
NO_PICTURE = "This file is not a JPEG, PNG or WebP picture. Choose another."
DAMAGED = "This picture is damaged. Choose another."
NOT_STORED = "The picture could not be stored, so nothing has been changed. The shop's log has the reason."
NOT_READ = "The picture cannot be read at the moment. Please try again in a minute."


class Refusals(NamedTuple):
    """What is said about a picture that cannot be used, and the name of its field in the form."""

    field: str
    too_many_bytes: str
    too_many_pixels: str
    damaged: str


COVER = Refusals("picture", TOO_MANY_BYTES, TOO_MANY_PIXELS, DAMAGED)

_decoding = threading.Lock()  # one picture at a time, because 40 megapixels can take up to 800 MB


@dataclass(frozen=True)
class Size:
    """The largest width and height of a stored picture, in pixels, and its largest size in bytes.

    `qualities` are those to choose from, of WebP; few save time where the picture is large.
    """

    box: tuple[int, int]
    bytes_max: int
    qualities: Sequence[int] = QUALITIES


# 24 small covers must fit into a catalogue page of 150 KB, with the rest of the page.
SIZES = {"large": Size((600, 900), 40_000), "small": Size((240, 360), 4_000)}


@dataclass(frozen=True)
class Kind:
    """What an uploaded picture is for: which ones are refused and why, and how it is stored.

    `ratio_max` is that of the long side to the short side. Without `transparent` the ground becomes white.
    """

    refusals: Refusals
    sizes: Mapping[str, Size]
    short_side_min: int
    long_side_min: int
    ratio_max: int
    too_small: str
    too_long: str
    transparent: bool = False


COVER_KIND = Kind(COVER, SIZES, SHORT_SIDE_MIN, LONG_SIDE_MIN, RATIO_MAX, TOO_SMALL, TOO_LONG)


@dataclass(frozen=True)
class Picture:
    """A picture ready to be stored: its name, and a WebP file of each size."""

    name: str
    files: Mapping[str, bytes]

    @property
    def dimensions(self) -> list[int]:
        """The width and the height of the large file, in pixels."""
        return list(Image.open(BytesIO(self.files["large"])).size)


def read_cover(upload: BinaryIO) -> Picture:
    """Convert an uploaded file to a cover; see `read_picture`."""
    return read_picture(upload, COVER_KIND)


def read_picture(upload: BinaryIO, kind: Kind) -> Picture:
    """Convert an uploaded file, judging it by its content, not its name; raises Invalid with the reason."""
    with _decoding:
        picture = decode(upload, kind.refusals, partial(_upright_srgb, kind=kind))
    files = {size: _encode(picture, limits) for size, limits in kind.sizes.items()}
    return Picture(new_name(), files)


def new_name() -> str:
    """Return a name that no picture has had: one that is not in use any more is never used again."""
    return secrets.token_hex(16)


def decode(upload: BinaryIO, refusals: Refusals, read: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Return what `read` makes of an uploaded picture; raises Invalid with one of the refusals.

    Checks the size in bytes, and the one in pixels in the file's header, before a small file is decoded to a huge
    picture.
    """
    if upload.seek(0, os.SEEK_END) > BYTES_MAX:
        raise Invalid(refusals.too_many_bytes, refusals.field)
    upload.seek(0)
    try:
        picture = Image.open(upload, formats=FORMATS)
        if picture.width * picture.height > PIXELS_MAX:
            raise Invalid(refusals.too_many_pixels, refusals.field)
        return read(picture)
    except Image.DecompressionBombError:
        raise Invalid(refusals.too_many_pixels, refusals.field) from None
    except UnidentifiedImageError:
        raise Invalid(NO_PICTURE, refusals.field) from None
    except Invalid:
        raise
    except Exception as error:  # decoders raise many kinds of errors for damaged files
        log.info("an uploaded picture could not be decoded: %s", type(error).__name__)
        raise Invalid(refusals.damaged, refusals.field) from None


def _check_shape(picture: Image.Image, kind: Kind) -> None:
    if min(picture.size) < kind.short_side_min or max(picture.size) < kind.long_side_min:
        raise Invalid(kind.too_small, kind.refusals.field)
    if max(picture.size) > kind.ratio_max * min(picture.size):
        raise Invalid(kind.too_long, kind.refusals.field)


def _upright_srgb(opened: Image.Image, kind: Kind) -> Image.Image:
    """Decode a picture: upright, in sRGB, on a white ground unless it is transparent, and at most WORKING_SIZE."""
    _check_shape(opened, kind)
    opened.draft(None, WORKING_SIZE)  # decodes a large JPEG directly to a half, a quarter or an eighth of its size
    opened.load()
    picture = _resizable(opened)
    picture.thumbnail(WORKING_SIZE, reducing_gap=3.0)
    alpha = picture.getchannel("A") if kind.transparent and picture.mode == "RGBA" else None
    picture = _in_srgb(picture.convert("RGB") if alpha else _on_white(picture), opened.info.get("icc_profile"))
    if alpha:
        picture.putalpha(alpha)
    orientation = opened.getexif().get(ExifTags.Base.Orientation, 1)
    picture.info.clear()  # drop all metadata; only the orientation is needed, until the picture is upright
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(picture)


def _resizable(picture: Image.Image) -> Image.Image:
    """Convert the picture to 8 bits per channel without a palette, with an alpha channel if it has transparency."""
    if picture.mode.startswith("I"):  # 16 bits of grey
        picture.info.pop("transparency", None)
        return picture.point(lambda value: value * (1 / 256)).convert("L")
    if picture.mode != "RGBA" and picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture if picture.mode in {"L", "RGB", "RGBA", "CMYK"} else picture.convert("RGB")


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert the picture to sRGB; a colour profile that does not fit it is ignored."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):
            embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, embedded, SRGB, outputMode="RGB")
            if converted is not None:
                return converted
    return picture.convert("RGB")


def _encode(picture: Image.Image, size: Size) -> bytes:
    """Encode the picture as WebP within the size's limits: lower the quality first, then scale down; never enlarge."""
    scaled = picture.copy()
    scaled.thumbnail(size.box)
    while len(_webp(scaled, size.qualities[0])) > size.bytes_max:
        scaled = ImageOps.scale(scaled, SCALE_STEP)
    encoded = cache(partial(_webp, scaled))
    fitting = bisect_right(size.qualities, size.bytes_max, key=lambda quality: len(encoded(quality)))
    return encoded(size.qualities[fitting - 1])


def _webp(picture: Image.Image, quality: int) -> bytes:
    file = BytesIO()
    picture.save(file, "WEBP", quality=quality, method=4 if picture.mode == "RGBA" else 6)  # 6 takes seconds for alpha
    return file.getvalue()


# ---------------------------------------------------------------- stored


def file_name(name: str, size: str) -> str | None:
    """Return the file name of a cover, or None if the name or the size is not valid."""
    return f"{name}-{size}.webp" if NAME.fullmatch(name) and size in SIZES else None


def store(location: Path | str, picture: Picture) -> None:
    """Write the files of a picture, before the commit of what uses it; raises Busy if they cannot be written.

    What nothing uses is deleted by the nightly purge, once it is older than any request can be.
    """
    storage = storage_at(location)
    try:
        for size, content in picture.files.items():
            storage.write(f"{picture.name}-{size}.webp", content)
    except OSError as error:
        log.exception("pictures cannot be stored in %s", storage)
        raise Busy(NOT_STORED) from error


def read(location: Path | str, file: str) -> bytes | None:
    """Return the content of a stored file; None if there is no such file. Raises Busy if it cannot be read."""
    storage = storage_at(location)
    try:
        return storage.read(file)
    except OSError as error:
        log.warning("pictures cannot be read from %s: %s", storage, error)
        raise Busy(NOT_READ) from error
