"""Years of publication, out of the years and dates that files have."""

import re
from functools import cache

from babel import Locale

from bookshop.bookfiles.columns import FIELD_WORDS

LONGEST = 40
LOCALES = ("en", "de", "fr", "es")
DAY, MONTH, YEAR = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])", "(?P<year>[12][0-9]{3})"
YEAR_ALONE = re.compile(r"(-?[0-9]{1,4})(?:[.,]0{1,2})?")
BEFORE_CHRIST = re.compile(r"([0-9]{1,4}) ?(?:BC|BCE|B\.C\.|v\. ?Chr\.?|av\. J\.-C\.|a\. ?C\.)")
DATES = (
    rf"{YEAR}[-/.]{MONTH}(?:[-/.]{DAY}(?:[T ].*)?)?",
    rf"(?:{DAY}[-/.] ?)?{MONTH}[-/.] ?{YEAR}(?: [0-9]{{1,2}}:.*)?",  # a day first, or a month alone
    rf"{MONTH}/{DAY}/{YEAR}(?: [0-9]{{1,2}}:.*)?",
    r"(?P<year>1[5-9][0-9]{2}|20[0-9]{2})(?:0[1-9]|1[0-2])(?:0[0-9]|[12][0-9]|3[01])?",  # 20190301 and 201903
    rf"(?:{DAY}(?:st|nd|rd|th|er)?\.?[ -](?:de )?)?(?P<month>[^\W\d_]+)\.?[ -]?(?:{DAY}(?:st|nd|rd|th)?, |de )?{YEAR}",
)
DATE = [re.compile(form) for form in DATES]
UNKNOWN = re.compile(  # the undefined dates of calibre, spreadsheets and MySQL, and words
    r"0101-01-01.*|00:00:00|0000-00-00.*|00[./]00[./]0000|"
    r"o\. ?J\.?|s\. ?[ad]\.?|n\. ?d\.?|no date|undated|unknown|unbekannt|inconnue?|desconocido|",
    re.IGNORECASE,
)
ABOUT = re.compile(
    r"^(?:c\.? ?|ca\.? ?|circa |um |vers |hacia |\u00a9 ?|cop\. ?|copyright )(?=[12][0-9]{3})", re.IGNORECASE
)


def read_year(text: str, field: str, *, short: bool = False) -> int | None:
    """Read a year or the year of a date; None if it is 0 or a word such as "unknown".

    Unless `short`, refuses years of one or two digits, which may lack their century. Raises ValueError with a sentence
    that names the field and shows the text.
    """
    plain = ABOUT.sub("", text[:LONGEST].strip().strip("[]()").strip())
    if UNKNOWN.fullmatch(plain):
        return None
    if match := YEAR_ALONE.fullmatch(plain):
        year = int(match[1])
        if 0 < year < 100 and not short:
            raise ValueError(f"{FIELD_WORDS[field]} {text} may lack its century: write all four digits")
        return year or None
    if match := BEFORE_CHRIST.fullmatch(plain):
        return -int(match[1])
    if len(text) <= LONGEST and (found := _year_of_date(plain)):
        return found
    raise ValueError(f"{FIELD_WORDS[field]} {text[:LONGEST]} cannot be read: write a year such as 2019")


def _year_of_date(text: str) -> int | None:
    for match in filter(None, (form.fullmatch(text) for form in DATE)):
        month = match.groupdict().get("month")
        if month is None or month.lower() in _months():
            return int(match["year"])
    return None


@cache
def _months() -> frozenset[str]:
    """Return the names of months and their abbreviations, in lower case without points."""
    widths = (Locale(locale).months["format"][width] for locale in LOCALES for width in ("wide", "abbreviated"))
    return frozenset(name.lower().rstrip(".") for names in widths for name in names.values()) | {"mrz", "sep", "okt"}
