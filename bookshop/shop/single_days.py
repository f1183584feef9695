"""Other hours on single days, as owners write them: a day a line, "2026-12-24 9:00-12:00 Christmas Eve"."""

import re
from collections.abc import Mapping, Sequence
from datetime import date

from bookshop.shop.hours import format_hours, parse_hours
from bookshop.shop.models import EXCEPTIONS_MAX, NOTE_MAX

Days = Mapping[str, Sequence[str]]  # ISO date -> hours as `format_hours` writes them, and note

LONGEST_LINE = 200  # characters
LINE = re.compile(r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2}):? (?P<rest>.+)")
NO_DAY = "Write the date, the hours or \u201cclosed\u201d, and why: 2026-12-24 9:00-12:00 Christmas Eve"
NO_NOTE = re.compile(r"[0-9:,;&\u2013\u2014-].*|(?:and|to|until|[ap]\.?m\.?)\b.*", re.IGNORECASE)  # but a part of hours
TOO_MANY = f"There are too many days. Keep at most {EXCEPTIONS_MAX}."


def parse_days(text: str) -> dict[str, list[str]]:
    """Read the lines; raises ValueError with a sentence that names the first one that cannot be read."""
    found: dict[str, list[str]] = {}
    numbers: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            day, hours, note = _parse(" ".join(line[: LONGEST_LINE + 1].split()))
        except ValueError as error:
            raise ValueError(f"Line {number} cannot be read. {error}") from None
        if day in found:
            raise ValueError(f"Lines {numbers[day]} and {number} are about the same day. Write its hours in one line.")
        if len(found) == EXCEPTIONS_MAX:
            raise ValueError(TOO_MANY)
        found[day], numbers[day] = [hours, note], number
    return found


def format_days(days: Days) -> str:
    """Write days as `parse_days` reads them."""
    return "\n".join(f"{day} {hours or 'closed'} {note}".rstrip() for day, (hours, note) in sorted(days.items()))


def _parse(line: str) -> tuple[str, str, str]:
    """Return the ISO date, the hours and the note of a line without needless spaces."""
    match = LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if not match:
        raise ValueError(NO_DAY)
    try:
        date.fromisoformat(match["day"])
    except ValueError:
        raise ValueError(f"There is no day {match['day']}.") from None
    hours, note = _hours_and_note(match["rest"])
    if len(note) > NOTE_MAX:
        raise ValueError(f"A note can have at most {NOTE_MAX} characters.")
    return match["day"], hours, note


def _hours_and_note(text: str) -> tuple[str, str]:
    """Split a text where its hours end: as many words as can be read as hours are hours."""
    first, *others = words = text.split()
    if first.lower().rstrip(",:;") == "closed":
        return "", " ".join(others)
    for end in range(len(words), 0, -1):
        try:
            spans = parse_hours(" ".join(words[:end]))
        except ValueError:
            continue
        note = " ".join(words[end:])
        if spans and not NO_NOTE.fullmatch(note):
            return format_hours(spans), note
        break
    raise ValueError(NO_DAY)
