"""The text of a drawn cover: its parts, the width of its letters, and where lines break.

The browser chooses the font, so widths are estimates based on the widest common font (DejaVu); lines in other fonts
are a little shorter. Widths are in ems, the size of the font.
"""

# ruff: noqa: RUF001 - this module needs letters and marks of many scripts

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

NOT_SHOWN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]+"
)
STACKED_ACCENTS = re.compile(r"([\u0300-\u036f]{2})[\u0300-\u036f]+")
IN_BRACKETS = re.compile(r"(?<=\S)\s*[(\[（]([^()\[\]（）]*)[)\]）]$")
NUMBER_SIGN = re.compile(r",?\s*#(?=\d)")
SUBTITLE = re.compile(r"(?<=\S):\s+(?=\S)|：(?=\S)")
ARTICLE = re.compile(r"^(the|an?|der|die|das|les?|la|el|los|las|il|lo) (?=\S)", re.IGNORECASE)
LIST_OF_NAMES = re.compile(r"\s*[,;،]\s*")

WIDTHS = {
    letter: width
    for width, letters in {
        0.34: " '.,:;|/\\`ijl·’‘،",
        0.42: '-()[]!ftIJ"',
        0.54: "rsz?–*“”_",
        0.88: "wCGDOQUHN#+<=>~&южبتثپفسشصضكکگ",
        1.06: "mMW@%—…œæÆŒ™шщЫЖФ",
        1.20: "ШЩЮ",
    }.items()
    for letter in letters
}
SCRIPTS = (  # the end of a range of characters, the width of a small letter, and of a capital
    (0x370, 0.66, 0.78),  # Latin
    (0x530, 0.72, 0.88),  # Greek, Cyrillic
    (0x590, 0.80, 0.90),  # Armenian
    (0x600, 0.68, 0.68),  # Hebrew
    (0x780, 0.72, 0.72),  # Arabic
    (0x110000, 0.90, 0.98),
)
TALL = re.compile(r"[\u0590-\u1cff\u2e80-\uabff\uac00-\ud7ff\ufb1d-\ufeff\U0001f000-\U000323af]")
NO_CAPITALS = re.compile(f"{TALL.pattern}|[\u0370-\u03ff\u0530-\u058f\u1f00-\u1fffıİğĞşŞß]")  # .upper() would be wrong
# Characters that must not begin a line, and characters that must not end one.
NOT_FIRST = "、。，．・：；？！）」』】〕〉》ー々…ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
NOT_LAST = "（「『【〔〈《"
JOINER, SKIN_TONES = "\u200d", range(0x1F3FB, 0x1F400)


class Title(NamedTuple):
    """The parts of a title: 'Dune: A Novel (Dune, #1)' has 'Dune', 'A Novel' and 'Dune · 1'."""

    main: str
    subtitle: str
    series: str


def clean(text: str) -> str:
    """Compose the text (NFC), collapse its white space, and drop what XML forbids and direction controls.

    At most two accents remain on a letter.
    """
    return " ".join(STACKED_ACCENTS.sub(r"\1", unicodedata.normalize("NFC", NOT_SHOWN.sub(" ", text))).split())


def split_title(title: str) -> Title:
    """Split a cleaned title: the subtitle follows a colon, the series is in brackets at the end."""
    bracket = IN_BRACKETS.search(title)
    series = NUMBER_SIGN.sub(" · ", bracket[1]).strip() if bracket else ""
    main, *rest = SUBTITLE.split(title[: bracket.start()] if bracket else title, maxsplit=1)
    return Title(main, rest[0] if rest else "", series)


def names_of(authors: str) -> list[str]:
    """Return ways to write the authors, longest first.

    Up to three can all be named; the shorter ways name the first two or the first, and the number of others.
    """
    names = [name for name in LIST_OF_NAMES.split(authors) if name]
    short = [f"{', '.join(names[:some])} and {len(names) - some} others" for some in (2, 1) if len(names) > some + 1]
    return short if len(names) > 3 else [authors, *short]


def initial(title: str) -> str:
    """Return the first letter or digit of a title without its article, such as T for 'The Trial'; else a dot."""
    letters = (cluster for cluster in clusters(ARTICLE.sub("", title)) if cluster[0].isalnum())
    first = next(letters, "·")
    return first if is_tall(first) else first[0].upper()


def is_right_to_left(text: str) -> bool:
    """Whether text is read from right to left, judged by its first letter."""
    letters = (unicodedata.bidirectional(character) for character in text)
    return next((letter for letter in letters if letter in {"L", "R", "AL"}), "L") != "L"


