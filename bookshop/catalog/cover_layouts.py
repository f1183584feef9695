"""The layouts of drawn covers: each function draws one design on a sheet of 300 by 450.

A layout calls `sheet.pick` for its variations, draws its shapes from the spine (left) to the edge (right), and sets
title and authors in boxes that the shapes leave free.
"""

from collections.abc import Callable
from math import cos, pi, sin

from bookshop.catalog.cover_sheet import Sheet
from bookshop.catalog.cover_typesetting import Box, Style

Layout = Callable[[Sheet], None]

LEFT, INNER = 32, 240  # the margin at the spine, and the width between the margins
NAME = Style(largest=17, at=1)
SMALL_CAPITALS = Style(largest=13, at=1, sans=True, capitals=True)


def plain(sheet: Sheet) -> None:
    """Only type, a rule and a dot."""
    sheet.title(Box(LEFT, 34, INNER, 270), Style(largest=72))
    sheet.draw(f"M{LEFT} 392h{INNER}", 1)
    sheet.circle(264, 360, 8)
    sheet.authors(Box(LEFT, 398, INNER, 32), NAME._replace(at=0, largest=16))


def framed(sheet: Sheet) -> None:
    """A double frame, centred text, and a lozenge between title and authors."""
    sheet.draw("M22 18h262v414H22z", 1)
    sheet.draw("M28 24h250v402H28z", 2.5, sheet.accent)
    sheet.title(Box(46, 60, 214, 240), Style(largest=42, centred=True, at=0.5))
    sheet.fill("M153 322l7 11-7 11-7-11z")
    sheet.authors(Box(46, 358, 214, 48), SMALL_CAPITALS._replace(centred=True, at=0.5))


def bands(sheet: Sheet) -> None:
    """Three bands: authors at the top, title in the widest, colour at the foot."""
    sheet.fill("M0 0h300v104H0z", sheet.ink)
    sheet.fill("M0 110h300v5H0z")
    sheet.fill("M0 412h300v38H0z")
    sheet.authors(Box(LEFT, 30, INNER, 58), Style(largest=19, at=1, reversed=True))
    sheet.title(Box(LEFT, 136, INNER, 256), Style(largest=60))


def label(sheet: Sheet) -> None:
    """Patterned paper with a label."""
    PAPERS[sheet.pick(len(PAPERS))](sheet)
    sheet.fill("M46 62h214v214H46z", sheet.ink)
    sheet.draw("M52 68h202v202H52z", 1, sheet.ground)
    sheet.title(Box(64, 78, 178, 136), Style(largest=32, centred=True, at=0.5, reversed=True))
    sheet.draw("M138 224h30", 1, sheet.ground)
    sheet.authors(Box(64, 230, 178, 34), Style(largest=13, centred=True, at=0.5, italic=True, reversed=True))


def tiles(sheet: Sheet) -> None:
    """Rows of quarter circles, turned at random; text below."""
    path = ""
    for cell in range(12):
        x, y = cell % 4 * 75, cell // 4 * 75
        quarters = (f"M{x} {y}h75a75 75 0 0 1-75 75z", f"M{x + 75} {y}v75a75 75 0 0 1-75-75z",
                    f"M{x + 75} {y + 75}h-75a75 75 0 0 1 75-75z", f"M{x} {y + 75}v-75a75 75 0 0 1 75 75z")  # fmt: skip
        path += quarters[sheet.pick(4)]
    sheet.fill(path)
    sheet.fill(f"M{sheet.pick(4) * 75} {sheet.pick(3) * 75}h75v75h-75z", sheet.ink)
    sheet.title(Box(LEFT, 242, INNER, 142), Style(largest=34, sans=True, bold=True))
    sheet.authors(Box(LEFT, 392, INNER, 36), Style(largest=15, at=1, sans=True))


def sun(sheet: Sheet) -> None:
    """A disc over a striped horizon."""
    middle = (92, 152, 212)[sheet.pick(3)]
    sheet.circle(middle, 292, 66)
    sheet.fill("M0 306h300v144H0z", sheet.ground)
    sheet.draw("".join(f"M0 {306 + 10 * row}h300" for row in range(8)), 2.2)
    sheet.title(Box(LEFT, 34, INNER, 182), Style(largest=46))
    sheet.authors(Box(LEFT, 392, INNER, 38), NAME)


def arches(sheet: Sheet) -> None:
    """Nested arches."""
    coloured = 1 + sheet.pick(4)
    for step in range(6):
        radius = 122 - 18 * step
        gate = f"M{152 - radius} 450V316a{radius} {radius} 0 0 1 {2 * radius} 0V450"
        sheet.draw(gate, 6 if step == coloured else 1.6, sheet.accent if step == coloured else sheet.ink)
    sheet.fill("M138 450V316a14 14 0 0 1 28 0V450z")
    sheet.authors(Box(LEFT, 28, INNER, 22), SMALL_CAPITALS._replace(centred=True, at=0))
    sheet.title(Box(LEFT, 58, INNER, 124), Style(largest=40, centred=True, at=0.4))


def diagonal(sheet: Sheet) -> None:
    """A slope, with the title above it and the authors in it."""
    sheet.fill("M0 300L300 196V222L0 326z")
    sheet.fill("M0 340L300 236V450H0z", sheet.ink)
    sheet.title(Box(LEFT, 32, INNER, 160), Style(largest=44, sans=True, bold=True))
    sheet.authors(Box(LEFT, 372, INNER, 54), Style(largest=17, at=1, sans=True, reversed=True))


