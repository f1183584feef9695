"""Handling of typed text: tidying it, refusing characters that cannot be shown, and folding it for search."""

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

from anyascii import anyascii

LONGEST_TEXT = 20_000  # characters: no field accepts more
MAX_MARKS = 30  # on one letter, as in the Stream-Safe Text Format (Unicode UAX 15, 13)
LONGEST_WORD = 64
LONGEST_FOLDED = 500  # folding can lengthen a text, and index entries are limited in size
LONGEST_SLUG = 80
EMAIL_MAX = 254  # characters of an address (RFC 5321, erratum 1690)
SHORT_TITLE_MAX = 60
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_EXCEPT_LINE_BREAKS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
DAMAGED = re.compile(r"[\ud800-\udfff\ufffd]")  # a lone surrogate or the replacement character
WORD = re.compile(r"[a-z0-9]+")
IN_BRACKETS = re.compile(r"(?<=\S)\s*\([^()]*\)\s*$")
ARTICLE = re.compile(r"^(the|an?) (?=\S)")
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
RIGHT_TO_LEFT = {"R", "AL", "RLE", "RLO", "LRE", "LRO", "RLI", "LRI", "FSI", "PDF", "PDI"}
FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
ISOLATES = dict.fromkeys(range(0x2066, 0x206A))  # LRI, RLI, FSI, PDI
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four are fullwidth = + - @
SPACED_INITIALS = re.compile(r"\b(\w)\.\s+(?=\w\.)")


def tidy(text: str) -> str:
    """Strip a text and normalise it to NFC, with line ends as `\\n`.

    Skips NFC, which could take minutes, for a text that every field refuses for its length or its stacked accents.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return plain if len(plain) > LONGEST_TEXT or _stacks_marks(plain) else unicodedata.normalize("NFC", plain)


def problem_in(text: str, *, lines: bool = False) -> str | None:
    """Return what is wrong with a text that will be stored and shown, or None; `lines` allows line breaks."""
    matches = (CONTROL_EXCEPT_LINE_BREAKS if lines else CONTROL).search(text), DAMAGED.search(text)
    first = min((match for match in matches if match), key=re.Match.start, default=None)
    if first is not None and first is matches[0]:
        return "must not contain control characters" + ("" if lines else " or line breaks")
    if first is not None:
        return "contains a damaged character: send the text as UTF-8"
    return f"must not have more than {MAX_MARKS} accents on one letter" if _stacks_marks(text) else None


def _stacks_marks(text: str) -> bool:
    """Return whether a run of combining marks is longer than any language needs: NFC takes quadratic time on it.

    Does not scan a text that is too long for any field.
    """
    if text.isascii() or len(text) > LONGEST_TEXT:
        return False
    runs = groupby(text, lambda letter: unicodedata.category(letter)[0] == "M")
    return any(is_marks and sum(1 for _mark in run) > MAX_MARKS for is_marks, run in runs)


def fold(text: str) -> str:
    """Fold a text to lower-case ASCII letters, digits and single spaces, as it can be typed on any keyboard.

    Returns at most 500 characters, which is enough for sorting and comparing.
    """
    return " ".join(words(text))[:LONGEST_FOLDED].rstrip()


def main_title(title: str) -> str:
    """Fold a title without its leading article and trailing brackets.

    'The Hunger Games (The Hunger Games, #1)' gives 'hunger games', which is what people type.
    """
    folded = fold(IN_BRACKETS.sub("", title)) or fold(title)
    return ARTICLE.sub("", folded) or folded


def words(text: str) -> list[str]:
    """Return the folded words of a text: 'Gabriel García Márquez' gives gabriel, garcia, marquez."""
    plain = text.encode("utf-8", "ignore").decode()
    return [word[:LONGEST_WORD] for word in WORD.findall(anyascii(plain).lower())]


def shortened(title: str) -> str:
    """Shorten a title for messages: flashed ones are stored in a cookie, which has no room for 500 characters."""
    return title if len(title) <= SHORT_TITLE_MAX else f"{title[: SHORT_TITLE_MAX - 1].rstrip()}…"


def format_year(number: int) -> str:
    """Format a year of publication: '1997', or '700 BC' for -700."""
    return str(number) if number > 0 else f"{-number} BC"


@lru_cache(maxsize=10_000)  # called for every book shown on a page
def slug(title: str) -> str:
    """Return the slug of a title for URLs: 'The Hunger Games (The Hunger Games, #1)' gives 'the-hunger-games'."""
    folded = fold(IN_BRACKETS.sub("", title)) or fold(title)
    return folded[:LONGEST_SLUG].strip().replace(" ", "-") or "book"


def search_words(text: str) -> str:
    """Return the search index entry for a text: its words, plus words with punctuation inside joined into one.

    So 'J. R. R. Tolkien' is found as 'jrr', "O'Brien" as 'obrien' and 'Catch-22' as 'catch22'.
    """
    parts = SPACED_INITIALS.sub(r"\1.", text).split()
    joined = ["".join(pieces)[:LONGEST_WORD] for part in parts if len(pieces := words(part)) > 1]
    return " ".join([*words(text), *joined])


def as_cell(text: str) -> str:
    """Escape a text for a CSV cell, so that spreadsheets do not run `=...` as a formula.

    Prefixes an apostrophe to mark it as text (OWASP, CSV injection); `from_cell` removes it again.
    """
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """Return the text of a cell, without the apostrophe that `as_cell` may have added."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def one_line(text: str) -> str:
    """Put a text on one line for a header or plain text, without control characters."""
    return " ".join(UNSAFE.sub(" ", text).split())


def isolated(text: str) -> str:
    """Put a text on one line and isolate its writing direction, as <bdi> does in HTML (Unicode UAX 9).

    Removes isolates inside the text, as an unpaired one would end this one too early or too late.
    """
    line = one_line(text).translate(ISOLATES)
    if any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in line):
        return f"{FIRST_STRONG_ISOLATE}{line}{POP_ISOLATE}"
    return line
