"""The sheet that a cover is drawn on: shapes below, words above, and all of it mirrored for right-to-left titles.

Only presentation attributes: the pages' Content-Security-Policy allows no styles, and a cover loads nothing.
"""

from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from bookshop.catalog.cover_text import initial, is_tall, language, names_of, runs_left, split_title
from bookshop.catalog.cover_typesetting import (
    LARGEST_PRINT,
    TRACKING,
    Box,
    Line,
    Style,
    as_printed,
    fit_names,
    fit_title,
    height_of,
)

WIDTH, HEIGHT = 300, 450
SERIF = "'Iowan Old Style','Palatino Linotype',Palatino,Georgia,'Noto Serif','DejaVu Serif',serif"
SANS = "'Avenir Next',Avenir,'Gill Sans','Segoe UI','Helvetica Neue',Arial,sans-serif"
WHOLE = f"M0 0h{WIDTH}v{HEIGHT}H0z"


class Scheme(NamedTuple):
    """Three colours of a cover. Words are in ink on the ground, or in the colour of the ground on ink."""

    ground: str
    ink: str
    accent: str


class Sheet:
    """A cover in the making."""

    def __init__(self, title: str, authors: str, scheme: Scheme, seed: int) -> None:
        self.ground, self.ink, self.accent = scheme
        self._title, self._authors = title, authors
        self._seed = seed
        self._mirrored = runs_left(title or authors)
        self._root = _document(title, authors)
        SubElement(self._root, "path", d=WHOLE, fill=self.ground)
        turned = {"transform": f"matrix(-1 0 0 1 {WIDTH} 0)"} if self._mirrored else {}
        self._shapes = SubElement(self._root, "g", turned)

    def pick(self, count: int) -> int:
        """A number from 0 to count - 1, always the same for the same book."""
        self._seed, number = divmod(self._seed, count)
        return number

    def fill(self, path: str, colour: str = "", **more: float | str) -> None:
        """Fill a path, with the accent unless another colour is given."""
        _add(self._shapes, "path", d=path, fill=colour or self.accent, **more)

    def draw(self, path: str, width: float = 1, colour: str = "", **more: float | str) -> None:
        """Draw the outline of a path, in ink unless another colour is given; `stroke_opacity` is stroke-opacity."""
        _add(self._shapes, "path", d=path, fill="none", stroke=colour or self.ink, stroke_width=width, **more)

    def circle(self, x: float, y: float, radius: float, colour: str = "", line: float = 0) -> None:
        """A disc, or a ring if the width of its line is given; in the accent unless another colour is given."""
        colour = colour or self.accent
        drawn = _add(self._shapes, "circle", cx=x, cy=y, r=radius, fill="none" if line else colour)
        if line:
            drawn.attrib |= {"stroke": colour, "stroke-width": _number(line)}

    def paper(self, width: float, height: float, path: str, line: float, **more: float | str) -> None:
        """Cover the sheet with a small drawing in the accent, repeated."""
        tile = _add(self._shapes, "pattern", id="paper", width=width, height=height, patternUnits="userSpaceOnUse")
        _add(tile, "path", d=path, fill="none", stroke=self.accent, stroke_width=line, **more)
        self.fill(WHOLE, "url(#paper)")

    def title(self, box: Box, style: Style) -> None:
        """Set title, subtitle and series line in a box, as large as they go in."""
        box = self._mirror(box)
        self._print(self._root, fit_title(split_title(self._title), box, style), box, style)

    def authors(self, box: Box, style: Style) -> None:
        """Set the authors in a box."""
        self._print_authors(self._root, self._mirror(box), style)

    def spine(self, box: Box, style: Style) -> None:
        """Set the authors along a box, turned by a quarter, as on the spine of a book."""
        box = self._mirror(box)
        x, y = box.left + box.width / 2, box.top + box.height / 2
        turn = -90 if self._mirrored else 90
        turned = _add(self._root, "g", transform=f"rotate({turn} {_number(x)} {_number(y)})")
        self._print_authors(turned, Box(x - box.height / 2, y - box.width / 2, box.height, box.width), style)

    def initial(self, x: float, baseline: float, size: float) -> None:
        """Draw the first letter of the title as an ornament, in the accent."""
        letter = initial(self._title)
        if is_tall(letter):
            baseline, size = baseline - size * 0.12, size * 0.7
        x = WIDTH - x if self._mirrored else x
        drawn = _add(self._root, "text", x=x, y=baseline, font_size=size, fill=self.accent, text_anchor="middle")
        drawn.text = letter

    def finished(self) -> str:
        """The document; a hinge and a faint edge make a book of the sheet, on light pages and on dark ones."""
        self.draw("M8.5 0v450", 2, "#000", stroke_opacity=0.14)
        self.draw("M.5.5h299v449H.5z", 1, "#000", stroke_opacity=0.16)
        return tostring(self._root, encoding="unicode")

    def _mirror(self, box: Box) -> Box:
        return box._replace(left=WIDTH - box.left - box.width) if self._mirrored else box

    def _print_authors(self, parent: Element, box: Box, style: Style) -> None:
        _, style = as_printed(self._authors, style)
        versions = [as_printed(names, style)[0] for names in names_of(self._authors)]
        self._print(parent, fit_names(versions, box, style), box, style)

    def _print(self, parent: Element, lines: list[Line], box: Box, style: Style) -> None:
        """Write the lines, those of one size as a group; what runs from right to left begins at the right."""
        leftward = runs_left("".join(line.text for line in lines))
        x = box.left + box.width * (0.5 if style.centred else leftward)
        y = box.top + (box.height - height_of(lines)) * style.at
        groups: dict[float, Element] = {}
        for line in lines:
            if line.size not in groups:
                look = _look(line, style, leftward)
                groups[line.size] = _add(parent, "g", fill=self.ground if style.reversed else self.ink, **look)
            y += line.height
            _add(groups[line.size], "text", x=x, y=y - line.size * 0.28).text = line.text


def _document(title: str, authors: str) -> Element:
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    root.attrib |= {"width": str(WIDTH), "height": str(HEIGHT), "font-family": SERIF}
    if spoken := language(title + authors):
        root.set("lang", spoken)
    SubElement(root, "title").text = ", ".join(filter(None, (title or "Untitled", authors)))
    return root


def _add(parent: Element, tag: str, **attributes: float | str) -> Element:
    return SubElement(parent, tag, {name.replace("_", "-"): _number(value) for name, value in attributes.items()})


def _number(value: float | str) -> str:
    """A number as short as it can be written; what is text stays as it is."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _look(line: Line, style: Style, leftward: bool) -> dict[str, float | str]:
    """The attributes of a line. Scripts whose letters join or stand upright are neither slanted nor spaced."""
    wanted: dict[str, float | str] = {
        "font_size": line.size,
        "font_family": SANS if style.sans else "",
        "font_weight": "700" if style.bold and line.size > LARGEST_PRINT else "",
        "font_style": "italic" if style.italic and not is_tall(line.text) else "",
        "letter_spacing": line.size * TRACKING if style.capitals else "",
        "text_anchor": "middle" if style.centred else "",
        "direction": "rtl" if leftward else "",
    }
    return {name: value for name, value in wanted.items() if value}
