"""Values of books in files: what a bookseller's spreadsheet says, as the shop stores it."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bookshop.bookfiles.amounts import ON_REQUEST, DecimalSign, currency_code, decimal_sign, read_copies, read_price
from bookshop.bookfiles.author_columns import authors_alone, with_first_names
from bookshop.bookfiles.columns import FIELD_WORDS, JOINT
from bookshop.bookfiles.dates import read_year
from bookshop.bookfiles.markup import plain_text
from bookshop.bookfiles.names import Order, read_authors, votes
from bookshop.catalog.isbn import bare_isbn, isbn13, isbn13_in_file
from bookshop.catalog.languages import known_language

SHOWN = 40  # characters of a cell in a sentence
IN_ERRORS = {**FIELD_WORDS, "sku": "article number"}
LONGEST_LANGUAGE = 200  # characters of a cell that are looked at
VOTES_NEEDED, MAJORITY = 3, 0.75  # of the names of a file, before "Goethe, Johann Wolfgang" is taken for one
FORMULA_TEXT = re.compile(r'="(.*)"', re.DOTALL)  # how programs keep a spreadsheet from changing a number
NOT_AVAILABLE = ("#N/A", "#NV", "#N/D")
ERROR = re.compile(r"#(VALUE!|REF!|NAME\?|DIV/0!|NULL!|NUM!|WERT!|BEZUG!|ZAHL!|VALEUR!|NOM\?|NOMBRE!|¡VALOR!|#+)")
NO_TEXT = re.compile(r"NULL|NaN|nan|None|")
NO_VALUE = re.compile(r"[-\u2013\u2014.?]|n/a|n\.a\.|null|none|nan|nil|k\. ?a\.|", re.IGNORECASE)
NO_PRICE = re.compile(  # "variable" is what Square writes for an item whose price is typed at the till
    r"variable|-{2,}|n/?v|tb[ac]|poa|vergr(?:\.|iffen)|auf anfrage|sur demande|a consultar", re.IGNORECASE
)
MINOR_UNITS = re.compile("-?[0-9]{1,30}")
CODE = re.compile("[a-z]{3}")
SEVERAL_LANGUAGES = re.compile("[,;/|]")
TEXTS = ("title", "subtitle", "authors")
ON_ONE_LINE = (*TEXTS, "publisher")
# No-break spaces, and what cannot be seen: soft hyphens, zero-width spaces, byte order marks and word joiners.
INVISIBLE = {0xA0: " ", 0x202F: " ", 0xAD: None, 0x200B: None, 0xFEFF: None, 0x2060: None}
OLD_ISBN = re.compile(r"0[0-9]{9}|[0-9]{9}X")  # what is not simply a shop's own number of ten digits
ROUNDED = "000000"  # how ISBNs end that a spreadsheet has rounded; the check digit of one in ten fits by chance
WAS_ROUNDED = "is not an ISBN: a spreadsheet has rounded it. Format the column as text and export the file again"
UNDETERMINED = ("und", "zxx")


@dataclass(frozen=True)
class Conventions:
    """How a file writes what could be read in two ways. A `verbatim` file has texts and names as the shop has them."""

    decimal: DecimalSign
    names: Order
    currency: str
    verbatim: bool = False


@dataclass(frozen=True)
class Reading:
    """The values of a line's book, and a sentence about each that had to be guessed."""

    values: dict[str, Any]
    guesses: Sequence[str]


class UnreadableLine(ValueError):
    """Values that cannot be read, as sentences joined by "; ". `values` has those that can."""

    def __init__(self, problems: Sequence[str], values: Mapping[str, Any]) -> None:
        super().__init__("; ".join(problems))
        self.values = values


@dataclass
class Evidence:
    """What the lines of a file say about its decimal separator and the order of its names."""

    decimals: Counter[DecimalSign] = field(default_factory=Counter)
    names: Counter[Order] = field(default_factory=Counter)

    def add(self, fields: Mapping[str, str]) -> None:
        """Take a line into account."""
        if sign := decimal_sign(_unwrapped(fields.get("price", ""))):
            self.decimals[sign] += 1
        for cell in fields.get("authors", "").split(JOINT):
            self.names.update(votes(_unwrapped(cell)))

    def conventions(self, currency: str, verbatim: bool) -> Conventions:
        """Return the conventions of most lines. `currency` is that of prices which do not state theirs."""
        needed = max(VOTES_NEEDED, MAJORITY * self.names.total())
        names: Order = "last, first" if self.names["last, first"] >= needed else "first last"
        decimal: DecimalSign = "," if self.decimals[","] > self.decimals["."] else "."
        return Conventions(decimal, names, currency, verbatim)


