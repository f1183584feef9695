"""The sheet that a cover is drawn on: shapes below, text on top, and everything mirrored for right-to-left titles.

It uses only presentation attributes, because the Content-Security-Policy allows no styles, and loads nothing.
"""

from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from bookshop.catalog.cover_text import initial, is_right_to_left, is_tall, names_of, split_title
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
from bookshop.catalog.languages import script_language

WIDTH, HEIGHT = 300, 450
SERIF = "'Iowan Old Style','Palatino Linotype',Palatino,Georgia,'Noto Serif','DejaVu Serif'"
SANS = "'Avenir Next',Avenir,'Gill Sans','Segoe UI','Helvetica Neue',Arial"
# Fonts for other scripts on macOS and iOS, Windows, Android and Linux; static/css/shop.css has the same.
SCRIPT_FONTS = {
    "ar": "'Geeza Pro','Arabic Typesetting','Noto Naskh Arabic'",
    "ja": "'Hiragino Mincho ProN','Yu Mincho','MS PMincho','Noto Serif CJK JP','Noto Serif JP'",
    "ko": "'Apple SD Gothic Neo',Batang,'Malgun Gothic','Noto Serif CJK KR','Noto Serif KR'",
    "th": "Thonburi,'Leelawadee UI','Noto Serif Thai','Noto Sans Thai'",
    "zh": "'Songti SC','PingFang SC',SimSun,'Noto Serif CJK SC','Noto Serif SC','WenQuanYi Zen Hei'",
}
WHOLE = f"M0 0h{WIDTH}v{HEIGHT}H0z"


class Scheme(NamedTuple):
    """The three colours of a cover. Text is ink on the ground or, reversed, the ground colour on ink."""

    ground: str
    ink: str
    accent: str


class Sheet:
    """A cover being drawn; layouts call its methods, then `to_svg` returns the document."""

    def __init__(self, title: str, authors: str, scheme: Scheme, seed: int) -> None:
        self.ground, self.ink, self.accent = scheme
        self._title, self._authors = title, authors
        self._seed = seed
        self._mirrored = is_right_to_left(title or authors)
        self._root = _document(title, authors)
        SubElement(self._root, "path", d=WHOLE, fill=self.ground)
        mirror = {"transform": f"matrix(-1 0 0 1 {WIDTH} 0)"} if self._mirrored else {}
        self._shapes = SubElement(self._root, "g", mirror)

    def pick(self, count: int) -> int:
        """Return the next number from 0 to count - 1; the same book always gets the same numbers."""
        self._seed, number = divmod(self._seed, count)
        return number

    def fill(self, path: str, colour: str = "", **more: float | str) -> None:
        """Fill a path, by default with the accent colour."""
        _add(self._shapes, "path", d=path, fill=colour or self.accent, **more)

    def draw(self, path: str, width: float = 1, colour: str = "", **more: float | str) -> None:
        """Draw the outline of a path, by default in ink; `more` are SVG attributes such as `stroke_opacity`."""
        _add(self._shapes, "path", d=path, fill="none", stroke=colour or self.ink, stroke_width=width, **more)

    def circle(self, x: float, y: float, radius: float, colour: str = "", line: float = 0) -> None:
        """Draw a disc or, with a line width, a ring, by default in the accent colour."""
        colour = colour or self.accent
        element = _add(self._shapes, "circle", cx=x, cy=y, r=radius, fill="none" if line else colour)
        if line:
            element.attrib |= {"stroke": colour, "stroke-width": _number(line)}

    def paper(self, width: float, height: float, path: str, line: float, **more: float | str) -> None:
        """Cover the sheet with a repeated small drawing in the accent colour."""
        tile = _add(self._shapes, "pattern", id="paper", width=width, height=height, patternUnits="userSpaceOnUse")
        _add(tile, "path", d=path, fill="none", stroke=self.accent, stroke_width=line, **more)
        self.fill(WHOLE, "url(#paper)")

    def title(self, box: Box, style: Style) -> None:
        """Set title, subtitle and series in a box, at the largest size that fits."""
        box = self._mirror(box)
        self._print(self._root, fit_title(split_title(self._title), box, style), box, style)

    def authors(self, box: Box, style: Style) -> None:
        """Set the authors in a box."""
        self._print_authors(self._root, self._mirror(box), style)

    def spine(self, box: Box, style: Style) -> None:
        """Set the authors along a box, rotated by 90 degrees as on the spine of a book."""
        box = self._mirror(box)
        x, y = box.left + box.width / 2, box.top + box.height / 2
        angle = -90 if self._mirrored else 90
        rotated = _add(self._root, "g", transform=f"rotate({angle} {_number(x)} {_number(y)})")
        self._print_authors(rotated, Box(x - box.height / 2, y - box.width / 2, box.height, box.width), style)

    def initial(self, x: float, baseline: float, size: float) -> None:
        """Draw the first letter of the title as an ornament, in the accent colour."""
        letter = initial(self._title)
        if is_tall(letter):
            baseline, size = baseline - size * 0.12, size * 0.7
        x = WIDTH - x if self._mirrored else x
        element = _add(self._root, "text", x=x, y=baseline, font_size=size, fill=self.accent, text_anchor="middle")
        element.text = letter

    def to_svg(self) -> str:
        """Add a hinge and a faint edge, visible on light and dark pages, and return the SVG document."""
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
        """Write the lines, grouped by size; right-to-left text is aligned to the right."""
        right_to_left = is_right_to_left("".join(line.text for line in lines))
        x = box.left + box.width * (0.5 if style.centred else right_to_left)
        y = box.top + (box.height - height_of(lines)) * style.at
        groups: dict[float, Element] = {}
        for line in lines:
            if line.size not in groups:
                attributes = _text_attributes(line, style, right_to_left)
                groups[line.size] = _add(parent, "g", fill=self.ground if style.reversed else self.ink, **attributes)
            y += line.height
            _add(groups[line.size], "text", x=x, y=y - line.size * 0.28).text = line.text


def _document(title: str, authors: str) -> Element:
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    root.attrib |= {"width": str(WIDTH), "height": str(HEIGHT), "font-family": _fonts(SERIF, "serif", title + authors)}
    if language := script_language(title + authors):
        root.set("lang", language)
    SubElement(root, "title").text = ", ".join(filter(None, (title or "Untitled", authors)))
    return root


def _fonts(families: str, generic: str, text: str) -> str:
    """Return a font stack for a text: first the Latin fonts, then those for its script if that is another."""
    return ",".join(filter(None, (families, SCRIPT_FONTS.get(script_language(text) or ""), generic)))


def _add(parent: Element, tag: str, **attributes: float | str) -> Element:
    return SubElement(parent, tag, {name.replace("_", "-"): _number(value) for name, value in attributes.items()})


def _number(value: float | str) -> str:
    """Write a number as briefly as possible, with at most two decimals; text is unchanged."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _text_attributes(line: Line, style: Style, right_to_left: bool) -> dict[str, float | str]:
    """Return the text attributes of a line; tall scripts are never set in italics."""
    attributes: dict[str, float | str] = {
        "font_size": line.size,
        "font_family": _fonts(SANS, "sans-serif", line.text) if style.sans else "",
        "font_weight": "700" if style.bold and line.size > LARGEST_PRINT else "",
        "font_style": "italic" if style.italic and not is_tall(line.text) else "",
        "letter_spacing": line.size * TRACKING if style.capitals else "",
        "text_anchor": "middle" if style.centred else "",
        "direction": "rtl" if right_to_left else "",
    }
    return {name: value for name, value in attributes.items() if value}