def stripes(sheet: Sheet) -> None:
    """Rules that grow thicker towards the foot."""
    y, path = 250.0, ""
    for step in range(9):
        path += f"M0 {y:g}h300v{step * 2 + 1}H0z"
        y += step * 2 + 12
    sheet.fill(path, sheet.accent if sheet.pick(2) else sheet.ink)
    sheet.title(Box(LEFT, 66, INNER, 172), Style(largest=46, bold=True))
    sheet.authors(Box(LEFT, 32, INNER, 28), SMALL_CAPITALS._replace(at=0))


def large_initial(sheet: Sheet) -> None:
    """The first letter of the title, very large."""
    sheet.initial(152, 246, 250)
    sheet.draw(f"M{LEFT} 282h{INNER}", 1)
    sheet.title(Box(LEFT, 292, INNER, 98), Style(largest=30, centred=True, at=0.3))
    sheet.authors(Box(LEFT, 396, INNER, 32), SMALL_CAPITALS._replace(centred=True))


def column(sheet: Sheet) -> None:
    """A broad band at the spine with the authors along it."""
    sheet.fill("M0 0h76v450H0z", sheet.ink)
    sheet.fill("M82 0h5v450h-5z")
    sheet.spine(Box(22, 34, 40, 382), Style(largest=20, at=0.5, reversed=True))
    sheet.title(Box(106, 30, 172, 380), Style(largest=46))


def disc(sheet: Sheet) -> None:
    """The title in a large disc."""
    sheet.circle(152, 182, 126, sheet.ink)
    sheet.circle(152, 182, 134, line=3)
    sheet.title(Box(64, 96, 176, 172), Style(largest=38, centred=True, at=0.5, reversed=True))
    sheet.authors(Box(LEFT, 362, INNER, 52), Style(largest=18, centred=True, at=0.5))


def ripples(sheet: Sheet) -> None:
    """Concentric rings, like ripples in water."""
    middle = (LEFT, 152, 268)[sheet.pick(3)]
    for ring in range(9):
        sheet.circle(middle, 388, 14 + 18 * ring, line=1.6)
    sheet.circle(middle, 388, 7)
    sheet.title(Box(LEFT, 66, INNER, 150), Style(largest=42))
    sheet.authors(Box(LEFT, 32, INNER, 26), Style(largest=15, italic=True))


def fan(sheet: Sheet) -> None:
    """Rays from a corner at the foot."""
    angles = [pi / 2 * step / 16 for step in range(1, 16)]
    rays = "".join(f"M{_on_circle(50, angle)}L{_on_circle(228, angle)}" for angle in angles)
    sheet.draw(rays, 3, sheet.accent)
    sheet.draw("M0 212A238 238 0 0 1 238 450M0 410A40 40 0 0 1 40 450", 1.4)
    sheet.authors(Box(LEFT, 30, INNER, 26), Style(largest=15, italic=True))
    sheet.title(Box(LEFT, 62, INNER, 142), Style(largest=44))


def _on_circle(radius: float, angle: float) -> str:
    return f"{radius * cos(angle):.0f} {450 - radius * sin(angle):.0f}"


def hills(sheet: Sheet) -> None:
    """Three ranges of hills, the nearest the darkest."""
    sheet.fill("M0 290C60 230 120 250 170 280S260 300 300 250V450H0z", opacity=0.45)
    sheet.fill("M0 330C50 340 100 290 160 310S250 350 300 310V450H0z")
    sheet.fill("M0 372C80 340 130 390 190 376S270 350 300 366V450H0z", sheet.ink)
    sheet.title(Box(LEFT, 34, INNER, 182), Style(largest=46))
    sheet.authors(Box(LEFT, 398, INNER, 32), NAME._replace(reversed=True, largest=15))


# ---------------------------------------------------------------- patterned papers for `label`


def _dotted(sheet: Sheet) -> None:
    sheet.paper(18, 18, "M4.5 4.5h.01M13.5 13.5h.01", 5, stroke_linecap="round")


def _striped(sheet: Sheet) -> None:
    sheet.paper(18, 18, "M4 0v18M8.5 0v18M13 0v18", 1.2)


def _scaled(sheet: Sheet) -> None:
    sheet.paper(30, 30, "M-15 0a15 15 0 0 0 30 0a15 15 0 0 0 30 0M0 15a15 15 0 0 0 30 0", 1.5)


def _crossed(sheet: Sheet) -> None:
    sheet.paper(28, 28, "M7 3v8M3 7h8M21 17v8M17 21h8", 1.6)


def _diamonds(sheet: Sheet) -> None:
    sheet.paper(20, 34, "M10 0L20 17L10 34L0 17z", 1.3)


PAPERS: tuple[Layout, ...] = (_dotted, _striped, _scaled, _crossed, _diamonds)

LAYOUTS: tuple[Layout, ...] = (
    plain, framed, bands, label, tiles, sun, arches, diagonal, stripes, large_initial, column, disc, ripples,
    fan, hills,
)  # fmt: skip
ROOMY: tuple[Layout, ...] = (plain, framed, bands, column)  # have room for long titles
