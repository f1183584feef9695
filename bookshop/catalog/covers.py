"""Covers for books without an uploaded one: an SVG drawn from title and authors, always the same for the same book."""

from functools import lru_cache
from hashlib import blake2b

from bookshop.catalog.cover_layouts import LAYOUTS, ROOMY, Layout
from bookshop.catalog.cover_sheet import Scheme, Sheet
from bookshop.catalog.cover_text import clean

COVER_VERSION = 1  # part of the ETag: increase it with every change of how covers look
LONG = 110  # characters; longer titles fit only some layouts

SCHEMES = (
    Scheme("#6b1f25", "#f7ead6", "#d39a4a"),  # oxblood, cream, brass
    Scheme("#1f2b46", "#f3e9d8", "#c9623f"),  # midnight, cream, brick
    Scheme("#1e3a32", "#f2e8d2", "#cf9f4e"),  # bottle green, cream, brass
    Scheme("#f1e7d5", "#25211d", "#b23c2a"),  # laid paper, black, vermilion
    Scheme("#2c5679", "#f8f0e0", "#e3b95c"),  # denim, cream, straw
    Scheme("#e9dfc9", "#1f3d5c", "#c68a2e"),  # oat, blue-black, honey
    Scheme("#d6a646", "#2b1d12", "#8a2e1f"),  # mustard, sepia, rust
    Scheme("#a8452c", "#fcf1e0", "#2c2320"),  # terracotta, cream, soot
    Scheme("#a2a6a1", "#1e2224", "#f5efe3"),  # dove grey, graphite, cream
    Scheme("#b7c3a6", "#22301f", "#7f3a2c"),  # sage, fir, brick
    Scheme("#dab2a4", "#3d1c25", "#8b3342"),  # old rose, wine, madder
    Scheme("#b9cfce", "#1b3340", "#bd5433"),  # duck egg, ink blue, burnt orange
    Scheme("#432a45", "#f3e7dc", "#d58c6c"),  # aubergine, shell, apricot
    Scheme("#3a3631", "#efe6d5", "#c5a05a"),  # charcoal, chalk, old gold
)


@lru_cache(maxsize=4096)
def draw_cover(title: str, authors: str) -> str:
    """Draw the cover of a book as an SVG document of 300 by 450; accepts any text, even empty."""
    title, authors = clean(title), clean(authors)
    layout, scheme, seed = choose_design(title, authors)
    sheet = Sheet(title, authors, scheme, seed)
    layout(sheet)
    return sheet.to_svg()


def choose_design(title: str, authors: str) -> tuple[Layout, Scheme, int]:
    """Derive a layout, colours and a seed for `Sheet.pick` from a hash of title and authors."""
    seed = int.from_bytes(blake2b(f"{title}\n{authors}".encode(), digest_size=16).digest(), "big")
    layouts = LAYOUTS if len(title) <= LONG else ROOMY
    seed, layout = divmod(seed, len(layouts))
    seed, scheme = divmod(seed, len(SCHEMES))
    return layouts[layout], SCHEMES[scheme], seed
