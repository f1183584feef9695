"""Public holidays, as suggestions for days on which the shop is closed."""

from collections.abc import Mapping
from datetime import date, timedelta

AHEAD = timedelta(days=365)
LANGUAGE = "en_US"  # where the package has names in English


def public_holidays(country: str, today: date) -> Mapping[date, str]:
    """Return the public holidays of a whole country in the next twelve months, with their names; none if unknown.

    Those of a single region are not known. `country` is an ISO 3166-1 code, or "".
    """
    import holidays  # noqa: PLC0415  takes a moment, and is seldom needed

    try:
        known = holidays.country_holidays(country, years=[today.year, today.year + 1], language=LANGUAGE)
    except NotImplementedError:
        return {}
    return {day: name for day, name in sorted(known.items()) if today <= day < today + AHEAD}
