"""Drawn covers: their content fits, and they are small, legible and different from each other."""

# ruff: noqa: RUF001 - words in many scripts

import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from bookshop.catalog.cover_layouts import LAYOUTS, Layout
from bookshop.catalog.cover_sheet import SCRIPT_FONTS, Sheet
from bookshop.catalog.cover_text import Measured, clean, initial, names_of, pieces, split_title, width_of
from bookshop.catalog.cover_typesetting import Box, Style, fit_names, fit_title, height_of
from bookshop.catalog.covers import SCHEMES, choose_design, draw_cover
from bookshop.config import ROOT
from tests.support.titles import ODD, ORDINARY

pytestmark = pytest.mark.one_postgresql_case

SVG = "{http://www.w3.org/2000/svg}"
FAMILY = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
BOX = Box(left=0, top=0, width=200, height=150)
LARGE = Style(largest=40)
CSS = (ROOT / "static" / "css" / "shop.css").read_text(encoding="utf-8")


def parsed(title: str, authors: str) -> ElementTree.Element:
    return ElementTree.fromstring(draw_cover(title, authors))


def text_on(title: str, authors: str) -> str:
    """Return the text on a cover, without its title element."""
    return " ".join(text.text or "" for text in parsed(title, authors).iter(f"{SVG}text"))


def drawn(layout: Layout, title: str, authors: str = "Jane Austen") -> ElementTree.Element:
    sheet = Sheet(title, authors, SCHEMES[0], seed=12345)
    layout(sheet)
    return ElementTree.fromstring(sheet.to_svg())


def lines_of(title: str, box: Box = BOX, style: Style = LARGE) -> list[str]:
    return [line.text for line in fit_title(split_title(title), box, style)]


# ---------------------------------------------------------------- the document


@pytest.mark.parametrize(("title", "authors"), [*ODD, ("", ""), (" ", "\N{ZERO WIDTH SPACE}")])
def test_every_cover_is_a_complete_svg_in_2_to_3_proportion(title, authors):
    root = parsed(title, authors)
    assert (root.tag, root.get("viewBox"), root.get("width"), root.get("height")) == (
        f"{SVG}svg", "0 0 300 450", "300", "450",
    )  # fmt: skip


@pytest.mark.parametrize(("title", "authors"), ODD)
def test_a_cover_contains_no_style_no_script_and_no_external_reference(title, authors):
    root = parsed(title, authors)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    values = [value for element in root.iter() for value in element.attrib.values()]
    assert tags <= {"svg", "title", "g", "path", "circle", "pattern", "text"}
    assert {name for element in root.iter() for name in element.attrib} & {"style", "href", "class"} == set()
    assert [value for value in values if "url(" in value and value != "url(#paper)"] == []


def test_markup_in_a_title_is_text():
    assert "<b> & 'co'" in text_on("<b> & 'co'", "")


def test_a_cover_gives_its_title_and_authors_to_screen_readers():
    root = parsed("Emma", "Jane Austen")
    assert (root.get("role"), root[0].tag, root[0].text) == ("img", f"{SVG}title", "Emma, Jane Austen")


def test_a_book_without_a_title_still_has_a_name():
    assert parsed("", "")[0].text == "Untitled"


# ---------------------------------------------------------------- choice of layout


def test_the_same_book_always_has_the_same_cover():
    fresh = draw_cover.__wrapped__
    assert fresh("Amélie", "Nobody") == fresh("Ame\N{COMBINING ACUTE ACCENT}lie", " Nobody ")


@pytest.mark.parametrize(("what", "all_of_them"), [(0, LAYOUTS), (1, SCHEMES)], ids=["layouts", "schemes"])
def test_all_layouts_and_schemes_are_used_about_equally(what, all_of_them):
    used = Counter(choose_design(clean(title), clean(authors))[what] for title, authors in ORDINARY)
    assert set(used) == set(all_of_them)
    assert max(used.values()) <= 2 * len(ORDINARY) / len(all_of_them)


def test_no_two_layouts_look_the_same():
    outlines = {ElementTree.tostring(drawn(layout, "Emma")) for layout in LAYOUTS}
    assert len(outlines) == len(LAYOUTS) >= 12


# ---------------------------------------------------------------- colours


