"""ISBNs (ISO 2108), normalised to the 13 digits that the shop stores."""

import re
from collections.abc import Sequence
from typing import Final
from unicodedata import category

from stdnum import ean
from stdnum import isbn as standard

TYPED_MAX = 40  # characters, including what surrounds the digits
CELL_MAX = 100  # of a cell in a file, which may have prices or two numbers
ISBN_PATTERN = "^[0-9Xx -]{10,17}$"  # for the JSON schema; the check digit is validated by `isbn13`
FORM = re.compile(r"[0-9]{9}[0-9X]|978[0-9]{10}|979[1-9][0-9]{9}")
SHORTENED = re.compile("[1-9][0-9]{5,8}")  # an ISBN-10 whose leading zeros a spreadsheet has dropped
FRACTION = re.compile(r"([0-9]{10}|[0-9]{13})[.,]00?")  # what programs make of a number
WITH_PRICE_CODE = re.compile(r"(97[89](?:[ -]?[0-9]){10})\s*[0-9]{5}")  # the small barcode beside that of the ISBN
BETWEEN = re.compile("[/;,|]")  # the two numbers of a book, with 10 and with 13 digits

INVISIBLE = "Cf"  # the Unicode category of marks of direction, soft hyphens, byte order marks and so on
DIVIDING = ("Pd", "Zs", INVISIBLE)  # and of dashes and spaces
OTHER_DIVIDING = "\t\u2043\u2212\u034f"  # tab, hyphen bullet, minus sign, grapheme joiner
FULLWIDTH: Final = {ord("\uff10") + digit: str(digit) for digit in range(10)} | {0xFF38: "X", 0xFF58: "X"}
AROUND = "*=[]()\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
BEHIND = f"{AROUND} .,;:"
BRACKETS = re.compile(r"[(\[](?:[^()\[\]0-9]|[0-9]{1,3}(?![0-9]))*[^\W\d](?:[^()\[\]0-9]|[0-9]{1,3}(?![0-9]))*[)\]]")
BINDING = re.compile(
    r"(?<=[0-9Xx])[\s:;,]+(pbk|hbk|hb|pb|hc|tpb|paperback|hardback|hardcover|softcover|cloth|e-?book|kart|tb|br|taschenbuch"
    r"|brosch(iert|ur)?|geb(unden)?|broch[\u00e9e]|reli[\u00e9e])\b[^0-9]*$",
    re.IGNORECASE,
)
PRICE = re.compile(  # as libraries write it: "978... (pbk.) : EUR 12.90"
    r"([\s:;,]+(eur|euro|gbp|usd|chf|dm|[a-z]{0,2}[$£€])\s*[0-9]+([.,][0-9-]{1,2})?)+$", re.IGNORECASE
)
SCANNED = re.compile(r"^\][A-Za-z][0-9]")  # what scanners put before a number to name its symbology
NAME = re.compile(r"^(urn:)?(isbn|ean)([- (]?1[03]\)?(?=[\s:.#]))?[\s:.#]*", re.IGNORECASE)
ISSN = re.compile(r"(issn[\s:.#]*)?[0-9]{4}-[0-9]{3}[0-9x]|issn.*", re.IGNORECASE)
EXPONENT = re.compile(r"[0-9]([.,][0-9]*)?e[+]?[0-9]{1,2}", re.IGNORECASE)
NONE = re.compile(
    r"[0.?x-]|n/?a|none|null|nan|nil|#n/a|#nv|k\.a\.|ohne|keine?|sans|aucun|sin|ninguno|unknown", re.IGNORECASE
)


def isbn13(text: str, *, longest: int = TYPED_MAX) -> str:
    """Convert an ISBN-10 or ISBN-13 to 13 digits; raises ValueError with the reason.

    Ignores hyphens, spaces, invisible characters and what `bare_isbn` strips. Never guesses a missing digit.
    """
    bare = bare_isbn(text) if len(text) <= longest else ""
    if not FORM.fullmatch(bare):
        raise ValueError(f"is not an ISBN: {_reason(text, bare)}")
    digits = bare[:-1] if len(bare) == 13 else f"978{bare[:-1]}"
    number = f"{digits}{ean.calc_check_digit(digits)}"
    if not (number == bare if len(bare) == 13 else standard.is_valid(bare)):
        raise ValueError(f"is not an ISBN: {_wrong_digit(bare)}")
    return number


