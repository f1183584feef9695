"""Opening hours: by weekday, with exceptions on single days, in the shop's time zone."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby, pairwise
from operator import itemgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SPANS_MAX = 4  # in a day
LOOKED_AHEAD = 60  # days in which the shop may open again
CLOSED = re.compile("closed|-|\u2013|\u2014|", re.IGNORECASE)
ALL_DAY = re.compile(r"(?:open )?(?:all day|24 ?h(?:ours)?)", re.IGNORECASE)
BETWEEN_TIMES = re.compile("[,;&]|\\band\\b", re.IGNORECASE)
UNTIL = re.compile(r"[-\u2013\u2014]|\bto\b|\buntil\b", re.IGNORECASE)
LONGEST = 120  # characters of the hours of a day
CLOCK = re.compile(r"(?P<hour>[0-9]{1,2})(?:[:.h](?P<minute>[0-9]{2})|h)?\s*(?P<half>[ap]\.?m\.?)?", re.IGNORECASE)
NOT_HOURS = "Write hours such as 9:00-13:00, 14:00-18:30, or leave the field empty if the shop is closed."
DAY = timedelta(days=1)


class Span(NamedTuple):
    """A part of a day in which the shop is open. One that closes at or before it opens ends on the next day."""

    opens: time
    closes: time

    @property
    def is_all_day(self) -> bool:
        """Whether it lasts from midnight to midnight."""
        return self.opens == self.closes == time()

    def __str__(self) -> str:
        return "all day" if self.is_all_day else f"{clock(self.opens)}\u2013{clock(self.closes)}"


class Exceptional(NamedTuple):
    """The hours of one date that differ from those of its weekday; without any, the shop is closed. `note` says why."""

    spans: Sequence[Span] = ()
    note: str = ""


class Opening(NamedTuple):
    """A time in which the shop is open without a break."""

    opens: datetime
    closes: datetime


def clock(moment: time | datetime) -> str:
    """Format a time of day: 9:00."""
    return f"{moment.hour}:{moment.minute:02}"


@lru_cache(maxsize=1_000)  # each page says whether the shop is open
def parse_hours(text: str) -> tuple[Span, ...]:
    """Read the hours of a day, such as "9-13, 14:00-18:30" or "9am to 5.30pm"; none if it says closed.

    Raises ValueError with a sentence for people.
    """
    if len(text) > LONGEST:
        raise ValueError(NOT_HOURS)
    plain = " ".join(text.split())
    if CLOSED.fullmatch(plain):
        return ()
    spans = tuple(_span(part.strip()) for part in BETWEEN_TIMES.split(plain))
    if len(spans) > SPANS_MAX:
        raise ValueError(f"A day can have at most {SPANS_MAX} times.")
    for earlier, later in pairwise(spans):
        if later.opens < earlier.closes or earlier.closes <= earlier.opens:
            raise ValueError(f"Write the times of a day one after another: {later} begins before {earlier} ends.")
    if len(spans) > 1 and spans[-1].closes <= spans[-1].opens and spans[-1].closes > spans[0].opens:
        raise ValueError(f"{spans[-1]} ends after {spans[0]} begins on the next day.")
    return spans


def format_hours(spans: Sequence[Span]) -> str:
    """Write hours as `parse_hours` reads them, with en dashes; "" if there are none."""
    return ", ".join(map(str, spans))


def week_lines(week: Sequence[Sequence[Span]]) -> list[tuple[str, str]]:
    """Return the hours of a week, with days in a row that have the same hours as one line: "Monday to Friday"."""
    lines = []
    for hours, group in groupby(zip(WEEKDAYS, map(format_hours, week), strict=True), key=itemgetter(1)):
        days = [day for day, _hours in group]
        name = days[0] if len(days) == 1 else f"{days[0]} {'and' if len(days) == 2 else 'to'} {days[-1]}"
        lines.append((name, hours or "closed"))
    return lines


def _span(text: str) -> Span:
    if ALL_DAY.fullmatch(text):
        return Span(time(), time())
    opens, *closes = UNTIL.split(text)
    if len(closes) != 1:
        raise ValueError(NOT_HOURS)
    return Span(_time(opens), _time(closes[0]))


def _time(text: str) -> time:
    match = CLOCK.fullmatch(text.strip())
    if not match:
        raise ValueError(NOT_HOURS)
    hour, minute, half = int(match["hour"]), int(match["minute"] or 0), (match["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        raise ValueError(NOT_HOURS)
    if half:
        hour = hour % 12 + 12 * half.startswith("p")
    if (hour, minute) == (24, 0):
        hour = 0
    try:
        return time(hour, minute)
    except ValueError:
        raise ValueError(NOT_HOURS) from None


@dataclass(frozen=True)
class Hours:
    """When the shop is open. `week` has the hours of each weekday from Monday on; all times are those of `zone`."""

    week: Sequence[Sequence[Span]]
    exceptions: Mapping[date, Exceptional]
    zone: ZoneInfo

    @property
    def are_known(self) -> bool:
        """Whether any hours have been entered."""
        return any(self.week) or any(one.spans for one in self.exceptions.values())

    def on(self, day: date) -> Sequence[Span]:
        """Return the hours of a date."""
        return self.exceptions[day].spans if day in self.exceptions else self.week[day.weekday()]

    def openings(self, moment: datetime) -> Iterator[Opening]:
        """Yield the times in which the shop is open, from the one that lasts at this moment or the next one on."""
        current: Opening | None = None
        for opening in self._days(moment.astimezone(self.zone).date()):
            if current and opening.opens <= current.closes:
                current = Opening(current.opens, max(current.closes, opening.closes))
                continue
            if current and moment < current.closes:
                yield current
            current = opening
        if current and moment < current.closes:
            yield current

    def sentence(self, moment: datetime) -> str:
        """Say whether the shop is open at a moment, and until or from when; "" if its hours are not known."""
        if not self.are_known:
            return ""
        opening = next(self.openings(moment), None)
        if opening is None:
            return "Closed"
        if opening.opens <= moment:
            return self._until(opening, moment)
        return self._from(opening, moment)

    def _days(self, today: date) -> Iterator[Opening]:
        """Yield the times of each day from yesterday on, which may last until today."""
        for number in range(-1, LOOKED_AHEAD):
            day = today + number * DAY
            for span in self.on(day):
                last = day + DAY if span.closes <= span.opens else day
                yield Opening(self._at(day, span.opens), self._at(last, span.closes))

    def _at(self, day: date, clock_time: time) -> datetime:
        """Return a time of day as UTC: Python compares times of one zone by the clock, wrongly when it is set back."""
        return datetime.combine(day, clock_time, self.zone).astimezone(UTC)

    def _until(self, opening: Opening, moment: datetime) -> str:
        if opening.closes - moment > 7 * DAY:
            return "Open"
        today, closes = moment.astimezone(self.zone).date(), opening.closes.astimezone(self.zone)
        if closes.date() == today or closes <= self._at(today + DAY, time()):
            return f"Open today until {clock(closes) if closes.date() == today else 'midnight'}"
        return f"Open until {_day(closes.date(), today).removeprefix('on ')} at {clock(closes)}"

    def _from(self, opening: Opening, moment: datetime) -> str:
        today, opens = moment.astimezone(self.zone).date(), opening.opens.astimezone(self.zone)
        return f"Closed, opens {_day(opens.date(), today)} at {clock(opens)}"


def _day(day: date, today: date) -> str:
    """Name a day near another one: today, tomorrow, Monday, or 4 January."""
    distance = (day - today).days
    if distance in {0, 1}:
        return ("today", "tomorrow")[distance]
    return WEEKDAYS[day.weekday()] if distance < 7 else f"on {day.day} {day:%B}"
