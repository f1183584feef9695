"""Reads ONIX for Books 3.0 and 3.1, EDItEUR's XML for what publishers say about their books."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from lxml import etree

from bookshop.bookfiles import onix_text
from bookshop.bookfiles.columns import JOINT
from bookshop.bookfiles.lines import Product
from bookshop.bookfiles.onix_codes import (
    DELETION,
    DESCRIPTIONS,
    FIRST_PUBLICATION,
    GTIN,
    HIJRI_DATES,
    ISBNS,
    LANGUAGE_OF_TEXT,
    NOT_FOR_CUSTOMERS,
    OF_COLLECTIONS,
    OF_PRODUCT,
    PUBLICATION,
    PUBLISHERS,
    TEST_RECORDS,
    TITLE_TYPES,
    UNDETERMINED,
)
from bookshop.bookfiles.onix_people import authors
from bookshop.bookfiles.onix_prices import retail_price
from bookshop.bookfiles.onix_xml import Composite, found_products, safe_root, tag_names

DELETES = "Books are not deleted by file. Withdraw this book instead."
TESTS = "This is a test record, which the shop does not use. Ask the sender for the real one."
YEAR = re.compile(r"(?<!\d)([12]\d{3})")  # where a date begins, in all formats of the Common Era
BEFORE_CHRIST = re.compile(r"\bB\.?C", re.IGNORECASE)
MUSIC = "9790"  # printed music has an ISMN, which looks like an ISBN


@dataclass(frozen=True)
class Defaults:
    """What holds for the whole message: the tags it uses, the defaults of its header, the shop's currency, the day."""

    tags: Mapping[str, str]
    shop_currency: str
    today: date
    language: str = ""
    price_type: str = ""
    currency: str = ""


def products(path: Path, currency: str = "", today: date | None = None) -> Iterator[Product]:
    """Yield the products of an ONIX 3 message, one after the other, in constant memory.

    Prefers prices in `currency`, which is the shop's, that are valid `today`. Where the file cannot be read further, a
    last product has the `problem`. Raises Invalid if it is not an ONIX 3 message or has no products.
    """
    tags = tag_names(safe_root(path))
    return _products(path, Defaults(tags, currency, today or datetime.now(UTC).date()))


def _products(path: Path, defaults: Defaults) -> Iterator[Product]:
    for found in found_products(path):
        if found.element is None:
            yield Product(found.number, problem=found.problem, swallowed=found.lost)
            continue
        if found.number == 1:
            defaults = _with_header(found.element, defaults)
        yield _product(found.number, found.element, defaults)


def _with_header(first: etree._Element, defaults: Defaults) -> Defaults:
    """Add the defaults of the message's header, which stands before the first product."""
    message = first.getparent()
    headers = [] if message is None else Composite(message, defaults.tags).all("Header")
    for header in headers:
        return replace(
            defaults,
            language=header.text("DefaultLanguageOfText"),
            price_type=header.text("DefaultPriceType"),
            currency=header.text("DefaultCurrencyCode"),
        )
    return defaults


def _product(number: int, element: etree._Element, defaults: Defaults) -> Product:
    product = Composite(element, defaults.tags)
    notification = product.text("NotificationType")
    problem = DELETES if notification == DELETION else TESTS if notification in TEST_RECORDS else ""
    prices = product.all("ProductSupply", "SupplyDetail", "Price")
    currencies = defaults.shop_currency, (defaults.price_type, defaults.currency)
    price, guesses = retail_price(prices, *currencies, defaults.today)
    fields = {**_fields(product, defaults), **price}
    return Product(number, fields, onix_text.record(element), problem, guesses=guesses)


def _fields(product: Composite, defaults: Defaults) -> dict[str, str]:
    dates = product.all("PublishingDetail", "PublishingDate")
    fields = {
        "isbn": _isbn(product),
        **dict(zip(("title", "subtitle"), _title(product).split(JOINT, 1), strict=False)),
        "authors": authors(product.all("DescriptiveDetail", "Contributor")),
        "publisher": _publisher(product),
        "language": _language(product, defaults.language),
        "published_year": _year(dates, PUBLICATION),
        "original_year": _year(dates, FIRST_PUBLICATION),
        "description": _description(product),
    }
    return {name: text for name, text in fields.items() if text}


def _isbn(product: Composite) -> str:
    """Return the best identifier that is an ISBN, as it is written, or "" if there is none."""
    numbers = {one.text("ProductIDType"): one.text("IDValue") for one in product.all("ProductIdentifier")}
    gtin = re.sub(r"\D", "", numbers.get(GTIN, ""))
    if not gtin.startswith(("978", "979")) or gtin.startswith(MUSIC):
        numbers.pop(GTIN, None)
    return next((numbers[type_] for type_ in ISBNS if numbers.get(type_)), "")


