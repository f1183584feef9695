"""Processing of text that people type."""

import pytest

from bookshop.kit.text import LONGEST_WORD, fold, main_title, problem_in, search_words, tidy, words

DECOMPOSED = "Garci\N{COMBINING ACUTE ACCENT}a"
ODD_TEXTS = [
    "",
    " ",
    "\0",
    "\ud800",
    "\N{REPLACEMENT CHARACTER}",
    "…",
    "😀",
    "a" * 10_000,
    "\N{COMBINING ACUTE ACCENT}",
]


@pytest.mark.parametrize(
    ("typed", "folded"),
    [
        ("Gabriel García Márquez", "gabriel garcia marquez"),
        (DECOMPOSED, "garcia"),
        ("Øystein Sørensen", "oystein sorensen"),
        ("Straße", "strasse"),
        ("  The   Hobbit,  or There!  ", "the hobbit or there"),
        ("Catch-22", "catch 22"),
        ("Преступление", "prestuplenie"),
        ("١٩٨٤", "1984"),
        ("…", ""),
        ("", ""),
    ],
)
def test_fold_returns_plain_lower_case_letters(typed, folded):
    assert fold(typed) == folded


@pytest.mark.parametrize("typed", ODD_TEXTS)
def test_folding_never_fails_and_is_idempotent(typed):
    assert fold(fold(typed)) == fold(typed)


@pytest.mark.parametrize("typed", ODD_TEXTS)
def test_folded_text_is_ascii_for_both_databases(typed):
    assert all(word.isascii() and word.isalnum() and word == word.lower() for word in words(typed))


def test_search_words_are_cut_to_a_length_every_database_accepts():
    assert words("a" * 5000) == ["a" * LONGEST_WORD]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("J. R. R. Tolkien", "jrr"),
        ("J.R.R. Tolkien", "jrr"),
        ("O'Brien", "obrien"),
        ("Catch-22", "catch22"),
        ("Jean-Paul Sartre", "jeanpaul"),
    ],
)
def test_words_with_inner_punctuation_are_also_found_joined(text, joined):
    found = search_words(text).split()
    assert joined in found
    assert set(words(text)) <= set(found)


def test_the_index_of_text_without_marks_is_its_words():
    assert search_words("Pride and Prejudice") == "pride and prejudice"


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "a\x7fb", "a\x85b", "\x01"])
def test_control_characters_are_refused_even_where_lines_are_allowed(text):
    assert "control characters" in (problem_in(text) or "")
    assert "control characters" in (problem_in(text, lines=True) or "")


@pytest.mark.parametrize("text", ["two\nlines", "a\ttab"])
def test_line_breaks_and_tabs_are_refused_only_in_single_line_fields(text):
    assert "line breaks" in (problem_in(text) or "")
    assert problem_in(text, lines=True) is None


def test_a_lone_surrogate_is_refused_as_damaged_text():
    assert "damaged" in (problem_in("\ud800") or "")


def test_text_that_was_damaged_on_the_way_is_refused():
    assert "damaged" in (problem_in("Garc\N{REPLACEMENT CHARACTER}a") or "")


@pytest.mark.parametrize("text", ["", "Emma", "García", "日本語", "😀", "שלום", "<script>", "'; DROP TABLE books; --"])
def test_any_other_text_is_accepted(text):
    assert problem_in(text) is None


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Emma \n", "Emma"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        (DECOMPOSED, "Garc\N{LATIN SMALL LETTER I WITH ACUTE}a"),
        ("\N{NO-BREAK SPACE}Emma\N{IDEOGRAPHIC SPACE}", "Emma"),
    ],
)
def test_tidy_normalises_unicode_and_line_ends_and_strips(typed, kept):
    assert tidy(typed) == kept


@pytest.mark.parametrize(
    ("title", "main"),
    [
        ("The Hunger Games (The Hunger Games, #1)", "hunger games"),
        ("A Room of One's Own", "room of one s own"),
        ("The", "the"),
        ("(Untitled)", "untitled"),
        ("Emma", "emma"),
    ],
)
def test_the_main_title_is_what_people_search_for(title, main):
    assert main_title(title) == main
