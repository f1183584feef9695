"""Reads the ISBN barcodes in a photo that staff have taken of books."""

import logging
import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

import zxingcpp
from PIL import Image, ImageOps, UnidentifiedImageError

from bookshop.catalog import pictures
from bookshop.catalog.isbn import isbn13
from bookshop.kit.exceptions import Invalid

log = logging.getLogger(__name__)

EAN_13 = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.EAN13])
BOOKS = ("978", "979")  # how the barcodes of books begin
TRIED = 2_000  # pixels of the long side of a smaller copy, in which blurred bars are clearer

TOO_MANY_BYTES = "This photo is too large: it may have at most 8 MB. Take a smaller one."
TOO_MANY_PIXELS = "This photo is too large: it may have at most 40 megapixels. Take a smaller one."
NO_PICTURE = "This file is not a JPEG, PNG or WebP picture. Choose another."
DAMAGED = "This picture is damaged. Take the photo again."
NO_BARCODE = (
    "There is no readable barcode of a book in this photo. Hold the camera straight and close, so that the barcode "
    "fills most of the picture, or type the ISBN."
)

_decoding = threading.Lock()  # one photo at a time, because 40 megapixels can take 160 MB


def read_isbns(upload: BinaryIO) -> list[str]:
    """Return the ISBN-13s in a photo, each once; raises Invalid with the reason if there are none."""
    with _decoding:
        photo = _open(upload)
        for picture in _versions(photo):
            found = zxingcpp.read_barcodes(picture, formats=EAN_13)
            if isbns := list(dict.fromkeys(code.text for code in found if _is_isbn(code.text))):
                return isbns
    raise Invalid(NO_BARCODE, "photo")


def _open(upload: BinaryIO) -> Image.Image:
    """Decode the photo to grey, after checking its size in bytes and, before decoding, in pixels."""
    if upload.seek(0, os.SEEK_END) > pictures.BYTES_MAX:
        raise Invalid(TOO_MANY_BYTES, "photo")
    upload.seek(0)
    try:
        photo = Image.open(upload, formats=pictures.FORMATS)
        if photo.width * photo.height > pictures.PIXELS_MAX:
            raise Invalid(TOO_MANY_PIXELS, "photo")
        photo.draft("L", (TRIED, TRIED))
        return ImageOps.exif_transpose(photo).convert("L")
    except Image.DecompressionBombError:
        raise Invalid(TOO_MANY_PIXELS, "photo") from None
    except UnidentifiedImageError:
        raise Invalid(NO_PICTURE, "photo") from None
    except Invalid:
        raise
    except Exception as error:  # decoders raise many kinds of errors for damaged files
        log.info("a photo could not be decoded: %s", type(error).__name__)
        raise Invalid(DAMAGED, "photo") from None


def _versions(photo: Image.Image) -> Iterator[Image.Image]:
    """Yield what to look at: the photo, a smaller copy, and that tilted, as bars are found up to 20° from upright."""
    yield photo
    photo.thumbnail((TRIED, TRIED), reducing_gap=2.0)
    yield photo
    yield photo.rotate(45, expand=True, fillcolor=255, resample=Image.Resampling.BILINEAR)


def _is_isbn(text: str) -> bool:
    try:
        return text.startswith(BOOKS) and isbn13(text) == text
    except ValueError:
        return False
