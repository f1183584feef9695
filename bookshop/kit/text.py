"""What the shop does with text that people type: tidy it, refuse what cannot be shown, fold it for searching."""

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

from anyascii import anyascii

LONGEST_TEXT = 20_000  # characters: no field takes more
MOST_MARKS = 30  # on one letter, as in the Stream-Safe Text Format (Unicode UAX 15, 13)
LONGEST_WORD = 64
LONGEST_FOLDED = 500  # one letter may become many, and an index has no room for a text of any length
LONGEST_SLUG = 80
EMAIL_MAX = 254  # characters of an address (RFC 5321, erratum 1690)
LONGEST_NAMED = 60
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_BUT_BREAKS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
DAMAGED = re.compile(r"[\ud800-\udfff\ufffd]")  # half a character, or what stands for one that could not be read
WORD = re.compile(r"[a-z0-9]+")
IN_BRACKETS = re.compile(r"(?<=\S)\s*\([^()]*\)\s*$")
ARTICLE = re.compile(r"^(the|an?) (?=\S)")
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
FROM_RIGHT_TO_LEFT = {"R", "AL", "RLE", "RLO", "LRE", "LRO", "RLI", "LRI", "FSI", "PDF", "PDI"}
FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
ISOLATES = dict.fromkeys(range(0x2066, 0x206A))  # LRI, RLI, FSI, PDI
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four are what they look like
SPACED_INITIALS = re.compile(r"\b(\w)\.\s+(?=\w\.)")


def tidy(text: str) -> str:
    """The text in Unicode's composed form (NFC), with line ends as `\\n` and without blanks around it.

    A text that no field takes, for its length or its marks, is not composed, which could take minutes.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return plain if len(plain) > LONGEST_TEXT or _stacks_marks(plain) else unicodedata.normalize("NFC", plain)


def problem_in(text: str, *, lines: bool = False) -> str | None:
    """Say what is wrong with a text that is to be stored and shown, or None; `lines` allows more than one line."""
    found = (CONTROL_BUT_BREAKS if lines else CONTROL).search(text), DAMAGED.search(text)
    first = min((one for one in found if one), key=re.Match.start, default=None)
    if first is not None and first is found[0]:
        return "must not contain control characters" + ("" if lines else " or line breaks")
    if first is not None:
        return "contains a character that was damaged on the way; please send it as UTF-8"
    return f"must not have more than {MOST_MARKS} accents on one letter" if _stacks_marks(text) else None


def _stacks_marks(text: str) -> bool:
    """Whether a run of combining marks is longer than any language needs; composing takes its length squared.

    A text that is too long for any field is not looked through.
    """
    if text.isascii() or len(text) > LONGEST_TEXT:
        return False
    runs = groupby(text, lambda letter: unicodedata.category(letter)[0] == "M")
    return any(is_marks and sum(1 for _mark in run) > MOST_MARKS for is_marks, run in runs)


def fold(text: str) -> str:
    """The text as one would type it on any keyboard: small ASCII letters and digits, single blanks between.

    At most 500 characters of it, which is enough to sort by and to compare.
    """
    return " ".join(words(text))[:LONGEST_FOLDED].rstrip()


def main_title(title: str) -> str:
    """A title folded, without an article before it and without what stands in brackets after it.

    'The Hunger Games (The Hunger Games, #1)' gives 'hunger games', which is what people type.
    """
    folded = fold(IN_BRACKETS.sub("", title)) or fold(title)
    return ARTICLE.sub("", folded) or folded


def words(text: str) -> list[str]:
    """The words of a text, folded: 'Gabriel García Márquez' gives gabriel, garcia, marquez."""
    plain = text.encode("utf-8", "ignore").decode()
    return [word[:LONGEST_WORD] for word in WORD.findall(anyascii(plain).lower())]


def shortened(title: str) -> str:
    """A title as a message names it: what is flashed travels in a cookie, which has no room for 500 letters."""
    return title if len(title) <= LONGEST_NAMED else f"{title[: LONGEST_NAMED - 1].rstrip()}…"


def year_in_words(number: int) -> str:
    """A year of publication: 1997, or 700 BC for -700."""
    return str(number) if number > 0 else f"{-number} BC"


@lru_cache(maxsize=10_000)  # as often as a book is named on a page
def slug(title: str) -> str:
    """A title as the readable end of an address: 'The Hunger Games (The Hunger Games, #1)' gives 'the-hunger-games'."""
    folded = fold(IN_BRACKETS.sub("", title)) or fold(title)
    return folded[:LONGEST_SLUG].strip().replace(" ", "-") or "book"


def search_words(text: str) -> str:
    """What is put into the search index for a text: its words, and what has marks inside also written as one.

    So 'J. R. R. Tolkien' is found as 'jrr', "O'Brien" as 'obrien' and 'Catch-22' as 'catch22'.
    """
    parts = SPACED_INITIALS.sub(r"\1.", text).split()
    joined = ["".join(found)[:LONGEST_WORD] for part in parts if len(found := words(part)) > 1]
    return " ".join([*words(text), *joined])


def as_cell(text: str) -> str:
    """A text as it may stand in a table for a spreadsheet, which would take `=...` for a formula and run it.

    An apostrophe before it says that it is text (OWASP, CSV injection); `from_cell` takes it away again.
    """
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """The text of a cell that `as_cell` may have written."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def one_line(text: str) -> str:
    """A text as it may stand in a header or in a line of plain text: no control characters, no line breaks."""
    return " ".join(UNSAFE.sub(" ", text).split())


def isolated(text: str) -> str:
    """A text for one line that keeps its own direction to itself, as <bdi> does in HTML (Unicode UAX 9).

    Isolates of its own are left out, as one without its other half would end this one early or too late.
    """
    line = one_line(text).translate(ISOLATES)
    if any(unicodedata.bidirectional(letter) in FROM_RIGHT_TO_LEFT for letter in line):
        return f"{FIRST_STRONG_ISOLATE}{line}{POP_ISOLATE}"
    return line
