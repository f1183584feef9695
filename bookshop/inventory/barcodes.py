"""Reads the ISBN barcodes in a photo that staff have taken of books."""

import threading
from collections.abc import Iterator
from typing import BinaryIO

import zxingcpp
from PIL import Image, ImageOps

from bookshop.catalog import pictures
from bookshop.catalog.isbn import isbn13
from bookshop.kit.exceptions import Invalid

EAN_13 = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.EAN13])
BOOKS = ("978", "979")  # how the barcodes of books begin
TRIED = 2_000  # pixels of the long side of a smaller copy, in which blurred bars are clearer

PHOTO = pictures.Refusals(
    field="photo",
    too_many_bytes="This photo is too large: it may have at most 8 MB. Take a smaller one.",
    too_many_pixels="This photo is too large: it may have at most 40 megapixels. Take a smaller one.",
    damaged="This picture is damaged. Take the photo again.",
)
NO_BARCODE = (
    "There is no readable barcode of a book in this photo. Hold the camera straight and close, so that the barcode "
    "fills most of the picture, or type the ISBN."
)

_decoding = threading.Lock()  # one photo at a time, because 40 megapixels can take 160 MB


def read_isbns(upload: BinaryIO) -> list[str]:
    """Return the ISBN-13s in a photo, each once; raises Invalid with the reason if there are none."""
    with _decoding:
        photo = pictures.decode(upload, PHOTO, _grey)
        for picture in _versions(photo):
            found = zxingcpp.read_barcodes(picture, formats=EAN_13)
            if isbns := list(dict.fromkeys(code.text for code in found if _is_isbn(code.text))):
                return isbns
    raise Invalid(NO_BARCODE, "photo")


def _grey(opened: Image.Image) -> Image.Image:
    opened.draft("L", (TRIED, TRIED))
    return ImageOps.exif_transpose(opened).convert("L")


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