def luminance(colour: str) -> float:
    """Return the relative luminance as defined by WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.ground)
def test_words_have_enough_contrast(scheme):
    assert contrast(scheme.ink, scheme.ground) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.ground)
def test_ornaments_are_visible(scheme):
    assert contrast(scheme.accent, scheme.ground) >= 2


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_words_have_the_ink_or_background_colour(layout):
    groups = [group for group in drawn(layout, "Emma").iter(f"{SVG}g") if group.find(f"{SVG}text") is not None]
    assert {group.get("fill") for group in groups if group.get("fill")} <= {SCHEMES[0].ink, SCHEMES[0].ground}


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("title", "parts"),
    [
        ("Emma", ("Emma", "", "")),
        ("The Hunger Games (The Hunger Games, #1)", ("The Hunger Games", "", "The Hunger Games · 1")),
        ("Hunters of Dune (Dune Chronicles #7)", ("Hunters of Dune", "", "Dune Chronicles · 7")),
        ("SPQR: A History of Ancient Rome", ("SPQR", "A History of Ancient Rome", "")),
        ("Eon: Dragoneye Reborn (Eon, #1)", ("Eon", "Dragoneye Reborn", "Eon · 1")),
        ("百年の孤独（新潮文庫）", ("百年の孤独", "", "新潮文庫")),
        ("(500) Days", ("(500) Days", "", "")),
        ("(all in brackets)", ("(all in brackets)", "", "")),
        ("At 12:30", ("At 12:30", "", "")),
        (":", (":", "", "")),
    ],
)
def test_subtitle_and_series_are_separated_from_the_title(title, parts):
    assert split_title(title) == parts


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_the_series_is_smaller_than_the_title(layout):
    groups = [group for group in drawn(layout, "Dune (Saga, #1)").iter(f"{SVG}g") if group.get("font-size")]
    sizes = {text.text: float(group.get("font-size") or 0) for group in groups for text in group}
    assert sizes["Saga · 1"] < sizes["Dune"]


@pytest.mark.parametrize(
    ("authors", "shortest"),
    [
        ("Jane Austen", "Jane Austen"),
        ("A, B", "A, B"),
        ("A, B, C", "A and 2 others"),
        ("A, B, C, D, E", "A and 4 others"),
        ("", ""),
    ],
)
def test_many_authors_are_counted(authors, shortest):
    assert names_of(authors)[-1] == shortest


def test_authors_are_listed_in_full_if_they_fit_and_counted_otherwise():
    names = names_of("Ann Brown, Bob Green, Cyd White")
    printed = [fit_names(names, Box(0, 0, width, 16), Style(largest=12))[0].text for width in (300, 160)]
    assert printed == ["Ann Brown, Bob Green, Cyd White", "Ann Brown and 2 others"]


@pytest.mark.parametrize(
    ("title", "letter"), [("The Trial", "T"), ("A Room", "R"), ("élan", "É"), ("«…»", "·"), ("", "·"), ("活着", "活")]
)
def test_the_initial_is_the_first_letter_after_the_article(title, letter):
    assert initial(title) == letter


@pytest.mark.parametrize(
    ("name", "printed"),
    [("Jane Austen", "JANE AUSTEN"), ("Νίκος", "Νίκος"), ("نجيب", "نجيب"), ("Oğuz Atay", "Oğuz Atay")],
)
def test_names_are_in_capitals_only_where_appropriate(name, printed):
    framed = next(layout for layout in LAYOUTS if layout.__name__ == "framed")
    assert printed in [text.text for text in drawn(framed, "Emma", name).iter(f"{SVG}text")]


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The Big Sleep", ["The ", "Big ", "Sleep"]),
        ("Catch-22", ["Catch-22"]),
        ("Self-Indulgent", ["Self-", "Indulgent"]),
        ("猫である。名前「は」", ["猫", "で", "あ", "る。", "名", "前", "「は」"]),
        (f"a{FAMILY}", ["a", FAMILY]),
        ("", []),
    ],
)
def test_lines_break_between_words_and_chinese_characters_but_not_before_punctuation(text, parts):
    assert pieces(text) == parts


def test_lines_have_about_equal_lengths():
    assert Measured("Their Very Long Days").wrap(width=10) == ["Their Very", "Long Days"]
    assert Measured("Tales of a Winter in Rome").wrap(width=14) == ["Tales of a", "Winter in Rome"]


@pytest.mark.parametrize(("title", "authors"), [*ODD, *ORDINARY[::20]])
def test_titles_fit_into_their_box_by_the_estimate(title, authors):
    lines = fit_title(split_title(clean(title)), BOX, LARGE)
    assert height_of(lines) <= BOX.height
    assert all(width_of(line.text) * line.size <= BOX.width + 0.01 for line in lines)


@pytest.mark.parametrize("title", [title for title, _ in ORDINARY[::20]])
def test_no_word_of_an_ordinary_title_is_cut_or_omitted(title):
    assert " ".join(lines_of(title)).split() == " ".join(filter(None, split_title(title))).split()


def test_a_word_is_cut_only_if_it_is_too_long_even_at_the_smallest_size():
    assert lines_of("Incomprehensibilities") == ["Incomprehensibilities"]
    assert "".join(lines_of("Donaudampfschifffahrtsgesellschaft")) == "Donaudampfschifffahrtsgesellschaft"
    assert len(lines_of("Donaudampfschifffahrtsgesellschaft")) > 1


def test_overlong_text_ends_with_an_ellipsis_after_a_word():
    *_, last = lines_of("word " * 200)
    assert last.endswith("word…")


def test_short_titles_are_large_and_long_ones_small():
    sizes = [fit_title(split_title(title), BOX, LARGE)[0].size for title in ("Emma", "word " * 30)]
    assert sizes[0] == 40
    assert sizes[1] < 20


# ---------------------------------------------------------------- scripts


def test_a_right_to_left_title_mirrors_the_cover():
    root = parsed("باب الخروج", "عز الدين")
    groups = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}text") is not None]
    assert {group.get("direction") for group in groups if group.get("font-size")} == {"rtl"}
    assert "matrix(-1 0 0 1 300 0)" in {group.get("transform") for group in root.iter(f"{SVG}g")}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_arabic_is_not_slanted_or_letter_spaced(layout):
    drawing = drawn(layout, "أولاد حارتنا", "نجيب محفوظ")
    assert [name for group in drawing.iter() for name in group.attrib if name in {"font-style", "letter-spacing"}] == []


SCRIPTS = [("こころ", "ja"), ("吾輩は猫である", "ja"), ("활", "ko"), ("活着", "zh"), ("สี่แผ่นดิน", "th"), ("كليلة", "ar")]


@pytest.mark.parametrize(("title", "language"), [*SCRIPTS, ("Emma", None)])
def test_a_cover_names_the_language_of_its_script_and_fonts_that_draw_it(title, language):
    stacks = [group.attrib["font-family"] for group in parsed(title, "").iter() if "font-family" in group.attrib]
    assert parsed(title, "").get("lang") == language
    assert all(SCRIPT_FONTS.get(language, "") in stack for stack in stacks)
    assert {stack.rpartition(",")[2] for stack in stacks} <= {"serif", "sans-serif"}


@pytest.mark.parametrize(("title", "language"), SCRIPTS)
def test_the_pages_name_the_same_fonts_for_the_language_of_a_title(title, language, shop, web_client):
    book_id = shop.book(title)
    page, lists = web_client().get(f"/books/{book_id}", follow_redirects=True).text, web_client().get("/").text
    assert f'<h1 dir="auto" lang="{language}">' in page
    assert f'<h3 dir="auto" lang="{language}">{title}' in lists
    (rule,) = re.findall(rf":lang\({language}\) {{ --serif: ([^;]*);", CSS)
    assert SCRIPT_FONTS[language].replace("'", "").split(",") == rule.replace('"', "").split(", ")[1:-1]


def test_characters_forbidden_in_xml_and_directional_overrides_are_omitted():
    assert clean("a\0b \u202ec\ud800 \ufffe") == "a b c"


def test_stacked_accents_are_limited():
    assert len(clean("Z" + "\N{COMBINING ACUTE ACCENT}" * 50)) == 3


# ---------------------------------------------------------------- size


def test_covers_are_small():
    sizes = sorted(len(draw_cover(title, authors).encode()) for title, authors in ORDINARY)
    assert sizes[len(sizes) // 2] < 1600
    assert sizes[-1] < 3000


def test_a_cover_is_drawn_once():
    draw_cover.cache_clear()
    for _ in range(3):
        draw_cover("Emma", "Jane Austen")
    assert draw_cover.cache_info().misses == 1
