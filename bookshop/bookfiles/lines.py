"""What readers of files yield: lines of a table, or products of an ONIX message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line of a table that is not blank, with its cells as text or the reason why it cannot be read.

    `number` counts from 1 in the file, as an editor or a spreadsheet does, and is where a record of several lines
    begins. `swallowed` counts the further lines of the file that are lost with a line that cannot be read.
    """

    number: int
    cells: Sequence[str] = ()
    problem: str = ""
    swallowed: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """A product of an ONIX message: its number in the message, from 1, its fields as text, and the whole record.

    `fields` has the names of `columns.FIELDS`. `record` is the XML of the product, which the shop keeps. `swallowed`
    counts the further products that are lost with one that cannot be read. `guesses` are sentences about what was not
    certain.
    """

    number: int
    fields: Mapping[str, str] = field(default_factory=dict)
    record: bytes = b""
    problem: str = ""
    swallowed: int = 0
    guesses: Sequence[str] = ()
