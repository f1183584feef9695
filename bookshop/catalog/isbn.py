"""ISBNs (ISO 2108): whatever is printed on the book becomes the 13 digits that the shop keeps."""

from stdnum import isbn as standard
from stdnum.exceptions import InvalidChecksum, ValidationError

LONGEST_TYPED = 40  # characters, with every hyphen and blank that people put in
ISBN_PATTERN = "^[0-9Xx -]{10,17}$"  # of what might be one; only the check digit tells


def isbn13(text: str) -> str:
    """The ISBN-13, digits only, of an ISBN-10 or -13 with or without hyphens; raises ValueError with a sentence."""
    try:
        return str(standard.to_isbn13(standard.validate(text if len(text) <= LONGEST_TYPED else "")))
    except InvalidChecksum:
        raise ValueError("is not an ISBN: its check digit does not fit, so a digit is mistyped") from None
    except ValidationError:
        raise ValueError("is not an ISBN: it needs 10 or 13 digits, such as 978-0-14-143951-8") from None


def isbn_forms(isbn: str | None) -> str:
    """All that a customer may type for this ISBN-13: itself and, where there is one, its ISBN-10."""
    if not isbn:
        return ""
    return f"{isbn} {standard.to_isbn10(isbn)}".lower() if isbn.startswith("978") else isbn
