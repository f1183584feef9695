"""ISBNs: what may surround and divide them, what is not one, and what only a file may have lost."""

import pytest

from bookshop.catalog.isbn import isbn13, isbn13_in_file

EMMA, DICTIONARY = "9780141439587", "9780804429573"
WRITTEN = [
    EMMA,
    "978-0-14-143958-7",
    "978 0 14 143958 7",
    "0-14-143958-0",
    f'="{EMMA}"',
    f"[{EMMA}]",
    f"'{EMMA}",
    f"\u201c{EMMA}\u201d",
    f"ISBN {EMMA}",
    f"ISBN-13: {EMMA}",
    "ISBN-10 0141439580",
    "ISBN 10: 0141439580",
    f"(ISBN {EMMA})",
    f"urn:isbn:{EMMA}",
    f"]E0{EMMA}",
    f"{EMMA} (pbk.)",
    f"{EMMA} (pbk. : alk. paper)",
    f"{EMMA} pbk.",
    "0-14-143958-0 : Hardcover",
    "978-0-14-143958-7 [hardback]",
    f"{EMMA} Broschur",
    f"{EMMA} : EUR 12.90",
    f"{EMMA} (pbk.) : \xa37.99",
    f"{EMMA} kart. : EUR 9,- (DE)",
    f"{EMMA} : $12.95 (U.S.)",
    f"{EMMA} (pbk.) :",
    f"{EMMA}.",
    f"{EMMA};",
    f"*{EMMA}*",
    "978\u20110\u201114\u2011143958\u20117",
    "978\u00a00\u202f14\u2212143958\u20147",
    f"\ufeff{EMMA}\u200b",
    f"\u202a{EMMA}\u202c",
    "978\u00ad0141439587",
    "\uff19\uff17\uff18\uff10\uff11\uff14\uff11\uff14\uff13\uff19\uff15\uff18\uff17",
]
NEEDS_DIGITS = "it needs 10 or 13 digits"
SHORTENED = "a spreadsheet has shortened it. Format the column as text"
NO_ISBN = {
    "": NEEDS_DIGITS,
    "141439580": NEEDS_DIGITS,
    "97801414395": NEEDS_DIGITS,
    f"{EMMA} {EMMA}": NEEDS_DIGITS,
    f"{EMMA} / 0141439580": NEEDS_DIGITS,
    f"{EMMA} 52499": NEEDS_DIGITS,
    f"{EMMA},00": NEEDS_DIGITS,
    f"{EMMA} 12.90": NEEDS_DIGITS,
    f"{EMMA}1": NEEDS_DIGITS,
    "978014143958X": NEEDS_DIGITS,
    "\u0669\u0667\u0668\u0660\u0661\u0664\u0661\u0664\u0663\u0669\u0665\u0668\u0667": NEEDS_DIGITS,
    EMMA + " " * 50: NEEDS_DIGITS,
    "1748-4995": "it is an ISSN",
    "1748\u20134995": "it is an ISSN",
    "ISSN 0317-847X": "it is an ISSN",
    "9.78E+12": SHORTENED,
    "9,78E+12": SHORTENED,
    "9.78014143958e+12": SHORTENED,
    "9780140000000": "a spreadsheet has rounded it",
    "9780141439588": "the check digit is wrong",
    "0141439581": "the check digit is wrong",
    "9790060115615": "it is an ISMN",
    "4006381333931": "13 digits must begin with 978 or 979",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_surrounds_and_divides_the_digits_is_ignored(text):
    assert (isbn13(text), isbn13_in_file(text)) == (EMMA, (EMMA, ""))


@pytest.mark.parametrize("text", ["080442957X", "0-8044-2957-x", "080442957\uff38"])
def test_the_check_digit_of_an_isbn_10_may_be_x(text):
    assert isbn13(text) == DICTIONARY


@pytest.mark.parametrize(("text", "reason"), NO_ISBN.items())
def test_what_is_no_isbn_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=f"^is not an ISBN: {reason}"):
        isbn13(text)


