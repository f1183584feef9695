"""The accent colour of the shop: one that an owner chooses, and what becomes of it on light and dark grounds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

DEFAULT = "#8b2e2a"
CONTRAST_MIN = 4.5  # WCAG 2.2, AA, for text
STEPS = 100
HOVER_SHARE = 0.2  # of black or white in the colour of a link under the mouse
STYLES_VERSION = 2  # raise it when `stylesheet` changes, because browsers keep what it returned
CODE = re.compile("#?(?:([0-9a-f]{6})|([0-9a-f]{3}))", re.IGNORECASE)


class Tones(NamedTuple):
    """An accent colour as links and buttons have it, under the mouse, and the colour of words on a button."""

    accent: str
    deep: str
    on: str


@dataclass(frozen=True)
class Scheme:
    """The grounds on which the accent is seen, the pole away from them, and the accent of a shop that chose none.

    All are those of static/css/shop.css: paper, sheet and tint. Words on a button are beyond the grounds, so that they
    contrast with the accent more than the grounds do.
    """

    grounds: Sequence[str]
    pole: str
    default: Tones


LIGHT = Scheme(("#f7f2e8", "#fdfaf4", "#f1e2d6"), "#000000", Tones(DEFAULT, "#6f2320", "#fdf6ee"))
DARK = Scheme(("#191512", "#231e1a", "#362822"), "#ffffff", Tones("#e5a391", "#f0bcae", "#2b1210"))


def parse_colour(text: str) -> str:
    """Read #8B2E2A, 8b2e2a or #abc as #rrggbb in lower case; raises ValueError with a sentence for people."""
    found = CODE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"Enter the colour as # and six digits or letters from a to f, such as {DEFAULT}.")
    long, short = found.groups()
    return f"#{long or ''.join(2 * digit for digit in short)}".lower()


def tones(colour: str, scheme: Scheme) -> Tones:
    """Return the colour as it is, or as much nearer to the pole as it must be to be read; "" is the default."""
    if colour in {"", DEFAULT}:
        return scheme.default
    mixed = (_mix(colour, scheme.pole, step / STEPS) for step in range(STEPS + 1))
    accent = next(one for one in mixed if lowest_contrast(one, scheme) >= CONTRAST_MIN)
    return Tones(accent, _mix(accent, scheme.pole, HOVER_SHARE), scheme.default.on)


def lowest_contrast(colour: str, scheme: Scheme) -> float:
    """Return the contrast to the ground on which the colour is hardest to read."""
    return min(contrast(colour, ground) for ground in scheme.grounds)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it, from 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def stylesheet(colour: str) -> str:
    """Return the rules that put an accent colour in the place of the one in shop.css; print stays black."""
    light, dark = _rules(tones(colour, LIGHT)), _rules(tones(colour, DARK))
    return "".join(
        f"@media {media} {{ :root {{{rules}}} }}\n"
        for media, rules in (("screen", light), ("screen and (prefers-color-scheme: dark)", dark))
    )


def _rules(found: Tones) -> str:
    rules = {
        "--accent": found.accent,
        "--accent-deep": found.deep,
        "--on-accent": found.on,
        "--bs-link-color-rgb": ", ".join(map(str, _channels(found.accent))),
        "--bs-link-hover-color-rgb": ", ".join(map(str, _channels(found.deep))),
    }
    return " ".join(f"{name}: {value};" for name, value in rules.items())


def _mix(colour: str, other: str, share: float) -> str:
    """Return the colour with this share of the other one in it."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in pairs)


def _channels(colour: str) -> Sequence[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(colour: str) -> float:
    parts = [channel / 255 for channel in _channels(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
