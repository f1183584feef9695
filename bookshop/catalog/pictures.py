"""Uploaded covers: what may be one, and how it is kept: WebP in two sizes, bare of metadata, named by its content."""

import fcntl
import hashlib
import logging
import os
import re
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from bookshop.kit.exceptions import Busy, Invalid

log = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP")
BYTES_MAX = 8 * 1024 * 1024
PIXELS_MAX = 40_000_000
SHORT_SIDE_MIN, LONG_SIDE_MIN = 100, 150
LONGEST_SHAPE = 3  # times as long as broad, or as broad as long
WORKING = (1800, 1800)  # what a larger picture is brought down to before anything else is done to it
QUALITIES = range(20, 86)
SHRINKING = 0.85
NAME = re.compile("[0-9a-f]{32}")
LOCK = ".lock"
SRGB = ImageCms.createProfile("sRGB")

TOO_MANY_BYTES = "A cover may have at most 8 MB; nothing was stored."
TOO_MANY_PIXELS = "A cover may have at most 40 megapixels; this picture has more. Nothing was stored."
TOO_SMALL = "This picture is too small: a cover needs at least 100 × 150 pixels. Nothing was stored."  # noqa: RUF001
TOO_LONG = "This does not have the shape of a cover: one side is more than three times the other. Nothing was stored."
NO_PICTURE = "This file is not a JPEG, PNG or WebP picture. Nothing was stored; please choose another."
DAMAGED = "This picture is damaged and cannot be read to its end. Nothing was stored; please choose another."
NOT_KEPT = "The folder of covers could not be written, so the cover is as it was. The shop's log says why."

_decoding = threading.Lock()  # one at a time, as 40 megapixels can take up to 800 MB


@dataclass(frozen=True)
class Size:
    """The box, in pixels, that a kept picture fits into, and the most bytes that it may have."""

    box: tuple[int, int]
    bytes_max: int


# 24 small ones must leave room for the rest of a catalogue page of 150 KB.
SIZES = {"large": Size((600, 900), 40_000), "small": Size((240, 360), 4_000)}


@dataclass(frozen=True)
class Cover:
    """A cover as it is kept: its name, and the WebP file of each size."""

    name: str
    files: Mapping[str, bytes]


def read_cover(upload: BinaryIO) -> Cover:
    """Make a cover of an uploaded file, whatever its name says that it is; raises Invalid with what is wrong."""
    with _decoding:
        picture = _read(upload)
    files = {size: _encode(picture, limits) for size, limits in SIZES.items()}
    name = hashlib.sha256(b"".join(files.values())).hexdigest()[:32]
    return Cover(name, files)


def _read(upload: BinaryIO) -> Image.Image:
    """The picture: upright, in sRGB, on white, and not much larger than needed."""
    _check_bytes(upload)
    try:
        picture = Image.open(upload, formats=FORMATS)
        _check_pixels(picture)
        return _upright_srgb(picture)
    except Image.DecompressionBombError:
        raise Invalid(TOO_MANY_PIXELS, "picture") from None
    except UnidentifiedImageError:
        raise Invalid(NO_PICTURE, "picture") from None
    except Invalid:
        raise
    except Exception as error:  # decoders stumble over broken files in too many ways to name
        log.info("a picture could not be read: %s", type(error).__name__)
        raise Invalid(DAMAGED, "picture") from None


def _check_bytes(upload: BinaryIO) -> None:
    length = upload.seek(0, os.SEEK_END)
    upload.seek(0)
    if length > BYTES_MAX:
        raise Invalid(TOO_MANY_BYTES, "picture")


def _check_pixels(picture: Image.Image) -> None:
    """Refuse by what the header says, before a small file can unpack itself to a huge picture."""
    if picture.width * picture.height > PIXELS_MAX:
        raise Invalid(TOO_MANY_PIXELS, "picture")
    if min(picture.size) < SHORT_SIDE_MIN or max(picture.size) < LONG_SIDE_MIN:
        raise Invalid(TOO_SMALL, "picture")
    if max(picture.size) > LONGEST_SHAPE * min(picture.size):
        raise Invalid(TOO_LONG, "picture")


def _upright_srgb(opened: Image.Image) -> Image.Image:
    opened.draft(None, WORKING)  # a large JPEG is decoded to an eighth, a quarter or half of its size at once
    opened.load()
    picture = _resizable(opened)
    picture.thumbnail(WORKING, reducing_gap=3.0)
    picture = _in_srgb(_on_white(picture), opened.info.get("icc_profile"))
    orientation = opened.getexif().get(ExifTags.Base.Orientation, 1)
    picture.info.clear()  # of all that was in the file this one number is used, and then forgotten too
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(picture)


def _resizable(picture: Image.Image) -> Image.Image:
    """The picture with 8 bits for each colour and no palette, and with an alpha channel if any of it is transparent."""
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
    """The picture in the colours that every screen shows alike; a profile that does not fit it is passed over."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):
            given = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, given, SRGB, outputMode="RGB")
            if converted is not None:
                return converted
    return picture.convert("RGB")


def _encode(picture: Image.Image, size: Size) -> bytes:
    """WebP that fits the box and the bytes: first the quality gives way, then the size. Never enlarged."""
    fitted = picture.copy()
    fitted.thumbnail(size.box)
    while len(_webp(fitted, QUALITIES[0])) > size.bytes_max:
        fitted = ImageOps.scale(fitted, SHRINKING)
    fitting = bisect_right(QUALITIES, size.bytes_max, key=lambda quality: len(_webp(fitted, quality)))
    return _webp(fitted, QUALITIES[fitting - 1])


def _webp(picture: Image.Image, quality: int) -> bytes:
    file = BytesIO()
    picture.save(file, "WEBP", quality=quality, method=6)
    return file.getvalue()


# ---------------------------------------------------------------- the folder


def file_name(name: str, size: str) -> str | None:
    """The name of a cover's file, None if no cover could be called so."""
    return f"{name}-{size}.webp" if NAME.fullmatch(name) and size in SIZES else None


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Make the folder and let one at a time change what is in it, over all processes, until the commit is done.

    Whoever keeps a cover, names it in the database and removes the former one does all of it in here: so nobody
    removes the files of a cover that somebody else is about to give to another book. Raises Busy if the folder
    cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        log.exception("covers cannot be kept in %s", folder)
        raise Busy(NOT_KEPT) from error


def keep(folder: Path, cover: Cover) -> None:
    """Write a cover's files so that each is there whole or not at all, even after a crash; only within `changing`."""
    for size, content in cover.files.items():
        path = folder / f"{cover.name}-{size}.webp"
        part = path.with_suffix(".part")
        try:
            _write(part, content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    _sync(folder)


def remove(folder: Path, name: str) -> None:
    """Remove the files of a cover that no book has any more; only within `changing`. A file left over does no harm."""
    for size in SIZES:
        try:
            (folder / f"{name}-{size}.webp").unlink(missing_ok=True)
        except OSError:
            log.exception("the %s picture of cover %s is left over in %s", size, name, folder)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Have the disk remember the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
