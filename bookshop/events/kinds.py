"""The kinds of events, and the names that select them: `order.placed`, `order.*`, or `*` for all."""

import re
from collections.abc import Collection, Iterable

STOCK_CHANGED, BOOK_RESTOCKED = "stock.changed", "book.restocked"
PREBOOKING_CREATED, PREBOOKING_CANCELLED = "prebooking.created", "prebooking.cancelled"
PREBOOKING_NOTIFIED = "prebooking.notified"
ORDER_PLACED, ORDER_READY, ORDER_COLLECTED = "order.placed", "order.ready", "order.collected"
ORDER_CANCELLED = "order.cancelled"
MOVEMENT_KINDS = (STOCK_CHANGED, BOOK_RESTOCKED)
PREBOOKING_KINDS = (PREBOOKING_CREATED, PREBOOKING_CANCELLED, PREBOOKING_NOTIFIED)
ORDER_KINDS = (ORDER_PLACED, ORDER_READY, ORDER_COLLECTED, ORDER_CANCELLED)
KINDS = (*MOVEMENT_KINDS, *PREBOOKING_KINDS, *ORDER_KINDS)
ALL = "*"
NAMES_MAX = 20  # names in one list
NAMES = (ALL, *dict.fromkeys(f"{kind.partition('.')[0]}.*" for kind in KINDS), *KINDS)
KINDS_PATTERN = "^({0})(,({0})){{0,{1}}}$".format("|".join(map(re.escape, NAMES)), NAMES_MAX - 1)


def expand_kinds(names: Iterable[str]) -> Collection[str]:
    """Return the kinds that these names select, in the order of KINDS; raises ValueError for an unknown name."""
    selected = {kind for name in names for kind in _selected_by(name)}
    return [kind for kind in KINDS if kind in selected]


def _selected_by(name: str) -> list[str]:
    prefix = name[:-1] if name == ALL or name.endswith(".*") else None
    selected = [kind for kind in KINDS if (kind == name if prefix is None else kind.startswith(prefix))]
    if not selected:
        raise ValueError(f"{name[:40]!a} is not a kind of event: use {', '.join(KINDS)}, a group such as order.*, or *")
    return selected


def parse_kinds(text: str) -> Collection[str]:
    """Return the kinds that a comma-separated list of names selects; raises ValueError."""
    names = [name.strip() for name in text.split(",")]
    if len(names) > NAMES_MAX:
        raise ValueError(f"must not name more than {NAMES_MAX} kinds")
    return expand_kinds(names)
