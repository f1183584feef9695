"""ISBNs (ISO 2108), normalised to the 13 digits that the shop stores."""

from stdnum import isbn as standard
from stdnum.exceptions import InvalidChecksum, ValidationError

TYPED_MAX = 40  # characters, including any hyphens and spaces
ISBN_PATTERN = "^[0-9Xx -]{10,17}$"  # for the JSON schema; the check digit is validated by `isbn13`


def isbn13(text: str) -> str:
    """Convert an ISBN-10 or ISBN-13, with or without hyphens, to 13 digits; raises ValueError with the reason."""
    try:
        return str(standard.to_isbn13(standard.validate(text if len(text) <= TYPED_MAX else "")))
    except InvalidChecksum:
        raise ValueError("is not an ISBN: the check digit is wrong, so a digit may be mistyped") from None
    except ValidationError:
        raise ValueError("is not an ISBN: it needs 10 or 13 digits, such as 978-0-14-143951-8") from None


def isbn_forms(isbn: str | None) -> str:
    """Return what a customer may type to find this ISBN-13: itself and, if there is one, its ISBN-10."""
    if not isbn:
        return ""
    return f"{isbn} {standard.to_isbn10(isbn)}".lower() if isbn.startswith("978") else isbn
