"""The words on a drawn cover: what is set large and what small, how wide it is, and where its lines break.

Nobody knows which font a browser will take, so widths are estimated, by the widest font that is common (DejaVu): in
any other the lines come out a little shorter. Widths are in ems, that is, as parts of the size of the font.
"""

# ruff: noqa: RUF001 - letters and marks of many scripts are what this module is about

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
TOWERS = re.compile(r"([\u0300-\u036f]{2})[\u0300-\u036f]+")
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
SCRIPTS = (  # up to which character, how wide a letter is, and how wide a capital
    (0x370, 0.66, 0.78),  # Latin
    (0x530, 0.72, 0.88),  # Greek, Cyrillic
    (0x590, 0.80, 0.90),  # Armenian
    (0x600, 0.68, 0.68),  # Hebrew
    (0x780, 0.72, 0.72),  # Arabic
    (0x110000, 0.90, 0.98),
)
TALL = re.compile(r"[\u0590-\u1cff\u2e80-\uabff\uac00-\ud7ff\ufb1d-\ufeff\U0001f000-\U000323af]")
NO_CAPITALS = re.compile(f"{TALL.pattern}|[\u0370-\u03ff\u0530-\u058f\u1f00-\u1fffıİğĞşŞß]")  # where .upper() would err
NOT_FIRST = "、。，．・：；？！）」』】〕〉》ー々…ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
NOT_LAST = "（「『【〔〈《"
JOINER, SKIN_TONES = "\u200d", range(0x1F3FB, 0x1F400)


class Title(NamedTuple):
    """A title in its parts: 'Dune: A Novel (Dune, #1)' is 'Dune', 'A Novel' and 'Dune · 1'."""

    main: str
    subtitle: str
    series: str


def clean(text: str) -> str:
    """The text composed (NFC), with single blanks, and without what XML forbids or what would turn its direction.

    Of accents that tower on one letter only two stay.
    """
    return " ".join(TOWERS.sub(r"\1", unicodedata.normalize("NFC", NOT_SHOWN.sub(" ", text))).split())


def split_title(title: str) -> Title:
    """Take what follows a colon, and what stands in brackets at the end, from a title that was cleaned."""
    bracket = IN_BRACKETS.search(title)
    series = NUMBER_SIGN.sub(" · ", bracket[1]).strip() if bracket else ""
    main, *rest = SUBTITLE.split(title[: bracket.start()] if bracket else title, maxsplit=1)
    return Title(main, rest[0] if rest else "", series)


def names_of(authors: str) -> list[str]:
    """The authors in versions from the fullest to the shortest: of more than three only two or one, and a count."""
    names = [name for name in LIST_OF_NAMES.split(authors) if name]
    short = [f"{', '.join(names[:kept])} and {len(names) - kept} others" for kept in (2, 1) if len(names) > kept + 1]
    return short if len(names) > 3 else [authors, *short]


def initial(title: str) -> str:
    """The first letter or digit of a title after its article: T of 'The Trial'; a dot where there is none."""
    letters = (cluster for cluster in clusters(ARTICLE.sub("", title)) if cluster[0].isalnum())
    first = next(letters, "·")
    return first if is_tall(first) else first[0].upper()


def runs_left(text: str) -> bool:
    """Whether a text is read from right to left: its first letter says it."""
    letters = (unicodedata.bidirectional(character) for character in text)
    return next((letter for letter in letters if letter in {"L", "R", "AL"}), "L") != "L"


def is_tall(text: str) -> bool:
    """Whether a text has letters that need more room between lines, and neither slant nor letter-spacing."""
    return bool(TALL.search(text))


def language(text: str) -> str:
    """The language that the letters give away, where fonts must know it to draw the right forms of them; or ''."""
    marks = (("ja", r"[\u3040-\u30ff]"), ("ko", r"[\uac00-\ud7a3]"), ("zh", r"[\u4e00-\u9fff]"))
    return next((name for name, letters in marks if re.search(letters, text)), "")


# ---------------------------------------------------------------- widths


def width_of(text: str) -> float:
    """How wide a text is at most, in ems."""
    return sum(map(width_of_letter, text))


@lru_cache(maxsize=4096)
def width_of_letter(letter: str) -> float:
    """How wide a character is at most, in ems; what has an accent is as wide as without it."""
    base = unicodedata.normalize("NFD", letter)[0]
    if base in WIDTHS:
        return WIDTHS[base]
    if unicodedata.category(base) in {"Mn", "Me", "Cf"} or ord(base) in SKIN_TONES:
        return 0.0
    if is_wide(letter):
        return 1.3 if unicodedata.category(base) == "So" else 1.0
    return next(capital if base.isupper() else small for end, small, capital in SCRIPTS if ord(base) < end)


def is_wide(letter: str) -> bool:
    """Whether a character takes a full square, as Chinese, Japanese and Korean ones do, and emoji."""
    return unicodedata.east_asian_width(letter) in {"W", "F"}


# ---------------------------------------------------------------- lines


def clusters(text: str) -> Iterator[str]:
    """What a reader takes for one letter: a character with the marks on it, or an emoji made of several."""
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
    """The text cut wherever a line may end; a blank stays with the word before it."""
    found: list[str] = []
    for cluster in clusters(text):
        if found and not _may_break(found[-1], cluster):
            found[-1] += cluster
        else:
            found.append(cluster)
    return found


def _may_break(before: str, after: str) -> bool:
    last = before[-1]
    if after == " " or after[0] in NOT_FIRST or last in NOT_LAST:
        return False
    if last == " " or is_wide(after[0]) or is_wide(last):
        return True
    return last in "-–—/" and len(before) > 3 and after.isalpha()


class Measured:
    """A text whose pieces are measured once, to be wrapped to several widths."""

    def __init__(self, text: str) -> None:
        self._take(pieces(text))

    def _take(self, found: list[str]) -> None:
        self.pieces = found
        self.ends = list(accumulate((width_of(piece) for piece in found), initial=0.0))
        self.blanks = [width_of(piece[len(piece.rstrip()) :]) for piece in found]
        self.longest = max((width_of(piece.rstrip()) for piece in found), default=0.0)

    def chop(self, width: float) -> None:
        """Cut the pieces that are longer than a line into letters."""
        parts = (clusters(piece) if width_of(piece) > width else [piece] for piece in self.pieces)
        self._take(list(chain.from_iterable(parts)))

    def wrap(self, width: float) -> list[str]:
        """The fewest lines of at most this width, all about equally long; a piece is never cut."""
        fewest = len(self._starts(width))
        narrow, wide = min(max(self.longest, self.ends[-1] / max(fewest, 1)), width), width
        for _ in range(6):
            middle = (narrow + wide) / 2
            narrow, wide = (narrow, middle) if len(self._starts(middle)) <= fewest else (middle, wide)
        starts = [*self._starts(wide), len(self.pieces)]
        return ["".join(self.pieces[start:end]).strip() for start, end in pairwise(starts)]

    def _starts(self, width: float) -> list[int]:
        """The pieces that lines begin with, each line taking as many as it holds."""
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
    """The line with an ellipsis, at the end of a word if it has several."""
    room = width - width_of("…")
    while width_of(line) > room:
        head, blank, _ = line.rpartition(" ")
        line = head if blank else "".join(list(clusters(line))[:-1])
    return f"{line.rstrip(' ,.:;-–—')}…"