def read_values(fields: Mapping[str, str], conventions: Conventions) -> Reading:
    """Read the fields of a line, as `columns.fields_of` returns them; omits those that say nothing.

    Raises UnreadableLine with a sentence for each value that cannot be read.
    """
    line = _Line(fields, conventions)
    for read in READERS:
        try:
            line.values |= read(line)
        except ValueError as error:
            line.problems.append(str(error))
    if line.problems:
        raise UnreadableLine(line.problems, line.values)
    return Reading(line.values, line.guesses)


class _Line:
    """The cells of a line that say something, and what has been read of them."""

    def __init__(self, fields: Mapping[str, str], conventions: Conventions) -> None:
        self.conventions = conventions
        self.values: dict[str, Any] = {}
        self.guesses: list[str] = []
        self.problems: list[str] = []
        self.cells = {name: self._clean(name, text) for name, text in fields.items()}

    def _clean(self, name: str, text: str) -> list[str]:
        if self.conventions.verbatim:
            return [text.strip()] if text.strip() else []
        nothing = NO_TEXT if name in TEXTS else NO_VALUE
        visible = text.translate(INVISIBLE) if name in ON_ONE_LINE and not text.isascii() else text
        cells = (_unwrapped(cell) for cell in visible.split(JOINT))
        if name in ON_ONE_LINE and ("&" in text or "<" in text):
            cells = (plain_text(cell) for cell in cells)
        return [cell for cell in cells if not (nothing.fullmatch(cell) or self._is_error(name, cell))]

    def _is_error(self, name: str, cell: str) -> bool:
        """Return whether a cell is what a spreadsheet shows for a formula without a result."""
        if not cell.startswith("#"):
            return False
        if ERROR.fullmatch(cell):
            self.problems.append(f"{IN_ERRORS[name]} is an error of the spreadsheet: {cell[:SHOWN]}")
            return True
        return cell in NOT_AVAILABLE

    def cell(self, name: str) -> str:
        """Return the first cell of a field, "" if it says nothing."""
        return next(iter(self.cells.get(name, ())), "")


def _unwrapped(cell: str) -> str:
    """Return the text in `="..."`, without blanks around it."""
    text = cell.strip().strip("\ufeff\u200b").strip()
    if text.startswith("=") and (match := FORMULA_TEXT.fullmatch(text)):
        return match[1].replace('""', '"').strip()
    return text


def _isbn(line: _Line) -> dict[str, Any]:
    found: dict[str, str] = {}
    problems = []
    for cell in line.cells.get("isbn", ()):
        try:
            number, guess = isbn13_in_file(cell)
            if number.endswith(ROUNDED) and not line.conventions.verbatim:
                raise ValueError(WAS_ROUNDED)
        except ValueError as error:
            problems.append(f"{FIELD_WORDS['isbn']} {cell[:SHOWN]} {error}")
        else:
            if number:
                found[number] = found.get(number, guess) and guess
    if len(found) > 1:
        raise ValueError(f"the ISBNs {' and '.join(found)} in one line are those of different books")
    if problems and not found:
        raise ValueError("; ".join(problems))
    line.guesses += filter(None, found.values())
    numbers = [*found, *_article_isbns(line.cells.get("sku", ()))]
    return {"isbn": numbers[0]} if numbers else {}


def _article_isbns(cells: Sequence[str]) -> list[str]:
    """Return the ISBNs among article numbers; a shop's own number of ten digits is one by chance too often."""
    numbers = []
    for cell in cells:
        bare = bare_isbn(cell[:SHOWN])
        if len(bare) == 13 or OLD_ISBN.fullmatch(bare):
            try:
                numbers.append(isbn13(cell))
            except ValueError:
                continue
    return numbers if len(set(numbers)) == 1 else []


def _title(line: _Line) -> dict[str, Any]:
    title, subtitle = (_on_one_line(line, line.cell(name)) for name in ("title", "subtitle"))
    if title and subtitle and subtitle.casefold() not in title.casefold():
        return {"title": f"{title}: {subtitle}", "main_title": title}
    return {"title": title} if title else {}


def _authors(line: _Line) -> dict[str, Any]:
    cells = line.cells.get("authors", [])
    authors = cells[0] if cells and line.conventions.verbatim else _written_by(line, cells)
    return {"authors": authors} if authors else {}