@pytest.mark.parametrize("text", ["1748-4995", "9.78E+12", "9780140000000", "9780141439588", "4006381333931", "1"])
def test_a_file_may_not_have_them_either(text):
    with pytest.raises(ValueError, match=r"^is not an ISBN: "):
        isbn13_in_file(text)


def test_leading_zeros_that_a_spreadsheet_has_dropped_are_restored_in_files_only():
    assert isbn13_in_file(" 141439580 ") == (
        EMMA,
        "the ISBN 141439580 has lost leading zeros and was read as 0141439580",
    )
    assert isbn13_in_file("61120081")[0] == "9780061120084"


@pytest.mark.parametrize("text", ["141439581", "14143958-0", "ISBN 141439580", "80442957X", "41439580", "141439580.0"])
def test_nothing_is_restored_if_anything_but_digits_is_there_or_the_check_digit_is_wrong(text):
    with pytest.raises(ValueError, match="is not an ISBN"):
        isbn13_in_file(text)


@pytest.mark.parametrize(
    "text", ["", "0", "-", "n/a", "None", "NULL", "nan", "#N/A", "[]", '=""', "0000000000", "(pbk.)", "kein"]
)
def test_cells_that_say_that_there_is_no_isbn_are_understood(text):
    assert isbn13_in_file(text) == ("", "")


@pytest.mark.parametrize("behind", [".0", ".00", ",0", ",00", " 52499", "52499"])
def test_the_decimals_and_price_codes_that_programs_add_to_a_number_are_dropped_in_files(behind):
    assert isbn13_in_file(f"{EMMA}{behind}") == (EMMA, "")


@pytest.mark.parametrize("behind", [",000", ",5", " 5249", "5", ".90"])
def test_other_digits_behind_a_number_are_refused_in_files(behind):
    with pytest.raises(ValueError, match="is not an ISBN"):
        isbn13_in_file(f"{EMMA}{behind}")


@pytest.mark.parametrize(
    "text",
    [
        f"0141439580 / {EMMA}",
        f"{EMMA};0141439580",
        f"0-14-143958-0, {EMMA}",
        f"0141439580 {EMMA}",
        "0141439580\n978-0-14-143958-7",
        f"0141439580 (pbk.) | {EMMA} (pbk.)",
        "ISBN-13: 978-0-14-143958-7, ISBN-10: 0-14-143958-0",
    ],
)
def test_two_forms_of_a_number_are_read_in_files(text):
    assert isbn13_in_file(text) == (EMMA, "")


def test_the_numbers_of_two_books_in_a_cell_are_refused_with_both():
    with pytest.raises(ValueError, match=f"^names different books: {DICTIONARY} and {EMMA}$"):
        isbn13_in_file(f"080442957X / {EMMA}")
    with pytest.raises(ValueError, match="the check digit is wrong"):
        isbn13_in_file(f"0141439581 / {EMMA}")


def test_a_cell_of_a_file_may_be_longer_than_what_is_typed():
    prices = "Broschur : EUR 12.90 (DE), EUR 13.30 (AT), CHF 18.90 (freier Pr.)"
    assert isbn13_in_file(f"978-0-14-143958-7 {prices}") == (EMMA, "")
    for text in (f"{EMMA} / " * 20 + EMMA, EMMA + " " * 100 + EMMA):
        with pytest.raises(ValueError, match="it needs 10 or 13 digits"):
            isbn13_in_file(text)


@pytest.mark.parametrize("text", ["9780141439518 (v. 1 : pbk.)", "9780141439518 (2nd ed.)"])
def test_remarks_of_libraries_are_stripped(text):
    assert isbn13(text) == "9780141439518"


def test_a_cell_that_begins_with_zero_has_lost_none():
    with pytest.raises(ValueError, match="is not an ISBN"):
        isbn13_in_file("03785955")