def isbn13_in_file(text: str) -> tuple[str, str]:
    """Convert the cell of a file, in which spreadsheets drop leading zeros and words stand for an unknown number.

    Ignores decimals and price codes behind the number. Two numbers are read if they are forms of one: ISBN-10 and 13.
    Returns the ISBN-13, "" if the cell says that there is none, and a sentence about what was guessed, if anything.
    Raises ValueError with the reason as `isbn13` does.
    """
    cell = text.strip()
    if len(cell) <= CELL_MAX and (NONE.fullmatch(cell) or not bare_isbn(cell).strip("0")):
        return "", ""
    if SHORTENED.fullmatch(cell):
        restored = cell.zfill(10)
        return isbn13(restored), f"the ISBN {cell} has lost leading zeros and was read as {restored}"
    found = list(dict.fromkeys(isbn13(number, longest=CELL_MAX) for number in _numbers(cell)))
    if len(found) > 1:
        raise ValueError(f"names different books: {' and '.join(found)}")
    return found[0], ""


def _numbers(cell: str) -> Sequence[str]:
    """Return the numbers of a cell that has several, such as "0131103628 / 9780131103627", else its only one."""
    if len(cell) > CELL_MAX:
        return [cell]
    if match := FRACTION.fullmatch(cell) or WITH_PRICE_CODE.fullmatch(cell):
        return [match[1]]
    for parts in (BETWEEN.split(cell), cell.split()):
        if len(parts) > 1 and all(FORM.fullmatch(bare_isbn(part)) for part in parts):
            return parts
    return [cell]


def bare_isbn(text: str) -> str:
    """Return a text in capitals without what surrounds and divides the digits of an ISBN.

    Strips quotes, `="..."`, `[...]`, words in brackets, "ISBN-13:", "pbk", prices with a currency, a point or semicolon
    behind, hyphens, spaces and invisible characters.
    """
    if text.isascii() and text.isalnum():
        return NAME.sub("", text.upper(), count=1)
    visible = "".join(letter for letter in text if category(letter) != INVISIBLE)
    number = SCANNED.sub("", BRACKETS.sub(" ", visible).strip(), count=1).lstrip(AROUND).rstrip(BEHIND).strip()
    number = BINDING.sub("", PRICE.sub("", NAME.sub("", number, count=1))).lstrip(f"{AROUND} ").rstrip(BEHIND)
    digits = (letter for letter in number if category(letter) not in DIVIDING and letter not in OTHER_DIVIDING)
    return "".join(digits).translate(FULLWIDTH).upper()


def isbn_forms(isbn: str | None) -> str:
    """Return what a customer may type to find this ISBN-13: itself and, if there is one, its ISBN-10."""
    if not isbn:
        return ""
    return f"{isbn} {standard.to_isbn10(isbn)}".lower() if isbn.startswith("978") else isbn


def _reason(text: str, bare: str) -> str:
    """Explain why a text does not have the form of an ISBN."""
    if EXPONENT.fullmatch(bare):
        return "a spreadsheet has shortened it. Format the column as text and export the file again"
    if bare and ISSN.fullmatch(re.sub("[\u2010-\u2015\u2212]", "-", text.strip().strip(AROUND))):
        return "it is an ISSN, the number of a magazine or journal"
    if re.fullmatch("9790[0-9]{9}", bare):
        return "it is an ISMN, the number of printed music"
    if re.fullmatch("[0-9]{13}", bare):
        return "13 digits must begin with 978 or 979, so this is the EAN of something else"
    return "it needs 10 or 13 digits, such as 978-0-14-143951-8"


def _wrong_digit(bare: str) -> str:
    if len(bare) == 13 and bare.endswith("0000"):
        return "a spreadsheet has rounded it. Format the column as text and export the file again"
    return "the check digit is wrong, so a digit may be mistyped"