def _title(product: Composite) -> str:
    """Return the title and, after a joint, the subtitle."""
    details = product.all("DescriptiveDetail", "TitleDetail")
    details.sort(key=lambda detail: _place(TITLE_TYPES, detail.text("TitleType")))
    details += product.all("DescriptiveDetail", "Collection", "TitleDetail")
    return next((title for detail in details if (title := _title_of(detail))), "")


def _title_of(detail: Composite) -> str:
    """Return the title of the product or, if it has none of its own, of its collection with the part's number."""
    levels: dict[str, list[tuple[Composite, str]]] = {OF_PRODUCT: [], **{level: [] for level in OF_COLLECTIONS}}
    for element in detail.all("TitleElement"):
        levels.setdefault(element.text("TitleElementLevel"), []).append((element, _main_title(element)))
    own = levels[OF_PRODUCT]
    if titled := [each for each in own if each[1]]:
        return _written(titled[:1])
    collections = [each for level in OF_COLLECTIONS for each in levels[level] if each[1]]
    return _written([*collections, *own]) if collections else ""


def _written(elements: Sequence[tuple[Composite, str]]) -> str:
    """Join what title elements say: "Maus, 2: And Here My Troubles Began", "Almanack 2024"."""
    titles = ", ".join(title for _element, title in elements if title)
    parts, years, subtitles = (
        [text for element, _title in elements if (text := element.text(name))]
        for name in ("PartNumber", "YearOfAnnual", "Subtitle")
    )
    numbered = ", ".join([" ".join([titles, *(year for year in years if year not in titles)]), *parts])
    return JOINT.join([numbered, ": ".join(subtitles)]) if subtitles else numbered


def _main_title(element: Composite) -> str:
    if text := element.text("TitleText"):
        return text
    prefix, rest = element.text("TitlePrefix"), element.text("TitleWithoutPrefix")
    space = "" if prefix.endswith(("'", "\u2019", "-")) else " "  # L'Étranger
    return f"{prefix}{space}{rest}".strip() if rest else ""


def _publisher(product: Composite) -> str:
    """Return the publisher, or a co-publisher, or the imprint."""
    names: dict[str, str] = {}
    for one in product.all("PublishingDetail", "Publisher"):
        names.setdefault(one.text("PublishingRole"), one.text("PublisherName"))
    imprints = (one.text("ImprintName") for one in product.all("PublishingDetail", "Imprint"))
    return next(filter(None, [*(names.get(role) for role in PUBLISHERS), *imprints]), "") or ""


def _language(product: Composite, default: str) -> str:
    languages = product.all("DescriptiveDetail", "Language")
    of_text = (one.text("LanguageCode") for one in languages if one.text("LanguageRole") == LANGUAGE_OF_TEXT)
    code = next(of_text, default).lower()
    return "" if code == UNDETERMINED else code


def _year(dates: Sequence[Composite], roles: Sequence[str]) -> str:
    said = {one.text("PublishingDateRole"): one for one in reversed(dates)}  # the first one of each role
    years = (_common_year(said[role]) for role in roles if role in said)
    return next(filter(None, years), "")


def _common_year(date_: Composite) -> str:
    """Return the year of a date in the Common Era; "" for another one, or if it names no year."""
    (written,) = date_.all("Date")[:1] or [date_]
    said = date_.text("Date")
    if (written.element.get("dateformat") or date_.text("DateFormat")) in HIJRI_DATES or BEFORE_CHRIST.search(said):
        return ""
    year = YEAR.search(said)
    return year[1] if year else ""


def _description(product: Composite) -> str:
    contents = product.all("CollateralDetail", "TextContent")
    wanted = [one for one in contents if one.text("TextType") in DESCRIPTIONS and _is_for_customers(one)]
    wanted.sort(key=lambda one: _place(DESCRIPTIONS, one.text("TextType")))
    texts = (onix_text.paragraphs(text.element) for one in wanted for text in one.all("Text"))
    return next(filter(None, texts), "")


def _is_for_customers(content: Composite) -> bool:
    audiences = set(content.texts("ContentAudience"))
    return not audiences or bool(audiences - NOT_FOR_CUSTOMERS)


def _place(order: Sequence[str], code: str) -> int:
    """Return the place of a code in an order of preference; all others come last."""
    return order.index(code) if code in order else len(order)