def _written_by(line: _Line, cells: list[str]) -> str:
    first_names, roles = line.cell("first_names"), line.cell("author_roles")
    if first_names and len(cells) == 1:
        return with_first_names(cells[0], first_names)
    if roles and len(cells) > 1:
        cells = [*cells[:-1], authors_alone(cells[-1], roles)]
    return read_authors(cells, line.conventions.names)


def _publisher(line: _Line) -> dict[str, Any]:
    publisher = _on_one_line(line, line.cell("publisher"))
    return {"publisher": publisher} if publisher else {}


def _on_one_line(line: _Line, text: str) -> str:
    broken = not line.conventions.verbatim and any(sign in text for sign in "\n\r\t")
    return " ".join(text.split()) if broken else text


def _language(line: _Line) -> dict[str, Any]:
    text = line.cell("language")[:LONGEST_LANGUAGE]
    if not text or line.conventions.verbatim:
        return {"language": known_language(text) or text} if text else {}
    first, *others = (part.strip() for part in SEVERAL_LANGUAGES.split(text))
    tag = known_language(first) or (first if CODE.fullmatch(first) else None)
    if tag is None:
        line.guesses.append(f"the language {text[:SHOWN]} is unknown and was left out")
    elif others:
        line.guesses.append(f"of the languages {text[:SHOWN]}, the first was taken")
    return {"language": tag} if tag and tag not in UNDETERMINED else {}


def _year(line: _Line) -> dict[str, Any]:
    for name in ("published_year", "original_year"):
        text = line.cell(name)
        try:
            year = read_year(text, name, short=name == "original_year" or line.conventions.verbatim) if text else None
        except ValueError as error:
            line.guesses.append(f"{error}. It was left out")
            return {}  # that of the first edition is not the year of this one
        if year:
            return {"published_year": year}
    return {}


def _description(line: _Line) -> dict[str, Any]:
    text = line.cell("description")
    if text and not line.conventions.verbatim:
        text = plain_text(text.replace("\\r\\n", "\n").replace("\\n", "\n"))  # some programs write line ends so
    return {"description": text} if text else {}


def _price(line: _Line) -> dict[str, Any]:
    stated, text = line.cell("currency"), line.cell("price")
    currency = currency_code(stated[:SHOWN], line.conventions.currency) if stated else ""
    if currency is None:
        raise ValueError(f"the currency {stated[:SHOWN]} is unknown: write a code such as EUR")
    values: dict[str, Any] = {"currency": currency} if currency else {}
    if line.cell("price_cents"):
        values["price_cents"] = _minor_units(line.cell("price_cents"))
    if not text or NO_PRICE.fullmatch(text):
        return values
    price = read_price(text, line.conventions.decimal, line.conventions.currency, currency)
    if not price.cents:
        return values
    if values.get("price_cents", price.cents) != price.cents:
        cents = values["price_cents"]
        raise ValueError(f"the columns price ({text}) and price in cents ({cents}) differ: correct one of them")
    return {"price_cents": price.cents, "currency": price.currency}


def _minor_units(text: str) -> int:
    if not MINOR_UNITS.fullmatch(text):
        raise ValueError(
            f"{FIELD_WORDS['price_cents']} must be a whole number such as 1290, not {text[:SHOWN]}: "
            "an amount such as 12.90 belongs in a column named price"
        )
    if text.startswith("-"):
        raise ValueError(f"{FIELD_WORDS['price_cents']} must be at least 0, not {text[:SHOWN]}: {ON_REQUEST}")
    return int(text)


def _stock(line: _Line) -> dict[str, Any]:
    text = line.cell("stock_quantity")
    return {"stock_quantity": read_copies(text)} if text else {}


def _book_id(line: _Line) -> dict[str, Any]:
    text = line.cell("book_id")
    if text and not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"{FIELD_WORDS['book_id']} must be a whole number, not {text[:SHOWN]}")
    return {"book_id": int(text)} if text else {}


def _withdrawn(line: _Line) -> dict[str, Any]:
    text = line.cell("withdrawn").lower()
    if text not in {"", "yes", "no"}:
        raise ValueError(f"{FIELD_WORDS['withdrawn']} must be yes or no, not {text[:SHOWN]}")
    return {"withdrawn": True} if text == "yes" else {}


READERS: Sequence[Callable[[_Line], dict[str, Any]]] = (
    _isbn,
    _title,
    _authors,
    _publisher,
    _language,
    _year,
    _description,
    _price,
    _stock,
    _book_id,
    _withdrawn,
)
