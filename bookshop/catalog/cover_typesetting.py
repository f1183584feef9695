"""Typesetting: breaks text into lines at the largest size that fits a box."""

from typing import NamedTuple

from bookshop.catalog.cover_text import NO_CAPITALS, Measured, Title, is_tall, shorten

SMALLEST_TITLE, SMALLEST_PRINT, LARGEST_PRINT = 12.0, 11.5, 19.0
BROKEN_WORD = 22.0  # the size at which a word that is too long for a line is split
BOLD = 1.14  # width of bold letters, relative to regular ones
TRACKING = 0.09  # extra space between capitals, in ems


class Box(NamedTuple):
    """A part of the sheet for text, which does not exceed it."""

    left: float
    top: float
    width: float
    height: float


class Style(NamedTuple):
    """How to set text in its box: `centred` or flush with the margin, and `at` the top (0) to the bottom (1)."""

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
        """The width of text in this style, relative to regular type."""
        return (BOLD if self.bold else 1) * (1 + TRACKING / 0.6 if self.capitals else 1)


class Line(NamedTuple):
    """One line of text, its type size, and the height that it takes in the box."""

    text: str
    size: float
    height: float


def height_of(lines: list[Line]) -> float:
    """Return the total height of lines."""
    return sum(line.height for line in lines)


def fit_title(title: Title, box: Box, style: Style) -> list[Line]:
    """Return the lines of a title at the largest size that fits the box without splitting words.

    Only words that are too long for a line at the smallest size are split; if there are too many lines at that size,
    the last one ends with an ellipsis.
    """
    room = box.width / style.spread
    smallest = (SMALLEST_TITLE, SMALLEST_PRINT, SMALLEST_PRINT)
    parts = [_measured(part, room, size) for part, size in zip(title, smallest, strict=True)]
    for size in _sizes(style.largest, SMALLEST_TITLE):
        lines = _title_lines(size, parts, room)
        if lines and height_of(lines) <= box.height:
            return lines
    return _truncate(_title_lines(SMALLEST_TITLE, parts, room), box.height, room)


def fit_names(versions: list[str], box: Box, style: Style) -> list[Line]:
    """Return the lines of the first version of the authors that fits the box, at the largest size that fits."""
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
    return _truncate(lines, box.height, room)


def as_printed(names: str, style: Style) -> tuple[str, Style]:
    """Return names and style for printing: in capitals if the style has them and the script allows it."""
    if not style.capitals:
        return names, style
    return (names, style._replace(capitals=False)) if NO_CAPITALS.search(names) else (names.upper(), style)


def _sizes(largest: float, smallest: float) -> list[float]:
    """Return the sizes to try, in descending order."""
    sizes = [largest]
    while sizes[-1] * 0.93 > smallest:
        sizes.append(round(sizes[-1] * 0.93, 1))
    return [*sizes, smallest]


def _measured(text: str, room: float, smallest: float) -> Measured:
    """Measure the text; if a word is too long for a line at the smallest size, it is split."""
    measured = Measured(text)
    if measured.longest > room / smallest:
        measured.chop(room / BROKEN_WORD)
    return measured


def _title_lines(size: float, parts: list[Measured], room: float) -> list[Line]:
    """Return the lines of title, subtitle and series for this title size; [] if a word is too long for a line."""
    small = min(max(size * 0.48, SMALLEST_PRINT), LARGEST_PRINT)
    lines: list[Line] = []
    for part, part_size in zip(parts, (size, small, SMALLEST_PRINT), strict=True):
        if part.longest > room / part_size:
            return []
        lines += _lines(part.wrap(room / part_size), part_size, gap=part_size * 0.55 if lines else 0)
    return lines


def _lines(texts: list[str], size: float, gap: float = 0) -> list[Line]:
    """Return lines of one size, with a gap above the first."""
    lines = [Line(text, size, size * _leading(text, size)) for text in texts]
    return [line._replace(height=line.height + gap) for line in lines[:1]] + lines[1:]


def _leading(text: str, size: float) -> float:
    if is_tall(text):
        return 1.42
    return 1.16 if size > LARGEST_PRINT else 1.28


def _truncate(lines: list[Line], height: float, room: float) -> list[Line]:
    """Drop the lines that exceed the height, and end the last remaining one with an ellipsis."""
    fitting = list(lines)
    while height_of(fitting) > height:
        fitting.pop()
    if fitting and len(fitting) < len(lines):
        fitting[-1] = fitting[-1]._replace(text=shorten(fitting[-1].text, room / fitting[-1].size))
    return fitting
