"""Parsing the lines of a delivery, as typed by people and sent by scanners."""

import pytest

from bookshop.inventory.delivery_note import copies_by_isbn, read_note

pytestmark = pytest.mark.one_postgresql_case

EMMA, FACTOTUM = "9780141439587", "9780804429573"  # as ISBN-10: 0141439580 and 080442957X


@pytest.mark.parametrize(
    ("line", "isbn", "copies"),
    [
        ("9780141439587", EMMA, 1),
        ("  9780141439587  ", EMMA, 1),
        ("978-0-14-143958-7", EMMA, 1),
        ("978 0 14 143958 7", EMMA, 1),
        ("978–0–14–143958–7", EMMA, 1),  # noqa: RUF001 - en dashes, as word processors make of hyphens
        ("0141439580", EMMA, 1),
        ("ISBN 0-14-143958-0", EMMA, 1),
        ("ISBN-13: 978-0-14-143958-7 x2", EMMA, 2),
        ("9780141439587 x5", EMMA, 5),
        ("9780141439587x5", EMMA, 5),
        ("9780141439587 X 5", EMMA, 5),
        ("9780141439587 × 5", EMMA, 5),  # noqa: RUF001
        ("9780141439587*5", EMMA, 5),
        ("9780141439587 5", EMMA, 5),
        ("9780141439587\t5", EMMA, 5),
        ("9780141439587;5", EMMA, 5),
        ("978 0 14 143958 7 5", EMMA, 5),
        ("0141439580 123", EMMA, 123),
        ("9780141439587 x0012", EMMA, 12),
        ("9780141439587 x9999", EMMA, 9999),
        ("080442957X", FACTOTUM, 1),
        ("080442957x", FACTOTUM, 1),
        ("0-8044-2957-x", FACTOTUM, 1),
        ("080442957X x2", FACTOTUM, 2),
        ("080442957xx2", FACTOTUM, 2),
        ("080442957x 2", FACTOTUM, 2),
        ("]E09780141439587", EMMA, 1),
        ("978014143958751299", EMMA, 1),
        ("978014143958751299 x3", EMMA, 3),
        ("5 x 9780141439587", EMMA, 5),
        ("5x978-0-14-143958-7", EMMA, 5),
        ("5 \xd7 ISBN 978-0-14-143958-7", EMMA, 5),
        ("2 Stk. 080442957X", FACTOTUM, 2),
        ("2 x 978014143958751299", EMMA, 2),
        ("9780141439587 5 pcs", EMMA, 5),
        ("9780141439587 5 copies", EMMA, 5),
        ("9780141439587, 1 copy", EMMA, 1),
        ("9780141439587 5 St\xfcck", EMMA, 5),
        ("9780141439587 5 Stk.", EMMA, 5),
        ("9780141439587 5 ex.", EMMA, 5),
        ("9780141439587 5x", EMMA, 5),
        ("9780141439587 x5.0", EMMA, 5),
        ("9780141439587;5,00", EMMA, 5),
        ("9780141439587 5.0 pcs", EMMA, 5),
        ('"9780141439587","5"', EMMA, 5),
        ('"9780141439587";"5"', EMMA, 5),
        ('="9780141439587";5', EMMA, 5),
        ("[9780141439587] x5", EMMA, 5),
        ("9780141439587 (pbk.)", EMMA, 1),
        ("ISBN 9780141439587 (pbk.) 5", EMMA, 5),
        ("9780141439587 pbk", EMMA, 1),
        ("9780141439587 hb 5", EMMA, 5),
        ("5,9780141439587", EMMA, 5),
        ('"5";"9780141439587"', EMMA, 5),
        ("5\t9780141439587", EMMA, 5),
        ("\u200b9780141439587 x2", EMMA, 2),
        ("9780141439587 (2x)", EMMA, 2),
        ("9780141439587 (x2)", EMMA, 2),
        ("9780141439587 [5]", EMMA, 5),
        ("9780141439587 (pbk.) (3 copies)", EMMA, 3),
        ("(2x) 9780141439587", EMMA, 2),
        ("9780141439587 (2nd ed.)", EMMA, 1),
        ("9780141439587 (v. 1 : pbk.)", EMMA, 1),
        ("9780141439587 (pbk.) : \xa37.99", EMMA, 1),
        ("9780141439587 : EUR 12.90 5", EMMA, 5),
        ("9780141439587: 5", EMMA, 5),
        ("9780141439587 | 2", EMMA, 2),
        ("5 | 9780141439587", EMMA, 5),
        ("9780141439587.", EMMA, 1),
        ("*9780141439587*", EMMA, 1),
        ("*9780141439587* 5", EMMA, 5),
        ("5 uds. 9780141439587", EMMA, 5),
        *[(f"{EMMA} 5 {unit}", EMMA, 5) for unit in ("exemplaires", "ejemplares", "uds", "exx.", "pc", "ea", "units")],
    ],
)
def test_a_line_is_an_isbn_and_a_number_of_copies(line, isbn, copies):
    [read] = read_note(line)
    assert (read.isbn, read.copies, read.problem) == (isbn, copies, "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("9780141439588", "check digit"),
        ("0141439581 x2", "check digit"),
        ("9780141439587 x0", "from 1 to 9,999"),
        ("9780141439587 x10000", "from 1 to 9,999"),
        ("9780141439587 51299", "from 1 to 9,999"),
        ("9780141439587 x-1", "from 1 to 9,999"),
        ("9780141439587 x1.5", "from 1 to 9,999"),
        ("9780141439587 x0.0", "from 1 to 9,999"),
        ("9780141439587 5,000", "from 1 to 9,999"),  # five, or five thousand
        ("9780141439587 x", "from 1 to 9,999"),
        ("9780141439587 five", "from 1 to 9,999"),
        ("978014143958", "10 or 13 digits"),
        ("97801414395879780141439587", "10 or 13 digits"),
        ("4006381333931", "the EAN of something else"),
        ("2 9780141439587", f"that of the line. Delete it, or write the copies behind the ISBN: {EMMA} x2."),
        ("1;9780141439587;5", f"behind the ISBN: {EMMA} x5."),
        ("1. 9780141439587 5 pcs", f"behind the ISBN: {EMMA} x5."),
        ("(2) 9780141439587", f"behind the ISBN: {EMMA} x2."),
        ("1. 9780141439588", "check digit"),
        ("0 x 9780141439587", "from 1 to 9,999"),
        ("12345 x 9780141439587", "10 or 13 digits"),
        ("9780141439587 x 5 x 2", "from 1 to 9,999"),
        ("9780141439587 5 kg", "from 1 to 9,999"),
        ("9780141439587 (2019)", "from 1 to 9,999"),  # may be a year
        ("9780141439587 (0x)", "from 1 to 9,999"),
        ("9780141439587;", "from 1 to 9,999"),
        ("9780141439587 *", "from 1 to 9,999"),
        ("5" * 2000, "10 or 13 digits"),
        ("080442957X2", "10 or 13 digits"),
        ("٠١٤١٤٣٩٥٨٠", "10 or 13 digits"),
        ("Emma", "10 or 13 digits"),
    ],
)
def test_a_line_without_a_valid_book_shows_what_is_wrong(line, problem):
    [read] = read_note(line)
    assert (problem in read.problem, read.isbn, read.copies) == (True, "", 0)


def test_lines_keep_their_numbers_and_empty_ones_are_ignored():
    assert [(line.number, line.text) for line in read_note("\n one \r\n\n \ntwo")] == [(2, "one"), (5, "two")]


def test_repeated_lines_of_a_book_add_up_and_wrong_lines_do_not_count():
    lines = read_note(f"{EMMA} x2\n{FACTOTUM}\n0141439580 x3\n{FACTOTUM} x0")
    assert copies_by_isbn(lines) == {EMMA: 5, FACTOTUM: 1}
