"""Setting words in a box: the lines and the size at which they go in, the largest that is possible."""

from typing import NamedTuple

from bookshop.catalog.cover_text import NO_CAPITALS, Measured, Title, is_tall, shorten

SMALLEST_TITLE, SMALLEST_PRINT, LARGEST_PRINT = 12.0, 11.5, 19.0
BROKEN_WORD = 22.0  # the size of a word that is too long for a line, and so is cut
BOLD = 1.14  # how much wider than regular letters
TRACKING = 0.09  # between capitals, in ems


class Box(NamedTuple):
    """A part of the sheet that words are set in; they do not leave it."""

    left: float
    top: float
    width: float
    height: float


class Style(NamedTuple):
    """How words are set in their box: `centred`, else from the margin; `at` 0 is the top of the box, 1 its bottom."""

    largest: float = 46
    centred: bool = False
    at: float = 0
    sans: bool = False
    bold: bool = False
    italic: bool = False
    capitals: bool = False
    reversed: bool = False

    @property
    def spread(self) -> float:
        """How much wider words come out than plain ones."""
        return (BOLD if self.bold else 1) * (1 + TRACKING / 0.6 if self.capitals else 1)


class Line(NamedTuple):
    """One line of words, the size of its letters, and how much of the height of the box it takes."""

    text: str
    size: float
    height: float


def height_of(lines: list[Line]) -> float:
    """How high lines are together."""
    return sum(line.height for line in lines)


def fit_title(title: Title, box: Box, style: Style) -> list[Line]:
    """The lines of a title at the largest size at which no word is cut and all of it goes into the box.

    A word is cut only if it is too long for a line at the smallest size; at that size, lines that are too many end
    with an ellipsis.
    """
    room = box.width / style.spread
    smallest = (SMALLEST_TITLE, SMALLEST_PRINT, SMALLEST_PRINT)
    parts = [_measured(part, room, size) for part, size in zip(title, smallest, strict=True)]
    for size in _sizes(style.largest, SMALLEST_TITLE):
        lines = _at(size, parts, room)
        if lines and height_of(lines) <= box.height:
            return lines
    return _cut(_at(SMALLEST_TITLE, parts, room), box.height, room)


def fit_names(versions: list[str], box: Box, style: Style) -> list[Line]:
    """The lines of the authors in the first version that goes into the box, at the largest size at which it does."""
    room = box.width / style.spread
    lines: list[Line] = []
    for names in versions:
        measured = _measured(names, room, SMALLEST_PRINT)
        for size in _sizes(style.largest, SMALLEST_PRINT):
            if measured.longest > room / size:
                continue
            lines = _lines(measured.wrap(room / size), size)
            if height_of(lines) <= box.height:
                return lines
    return _cut(lines, box.height, room)


def as_printed(names: str, style: Style) -> tuple[str, Style]:
    """Names in capitals if the style asks for them and their script can do it without a fault, else as they are."""
    if not style.capitals:
        return names, style
    return (names, style._replace(capitals=False)) if NO_CAPITALS.search(names) else (names.upper(), style)


def _sizes(largest: float, smallest: float) -> list[float]:
    """Sizes to try, each a little smaller than the one before."""
    sizes = [largest]
    while sizes[-1] * 0.93 > smallest:
        sizes.append(round(sizes[-1] * 0.93, 1))
    return [*sizes, smallest]


def _measured(text: str, room: float, smallest: float) -> Measured:
    """The text with its words whole, if each goes on a line at the smallest size."""
    measured = Measured(text)
    if measured.longest > room / smallest:
        measured.chop(room / BROKEN_WORD)
    return measured


def _at(size: float, parts: list[Measured], room: float) -> list[Line]:
    """The lines of title, subtitle and series if the title has this size; none if a word is too long for it."""
    small = min(max(size * 0.48, SMALLEST_PRINT), LARGEST_PRINT)
    lines: list[Line] = []
    for part, own in zip(parts, (size, small, SMALLEST_PRINT), strict=True):
        if part.longest > room / own:
            return []
        lines += _lines(part.wrap(room / own), own, gap=own * 0.55 if lines else 0)
    return lines


def _lines(texts: list[str], size: float, gap: float = 0) -> list[Line]:
    """The texts as lines of one size, the first of them with a gap above it."""
    lines = [Line(text, size, size * _leading(text, size)) for text in texts]
    return [line._replace(height=line.height + gap) for line in lines[:1]] + lines[1:]


def _leading(text: str, size: float) -> float:
    if is_tall(text):
        return 1.42
    return 1.16 if size > LARGEST_PRINT else 1.28


def _cut(lines: list[Line], height: float, room: float) -> list[Line]:
    """As many of the lines as the height holds, the last of them with an ellipsis if there were more."""
    kept = list(lines)
    while height_of(kept) > height:
        kept.pop()
    if kept and len(kept) < len(lines):
        kept[-1] = kept[-1]._replace(text=shorten(kept[-1].text, room / kept[-1].size))
    return kept
