"""Writes ONIX messages for tests: 3.0 and 3.1, reference and short tags, any number of products, in constant memory."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bookshop.bookfiles.onix_codes import COMPOSITES, SHORT_TAGS

VERSIONS, STYLES = ("3.0", "3.1"), ("reference", "short")
MORE_TAGS = {  # elements that a valid message needs, or that the shop must not read
    **{"SenderName": "x298", "SentDateTime": "x307", "RecordReference": "a001", "ProductComposition": "x314"},
    **{"ProductForm": "b012", "CollectionType": "x329", "NoContributor": "n339", "NameType": "x414"},
    **{"PublishingStatus": "b394", "SupplierRole": "j292", "SupplierName": "j137", "ProductAvailability": "j396"},
    **{"OnHand": "j350", "NoProduct": "x507", "NoCollection": "x411", "NoPrefix": "x501"},
}
TAG = re.compile(r"(</?)([A-Z][A-Za-z]+)")


def tag(name: str, *content: str, **attributes: str) -> str:
    """Return an element: `tag("Date", "2024", dateformat="05")`."""
    written = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{written}>{''.join(content)}</{name}>"


def identifier(number: str, type_: str = "15") -> str:
    return tag("ProductIdentifier", tag("ProductIDType", type_), tag("IDValue", number))


def title(text: str = "", type_: str = "01", *, level: str = "01", more: str = "") -> str:
    return title_of(element(text, level, more=more), type_=type_)


def title_of(*elements: str, type_: str = "01") -> str:
    return tag("TitleDetail", tag("TitleType", type_), *elements)


def element(text: str = "", level: str = "01", *, more: str = "", before: str = "") -> str:
    """Return a title element; `before` stands between its level and its text."""
    return tag("TitleElement", tag("TitleElementLevel", level), before, tag("TitleText", text) if text else "", more)


def contributor(name: str, *roles: str, number: int = 0, in_tag: str = "PersonName") -> str:
    names = tag(in_tag, name) if in_tag else name
    sequence = tag("SequenceNumber", str(number)) if number else ""
    return tag("Contributor", sequence, *(tag("ContributorRole", role) for role in roles or ("A01",)), names)


def text_content(type_: str, text: str, *, audience: str = "00", **attributes: str) -> str:
    said = tag("Text", text, **attributes)
    return tag("TextContent", tag("TextType", type_), tag("ContentAudience", audience), said)


def published(date: str, role: str = "01", date_format: str = "00") -> str:
    return tag("PublishingDate", tag("PublishingDateRole", role), tag("Date", date, dateformat=date_format))


def price(
    amount: str,
    currency: str = "EUR",
    type_: str = "04",
    *,
    qualifier: str = "",
    minimum: str = "",
    tax: str = "",
    more: str = "",
) -> str:
    """Return a price; one without a currency or type has that of the message's header."""
    parts = {"PriceType": type_, "PriceQualifier": qualifier, "MinimumOrderQuantity": minimum, "PriceAmount": amount}
    written = (tag(name, text) for name, text in parts.items() if text)
    return tag("Price", *written, tax, tag("CurrencyCode", currency) if currency else "", more)


def taxed(rate: str, part: str = "") -> str:
    """Return the tax on a price, or on a part of it."""
    return tag("Tax", tag("TaxRatePercent", rate), tag("TaxableAmount", part) if part else "")


def only_in(*countries: str) -> str:
    return tag("Territory", tag("CountriesIncluded", " ".join(countries)))


def product(
    number: int = 1,
    *,
    notification: str = "03",
    identifiers: str = "",
    collection: str = "",
    titles: str = "",
    contributors: str = "",
    languages: str = "<Language><LanguageRole>01</LanguageRole><LanguageCode>ger</LanguageCode></Language>",
    texts: str = "",
    publishers: str = "",
    dates: str = "",
    prices: str = "",
) -> str:
    """Return a product with reference names: an ordinary book, except for the parts that are given."""
    descriptive = tag(
        "DescriptiveDetail",
        *(tag("ProductComposition", "00"), tag("ProductForm", "BC"), collection),
        titles or title(f"Das Haus am Fluss {number}", more=tag("Subtitle", "Roman")),
        *(contributors or contributor(f"Nora Beispiel {number}", number=1), languages),
    )
    publishing = tag(
        "PublishingDetail",
        publishers or tag("Publisher", tag("PublishingRole", "01"), tag("PublisherName", "Musterverlag")),
        *(tag("PublishingStatus", "04"), dates or published("20240315")),
    )
    return tag(
        "Product",
        *(tag("RecordReference", f"com.example.{number}"), tag("NotificationType", notification)),
        identifiers or identifier(isbn(number)),
        *(
            descriptive,
            tag("CollateralDetail", texts or text_content("03", "Ein Haus, ein Fluss, ein Sommer.")),
            publishing,
        ),
        tag("ProductSupply", _supply(prices or price("12.90"))),
    )


def _supply(prices: str) -> str:
    supplier = tag("Supplier", tag("SupplierRole", "01"), tag("SupplierName", "Grossist"))
    return tag("SupplyDetail", supplier, tag("ProductAvailability", "20"), tag("Stock", tag("OnHand", "77")), prices)


def isbn(number: int) -> str:
    """Return the ISBN-13 of a made-up book."""
    digits = f"978{number:09d}"
    return digits + str(-sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10)


def message(
    products: Iterable[str], version: str = "3.0", style: str = "reference", *, header: str = "", namespace: bool = True
) -> Iterator[str]:
    """Yield the parts of a message, without an XML declaration; `header` stands at the end of its header."""
    named = f' xmlns="http://ns.editeur.org/onix/{version}/{style}"' if namespace else ""
    sender = tag("Sender", tag("SenderName", "Musterverlag"))
    root = "ONIXMessage" if style == "reference" else "ONIXmessage"
    yield f'<{root}{named} release="{version}">\n'
    for part in (tag("Header", sender, tag("SentDateTime", "20240501"), header),):
        yield part if style == "reference" else shortened(part)
    for part in products:
        yield part if style == "reference" else shortened(part)
        yield "\n"
    yield f"</{root}>\n"


SHORT = {**SHORT_TAGS, **MORE_TAGS, **{name: name.lower() for name in (*COMPOSITES, "Sender", "Supplier", "Stock")}}


def shortened(text: str) -> str:
    """Return XML with short tags in place of reference names; XHTML is in lower case and stays."""
    return TAG.sub(lambda match: match[1] + SHORT[match[2]], text)


def write(path: Path, parts: Iterable[str], *, encoding: str = "utf-8", declaration: str | None = None) -> Path:
    """Write a message to a file in an encoding, which its declaration names unless another one is given."""
    with path.open("w", encoding=encoding, newline="") as file:
        file.write(f'<?xml version="1.0" encoding="{encoding}"?>\n' if declaration is None else declaration)
        file.writelines(parts)
    return path
