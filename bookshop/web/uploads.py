"""The files that staff upload: how large they may be, and what is said about larger ones."""

from typing import NamedTuple

from flask import Request

from bookshop.catalog import pictures

BOOK_FILE_MAX = 200 * 1024 * 1024  # bytes of a file to import
BOOK_FILE_TOO_LARGE = "This file is too large: a file to import may have at most 200 MB. Split it into smaller files."
DELIVERY_FILE_MAX = 4 * 1024 * 1024  # bytes of a delivery note
DELIVERY_TOO_LARGE = "This is too large: a delivery note may have at most 4 MB, and a photo at most 8 MB."
LOOK_TOO_LARGE = "This is too large: a logo and a photo may have at most 8 MB each. Choose smaller ones."
DELIVERY_FORM_MAX = 1024 * 1024  # bytes of its lines, and of 500 new titles
FORM_FIELDS_MAX = 5_000  # of a form with a file
FORM_OVERHEAD = 16 * 1024  # bytes in a form besides its file
MAX_BODY_READ = 100 * 1024 * 1024  # bytes that the server stores of any other body; the shop has its own limits below
IMPORTS_PATH = "/admin/imports"
MULTIPART = "multipart/form-data"


class Upload(NamedTuple):
    """The largest size of a file in bytes, and the sentence about one that is larger."""

    bytes_max: int
    too_large: str


UPLOADS = {  # by the endpoints that accept a file
    "admin.cover": Upload(pictures.BYTES_MAX, pictures.TOO_MANY_BYTES),
    "admin.delivery": Upload(DELIVERY_FILE_MAX + pictures.BYTES_MAX + DELIVERY_FORM_MAX, DELIVERY_TOO_LARGE),
    "admin.look": Upload(2 * pictures.BYTES_MAX, LOOK_TOO_LARGE),
    "admin.imports": Upload(BOOK_FILE_MAX, BOOK_FILE_TOO_LARGE),
}


def upload_of(request: Request) -> Upload | None:
    """Return the limit for the file that a request brings; None if it is not one that may bring a file."""
    return UPLOADS.get(request.endpoint or "") if request.mimetype == MULTIPART else None