def is_tall(text: str) -> bool:
    """Whether text has letters that need more leading, and neither italics nor letter-spacing."""
    return bool(TALL.search(text))


# ---------------------------------------------------------------- widths


def width_of(text: str) -> float:
    """Estimate the largest width of text, in ems."""
    return sum(map(width_of_letter, text))


@lru_cache(maxsize=4096)
def width_of_letter(letter: str) -> float:
    """Estimate the largest width of a character, in ems; accents do not count."""
    base = unicodedata.normalize("NFD", letter)[0]
    if base in WIDTHS:
        return WIDTHS[base]
    if unicodedata.category(base) in {"Mn", "Me", "Cf"} or ord(base) in SKIN_TONES:
        return 0.0
    if is_wide(letter):
        return 1.3 if unicodedata.category(base) == "So" else 1.0
    return next(capital if base.isupper() else small for end, small, capital in SCRIPTS if ord(base) < end)


def is_wide(letter: str) -> bool:
    """Whether a character fills a square, such as Chinese, Japanese and Korean characters and emoji."""
    return unicodedata.east_asian_width(letter) in {"W", "F"}


# ---------------------------------------------------------------- lines


def clusters(text: str) -> Iterator[str]:
    """Yield the characters as readers see them: with their combining marks, and emoji sequences as one."""
    cluster = ""
    for character in text:
        joins = unicodedata.category(character)[0] == "M" or character == JOINER or ord(character) in SKIN_TONES
        if cluster and not joins and cluster[-1] != JOINER:
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def pieces(text: str) -> list[str]:
    """Split text wherever a line may break; a space stays with the word before it."""
    parts: list[str] = []
    for cluster in clusters(text):
        if parts and not _may_break(parts[-1], cluster):
            parts[-1] += cluster
        else:
            parts.append(cluster)
    return parts


def _may_break(before: str, after: str) -> bool:
    last = before[-1]
    if after == " " or after[0] in NOT_FIRST or last in NOT_LAST:
        return False
    if last == " " or is_wide(after[0]) or is_wide(last):
        return True
    return last in "-–—/" and len(before) > 3 and after.isalpha()


class Measured:
    """Text whose pieces are measured once, so that it can be wrapped to several widths."""

    def __init__(self, text: str) -> None:
        self._measure(pieces(text))

    def _measure(self, parts: list[str]) -> None:
        self.pieces = parts
        self.ends = list(accumulate((width_of(piece) for piece in parts), initial=0.0))
        self.blanks = [width_of(piece[len(piece.rstrip()) :]) for piece in parts]
        self.longest = max((width_of(piece.rstrip()) for piece in parts), default=0.0)

    def chop(self, width: float) -> None:
        """Split pieces that are longer than a line into letters."""
        parts = (clusters(piece) if width_of(piece) > width else [piece] for piece in self.pieces)
        self._measure(list(chain.from_iterable(parts)))

    def wrap(self, width: float) -> list[str]:
        """Wrap to the fewest lines of at most this width, about equally long; pieces are not split."""
        fewest = len(self._starts(width))
        narrow, wide = min(max(self.longest, self.ends[-1] / max(fewest, 1)), width), width
        for _ in range(6):
            middle = (narrow + wide) / 2
            narrow, wide = (narrow, middle) if len(self._starts(middle)) <= fewest else (middle, wide)
        starts = [*self._starts(wide), len(self.pieces)]
        return ["".join(self.pieces[start:end]).strip() for start, end in pairwise(starts)]

    def _starts(self, width: float) -> list[int]:
        """Return the index of each line's first piece, with as many pieces on a line as fit."""
        starts, begin = [], 0
        while begin < len(self.pieces):
            starts.append(begin)
            limit = self.ends[begin] + width + 1e-6
            end = bisect_left(self.ends, limit, lo=begin + 1) - 1
            if end < len(self.pieces) and self.ends[end + 1] - self.blanks[end] <= limit:
                end += 1
            begin = max(end, begin + 1)
        return starts


def shorten(line: str, width: float) -> str:
    """Shorten the line to this width with an ellipsis, after a whole word if it has several."""
    room = width - width_of("…")
    while width_of(line) > room:
        head, blank, _ = line.rpartition(" ")
        line = head if blank else "".join(list(clusters(line))[:-1])
    return f"{line.rstrip(' ,.:;-–—')}…"
