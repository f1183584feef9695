"""Opening hours as owners write them, and what they say at any moment, in any zone."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from bookshop.shop.hours import Exceptional, Hours, Span, format_hours, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")


def hours(*week: str, exceptions: dict[str, str] | None = None, zone: str = "Europe/Berlin") -> Hours:
    """Return hours; a single text holds for all days."""
    days = week * 7 if len(week) == 1 else week
    found = {date.fromisoformat(day): Exceptional(parse_hours(text)) for day, text in (exceptions or {}).items()}
    return Hours([parse_hours(text) for text in days], found, ZoneInfo(zone))


def at(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("9-18:30", "9:00\u201318:30"),
        ("09:00 \u2013 13:00, 14:00 \u2013 18:30", "9:00\u201313:00, 14:00\u201318:30"),
        ("9am to 5.30pm", "9:00\u201317:30"),
        ("9h30-12h; 14h-19h", "9:30\u201312:00, 14:00\u201319:00"),
        ("12pm-12am", "12:00\u20130:00"),
        ("18-24:00", "18:00\u20130:00"),
        ("18:00-1:00", "18:00\u20131:00"),
        ("10-12 and 13-15", "10:00\u201312:00, 13:00\u201315:00"),
        ("", ""),
        ("closed", ""),
        (" - ", ""),
        ("all day", "all day"),
        ("Open 24 hours", "all day"),
        ("0:00-24:00", "all day"),
    ],
)
def test_hours_are_read_as_people_write_them_and_come_back(text, written):
    assert format_hours(parse_hours(text)) == written
    assert parse_hours(written) == parse_hours(text)


@pytest.mark.parametrize(
    "text",
    [
        *("9", "nine to five", "9-25", "9:60-10", "13pm-14pm", "0am-3am", "9-13-15", "-9", "9:00", "14-18, 9-12"),
        *("9-14, 13-18", "9-10,11-12,13-14,15-16,17-18", "18-1, 20-21", "9-12, 18-10", "9:5-10"),
    ],
)
def test_what_is_no_time_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match=r"[.]$"):
        parse_hours(text)


WEEK = (
    "",
    "9-13, 14-18:30",
    "9-18",
    "9-18",
    "9-18",
    "10-14",
    "",
)  # 30 November 2026 is a Monday


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        ("2026-11-30T12:00", "Closed, opens tomorrow at 9:00"),
        ("2026-12-01T08:59:59", "Closed, opens today at 9:00"),
        ("2026-12-01T09:00", "Open today until 13:00"),
        ("2026-12-01T12:59:59", "Open today until 13:00"),
        ("2026-12-01T13:00", "Closed, opens today at 14:00"),
        ("2026-12-01T18:30", "Closed, opens tomorrow at 9:00"),
        ("2026-12-05T14:00", "Closed, opens Tuesday at 9:00"),
        ("2026-12-06T23:59", "Closed, opens Tuesday at 9:00"),
    ],
)
def test_a_week_says_when_the_shop_is_open(moment, sentence):
    assert hours(*WEEK).sentence(at(moment)) == sentence


CHRISTMAS = {"2026-12-24": "9-12", **dict.fromkeys(["2026-12-25", "2026-12-26", "2026-12-29"], "closed")}


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        ("2026-12-23T18:00", "Closed, opens tomorrow at 9:00"),
        ("2026-12-24T10:00", "Open today until 12:00"),
        ("2026-12-24T12:00", "Closed, opens Wednesday at 9:00"),
        ("2026-12-27T11:00", "Open today until 15:00"),
    ],
)
def test_exceptions_take_the_place_of_a_day(moment, sentence):
    exceptions = CHRISTMAS | ({"2026-12-27": "11-15"} if "27T" in moment else {})
    assert hours(*WEEK, exceptions=exceptions).sentence(at(moment)) == sentence


def test_a_shop_on_holiday_for_weeks_names_the_date():
    days = [date.fromordinal(date(2027, 1, 1).toordinal() + number).isoformat() for number in range(32)]
    closed = hours(*WEEK, exceptions=dict.fromkeys(days, ""))
    assert closed.sentence(at("2027-01-01T10:00")) == "Closed, opens on 2 February at 9:00"


@pytest.mark.parametrize(
    ("week", "moment", "sentence"),
    [
        ("18-1", "2026-12-01T23:00", "Open until tomorrow at 1:00"),
        ("18-1", "2026-12-02T00:30", "Open today until 1:00"),
        ("18-1", "2026-12-02T01:00", "Closed, opens today at 18:00"),
        ("18-24", "2026-12-01T23:59", "Open today until midnight"),
        ("0-24", "2026-12-01T12:00", "Open"),
        ("all day", "2026-12-01T12:00", "Open"),
        ("9-9", "2026-12-01T12:00", "Open"),
        ("", "2026-12-01T12:00", ""),
    ],
)
def test_hours_may_last_beyond_midnight(week, moment, sentence):
    assert hours(week).sentence(at(moment)) == sentence


def test_a_shop_that_never_opens_again_is_closed():
    assert hours("", exceptions={"2026-12-01": "9-12"}).sentence(at("2026-12-02T10:00")) == "Closed"


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        # In Berlin the clock went from 2:00 to 3:00 on 29 March 2026, and from 3:00 to 2:00 on 25 October.
        ("2026-03-29T00:59:00Z", "Open today until 4:00"),
        ("2026-03-29T01:59:00Z", "Open today until 4:00"),
        ("2026-03-29T02:00:00Z", "Closed, opens today at 22:00"),
        ("2026-10-25T00:30:00Z", "Open today until 4:00"),
        ("2026-10-25T02:30:00Z", "Open today until 4:00"),
        ("2026-10-25T03:00:00Z", "Closed, opens today at 22:00"),
    ],
)
def test_nights_in_which_the_clock_is_changed(moment, sentence):
    assert hours("22-4").sentence(datetime.fromisoformat(moment)) == sentence


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        ("2026-10-25T00:29:00Z", "Closed, opens today at 2:30"),
        ("2026-10-25T00:31:00Z", "Open today until 2:45"),
        ("2026-10-25T01:31:00Z", "Closed, opens tomorrow at 2:30"),
    ],
)
def test_a_time_that_comes_twice_means_the_first(moment, sentence):
    assert hours("2:30-2:45").sentence(datetime.fromisoformat(moment)) == sentence


def test_the_second_time_of_an_hour_that_comes_twice_is_later_for_the_shop_too():
    second = datetime(2026, 10, 25, 2, 40, tzinfo=BERLIN, fold=1)
    assert hours("2:30-2:45").sentence(second) == "Closed, opens tomorrow at 2:30"


@pytest.mark.parametrize(
    ("zone", "sentence"),
    [
        ("Europe/London", "Open today until 18:00"),
        ("Asia/Kolkata", "Open today until 18:00"),
        ("America/New_York", "Closed, opens today at 9:00"),
        ("Asia/Tokyo", "Closed, opens tomorrow at 9:00"),
        ("Pacific/Kiritimati", "Closed, opens today at 9:00"),
    ],
)
def test_the_zone_decides(zone, sentence):
    assert hours("9-18", zone=zone).sentence(datetime(2026, 12, 1, 12, 0, tzinfo=UTC)) == sentence


def test_a_span_is_written_without_a_leading_zero():
    assert str(Span(time(9), time(18, 30))) == "9:00\u201318:30"


def test_a_closing_in_a_week_names_the_date():
    closed = {"2026-12-14": "closed"}
    assert hours("all day", exceptions=closed).sentence(at("2026-12-07T12:00")) == "Open until 14 December at 0:00"


@pytest.mark.parametrize("text", ["9" + " " * 20_000 + "x", "-" * 20_000, "9 to " * 5_000])
def test_a_text_that_is_too_long_is_refused_before_it_is_read(text):
    with pytest.raises(ValueError, match=r"[.]$"):
        parse_hours(text)
