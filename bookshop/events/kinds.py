"""The kinds of events, and how one says which are wanted: `order.placed`, `order.*`, or `*` for all."""

import re
from collections.abc import Collection, Iterable

STOCK_CHANGED, BOOK_RESTOCKED = "stock.changed", "book.restocked"
PREBOOKING_CREATED, PREBOOKING_CANCELLED = "prebooking.created", "prebooking.cancelled"
PREBOOKING_NOTIFIED = "prebooking.notified"
ORDER_PLACED, ORDER_READY, ORDER_COLLECTED = "order.placed", "order.ready", "order.collected"
ORDER_CANCELLED = "order.cancelled"
OF_MOVEMENTS = (STOCK_CHANGED, BOOK_RESTOCKED)
OF_PREBOOKINGS = (PREBOOKING_CREATED, PREBOOKING_CANCELLED, PREBOOKING_NOTIFIED)
OF_ORDERS = (ORDER_PLACED, ORDER_READY, ORDER_COLLECTED, ORDER_CANCELLED)
KINDS = (*OF_MOVEMENTS, *OF_PREBOOKINGS, *OF_ORDERS)
ALL = "*"
WANTED_MAX = 20  # names of kinds in one wish
NAMES = (ALL, *dict.fromkeys(f"{kind.partition('.')[0]}.*" for kind in KINDS), *KINDS)
KINDS_PATTERN = "^({0})(,({0})){{0,{1}}}$".format("|".join(map(re.escape, NAMES)), WANTED_MAX - 1)


def matching(wanted: Iterable[str]) -> Collection[str]:
    """The kinds that these names stand for, in the order of KINDS; raises ValueError for a name that is none."""
    found = {kind for name in wanted for kind in _named(name)}
    return [kind for kind in KINDS if kind in found]


def _named(name: str) -> list[str]:
    whole = name[:-1] if name == ALL or name.endswith(".*") else None
    found = [kind for kind in KINDS if (kind == name if whole is None else kind.startswith(whole))]
    if not found:
        raise ValueError(
            f"{name[:40]!a} is no kind of event: use {', '.join(KINDS)}, a beginning such as order.*, or *"
        )
    return found


def read_kinds(text: str) -> Collection[str]:
    """The kinds that a list with commas stands for; raises ValueError."""
    names = [name.strip() for name in text.split(",")]
    if len(names) > WANTED_MAX:
        raise ValueError(f"names more than {WANTED_MAX} kinds")
    return matching(names)
