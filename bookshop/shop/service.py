"""The shop's details, as every page and e-mail shows them and as owners change them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale
from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.kit.exceptions import Conflict
from bookshop.kit.money import LOCALE
from bookshop.shop.hours import WEEKDAYS, Exceptional, Hours, Span, parse_hours, week_lines
from bookshop.shop.models import TO_PAY, TO_RESERVE
from bookshop.shop.postage import Postage
from bookshop.shop.repository import FIRST, ShopRepository

log = logging.getLogger(__name__)

NO_COUNTRIES = frozenset(("EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"))  # which Unicode lists among them
COUNTRIES: Mapping[str, str] = {
    code: name
    for code, name in Locale(LOCALE).territories.items()
    if len(code) == 2 and code.isalpha() and code not in NO_COUNTRIES
}
CHANGED_MEANWHILE = (
    "Somebody else has changed these details meanwhile, and yours are not saved. Open this page in another tab and "
    "compare. If yours are right, save them again."
)


@dataclass(frozen=True)
class Details:
    """The shop's details; an empty text is not shown. See ShopDetails for `week` and `exceptions`."""

    version: int = 0
    name: str = "The Bookshop"
    tagline: str = ""
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    phone: str = ""
    email: str = ""
    responsible: str = ""
    registration: str = ""
    vat_number: str = ""
    vat_note: str = ""
    time_zone: str = "UTC"
    currency: str = "EUR"
    post_orders: bool = False
    postage_cents: int | None = None
    postage_free_cents: int | None = None
    order_wording: str = TO_RESERVE
    collect_days: int = 14
    mail_delay: int = 60
    logo: str = ""
    logo_size: Sequence[int] = field(default_factory=list)
    photo: str = ""
    photo_size: Sequence[int] = field(default_factory=list)
    photo_alt: str = ""
    accent: str = ""
    week: Sequence[str] = field(default_factory=lambda: [""] * len(WEEKDAYS))
    exceptions: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def hours(self) -> Hours:
        """The opening hours."""
        exceptions = {
            date.fromisoformat(day): Exceptional(_readable(text), note) for day, (text, note) in self.exceptions.items()
        }
        return Hours([_readable(text) for text in self.week], exceptions, self.zone)

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone of all times that people read."""
        try:
            return ZoneInfo(self.time_zone)
        except (OSError, ValueError, ZoneInfoNotFoundError):  # of a machine that knows other zones
            log.warning("the time zone %s of the shop is unknown here: using UTC", self.time_zone)
            return ZoneInfo("UTC")

    @property
    def postage(self) -> Postage | None:
        """What posting an order costs; None if customers cannot have orders posted."""
        if not self.post_orders or self.postage_cents is None:
            return None
        return Postage(self.postage_cents, self.postage_free_cents, self.currency)

    @property
    def wording(self) -> str:
        """What the button of an order says; a shop that posts orders needs the one that obliges to pay."""
        return TO_PAY if self.postage else self.order_wording

    @property
    def is_described(self) -> bool:
        """Whether there is anything to show on the page about the shop."""
        return bool(self.address or self.phone or self.email or self.hours.are_known)

    @property
    def address(self) -> Sequence[str]:
        """The lines of the postal address, none if no street or city has been entered."""
        if not (self.street or self.city):
            return ()
        place = " ".join(filter(None, (self.postcode, self.city)))
        return [line for line in (self.street, place, COUNTRIES.get(self.country, "")) if line]

    @property
    def week_lines(self) -> Sequence[tuple[str, str]]:
        """The opening hours of the week, a line for days in a row that are alike; none if they are not known."""
        return week_lines(self.hours.week) if any(self.week) else ()

    def local(self, moment: datetime) -> datetime:
        """Return a moment in the shop's time zone."""
        return moment.astimezone(self.zone)


NEW_SHOP = Details()
NAMES = tuple(one.name for one in fields(Details))


class ShopService:
    """Reads and changes the shop's details; never commits."""

    def __init__(self, session: Session) -> None:
        self.shop = ShopRepository(session)
        self.audit = AuditService(session)

    @cached_property
    def details(self) -> Details:
        """The details as they were when they were last read: once for each request or message."""
        return self.read()

    def read(self) -> Details:
        """Read the details as they are now."""
        row = self.shop.get()
        self.details = Details(**{name: getattr(row, name) for name in NAMES}) if row else NEW_SHOP
        return self.details

    def change(self, values: Mapping[str, Any], version: int) -> None:
        """Change some of the details, effective at once. Raises Conflict if they no longer have this version."""
        before = self.read()
        if before.version != version:
            raise Conflict(CHANGED_MEANWHILE, "SHOP_CHANGED")
        changed = {name: value for name, value in values.items() if value != getattr(before, name)}
        if not changed:
            return
        if not version:
            self.shop.insert({name: getattr(NEW_SHOP, name) for name in NAMES[1:]})
        if not self.shop.update(changed, max(version, FIRST)):
            raise Conflict(CHANGED_MEANWHILE, "SHOP_CHANGED")
        self.read()
        old = {name: _logged(name, getattr(before, name)) for name in changed}
        self.audit.record("shop.changed", None, old, {name: _logged(name, changed[name]) for name in changed})


def _readable(hours: str) -> Sequence[Span]:
    """Return stored hours; none if they cannot be read, so that owners can still open the page that corrects them."""
    try:
        return parse_hours(hours)
    except ValueError:
        log.warning("the hours %s of the shop cannot be read", hours)
        return ()


def _logged(name: str, value: Any) -> Any:
    """Return a value for the audit log, which has no names of people."""
    return "a name" if name == "responsible" and value else value
