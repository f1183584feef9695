"""The list of faults: what each breaks, why that matters, and which tests must detect it."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LISTS = Path(__file__).parent
MEMBERS = {"name", "why", "file", "old", "new", "tests"}
MAY_HAVE = {"database", "seconds"}
BOTH = "both"
DATABASES = ("sqlite", "postgresql", BOTH)
SECONDS = 120  # after which hanging tests count as having caught the fault


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One piece of wrong code: `new` replaces `old` in `file`, and one of `tests` must fail."""

    area: str
    name: str
    why: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    database: str = BOTH
    seconds: float = SECONDS

    def planted_in(self, source: str) -> str:
        """Return the source with the fault."""
        return source.replace(self.old, self.new)


def read_all() -> list[Fault]:
    """Return all faults, by area; raise ValueError for an entry with missing or unknown members."""
    paths = sorted(LISTS.glob("*.toml"))
    return [_fault(path.stem, entry) for path in paths for entry in tomllib.loads(path.read_text())["fault"]]


def _fault(area: str, entry: dict[str, Any]) -> Fault:
    wrong = (MEMBERS - entry.keys()) | (entry.keys() - MEMBERS - MAY_HAVE)
    if wrong:
        raise ValueError(f"{area}.toml, {entry.get('name')}: missing or unknown: {', '.join(sorted(wrong))}")
    return Fault(area=area, **{**entry, "tests": tuple(entry["tests"])})


def problems(faults: Sequence[Fault]) -> list[str]:
    """Return the errors in the list itself, without running anything."""
    names = Counter(fault.name for fault in faults)
    doubled = [f"{name}: two faults have this name" for name, number in names.items() if number > 1]
    return doubled + [f"{fault.area}, {fault.name}: {wrong}" for fault in faults for wrong in _problems_of(fault)]


def _problems_of(fault: Fault) -> Iterator[str]:
    found = _source(fault.file).count(fault.old)
    if found != 1:
        yield f"its old text is in {fault.file} {found} times instead of once"
    if fault.old == fault.new:
        yield "its new text is the old one"
    if fault.database not in DATABASES:
        yield f"its database is none of {', '.join(DATABASES)}"
    if not fault.tests:
        yield "it names no test"
    for test in fault.tests:
        file, _colons, function = test.partition("::")
        if not re.search(rf"^def {re.escape(function.partition('[')[0])}\(", _source(file), re.MULTILINE):
            yield f"there is no test {test}"


@cache
def _source(file: str) -> str:
    """Return the text of a file of the project, '' if it does not exist."""
    path = ROOT / file
    return path.read_text() if path.is_file() else ""
