"""Other hours on single days: what owners write is what counts, and comes back as it was."""

from datetime import date

import pytest

from bookshop.shop.holidays import public_holidays
from bookshop.shop.single_days import format_days, parse_days


@pytest.mark.parametrize(
    ("line", "hours", "note"),
    [
        ("2026-12-24 9-12 Christmas Eve", "9:00\u201312:00", "Christmas Eve"),
        ("2026-12-24: 9-12", "9:00\u201312:00", ""),
        ("2026-12-24 9-12 and 14-18 Christmas Eve", "9:00\u201312:00, 14:00\u201318:00", "Christmas Eve"),
        ("2026-12-24 9am - 5 pm Party", "9:00\u201317:00", "Party"),
        ("2026-12-24 10am-2 pm", "10:00\u201314:00", ""),
        ("2026-12-24 9:00 to 13:00, 14:00 to 18:30", "9:00\u201313:00, 14:00\u201318:30", ""),
        ("2026-12-24 closed", "", ""),
        ("2026-12-24 Closed, 1 May", "", "1 May"),
        ("2026-12-24 closed (stocktaking)", "", "(stocktaking)"),
        ("2026-12-24 all day Night of reading", "all day", "Night of reading"),
    ],
)
def test_a_line_is_a_day_its_hours_and_a_note(line, hours, note):
    assert parse_days(f"\n  {line}\n") == {"2026-12-24": [hours, note]}
    assert parse_days(format_days({"2026-12-24": [hours, note]})) == {"2026-12-24": [hours, note]}


@pytest.mark.parametrize("country", ["DE", "GB", "IR", "MD", "PR", "US", "VN"])
def test_the_names_of_holidays_can_be_notes(country):
    days = {
        day.isoformat(): ["", name[:80].strip()] for day, name in public_holidays(country, date(2026, 1, 1)).items()
    }
    assert days
    assert parse_days(format_days(days)) == days


def test_more_days_than_the_shop_can_store_are_refused():
    first = date(2026, 1, 1).toordinal()
    with pytest.raises(ValueError, match="There are too many days"):
        parse_days("\n".join(f"{date.fromordinal(first + number)} closed" for number in range(201)))
