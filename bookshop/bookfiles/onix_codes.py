"""Names and codes of ONIX for Books 3.0 and 3.1 that the shop reads, from EDItEUR's specification and code lists."""

from collections.abc import Mapping

# Short tag of each element that the shop reads. Composites have the reference name in lower case as their short tag.
SHORT_TAGS: Mapping[str, str] = {
    "CorporateName": "b047",
    "CorporateNameInverted": "x443",
    "CountriesIncluded": "x449",
    "ContentAudience": "x427",
    "ContributorRole": "b035",
    "CurrencyCode": "j152",
    "Date": "b306",
    "DateFormat": "j260",
    "DefaultCurrencyCode": "m186",
    "DefaultLanguageOfText": "m184",
    "DefaultPriceType": "x310",
    "IDValue": "b244",
    "ImprintName": "b079",
    "KeyNames": "b040",
    "LanguageCode": "b252",
    "LanguageRole": "b253",
    "MinimumOrderQuantity": "j263",
    "NamesAfterKey": "b041",
    "NamesBeforeKey": "b039",
    "NotificationType": "a002",
    "PartNumber": "x410",
    "PersonName": "b036",
    "PersonNameInverted": "b037",
    "PrefixToKey": "b247",
    "PriceAmount": "j151",
    "PriceDateRole": "x476",
    "PriceQualifier": "j261",
    "PriceType": "x462",
    "ProductIDType": "b221",
    "PublisherName": "b081",
    "PublishingDateRole": "x448",
    "PublishingRole": "b291",
    "RegionsIncluded": "x450",
    "SequenceNumber": "b034",
    "Subtitle": "b029",
    "SuffixToKey": "b248",
    "TaxRatePercent": "x472",
    "TaxableAmount": "x473",
    "Text": "d104",
    "TextType": "x426",
    "TitleElementLevel": "x409",
    "TitlePrefix": "b030",
    "TitleText": "b203",
    "TitleType": "b202",
    "TitleWithoutPrefix": "b031",
    "UnnamedPersons": "b249",
    "UnpricedItemType": "j192",
    "YearOfAnnual": "b020",
}
COMPOSITES = (
    *("AlternativeName", "CollateralDetail", "Collection", "Contributor", "DescriptiveDetail", "Header", "Imprint"),
    *("Language", "Price", "PriceDate", "Product", "ProductIdentifier", "ProductSupply", "Publisher"),
    *("PublishingDate", "PublishingDetail", "SupplyDetail", "Tax", "Territory", "TextContent", "TitleDetail"),
    "TitleElement",
)

# List 1, notification type: records that are not data about a product on sale.
DELETION = "05"
TEST_RECORDS = {"88", "89"}

# List 5, product identifier type: ISBN-13, GTIN-13, ISBN-10.
ISBNS = ("15", "03", "02")
GTIN = "03"

# List 15, title type: distinctive, undefined, distributor's, expanded and abbreviated title, as far as there is one.
TITLE_TYPES = ("01", "00", "10", "13", "05")
# List 149, title element level.
OF_PRODUCT = "01"
OF_COLLECTIONS = ("02", "03", "06")

# List 17, contributor role: the first group with a name gives the book's authors; if none has, everybody does.
AUTHORS = {*("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A09", "A14", "A31", "A42", "A45", "A99")}
EDITORS = {
    *("A10", "A38", "B01", "B03", "B04", "B05", "B07", "B10", "B11", "B12", "B13", "B16", "B18", "B21", "B22"),
    *("B24", "B29", "C01", "C02", "C99"),
}
ILLUSTRATORS = {*("A12", "A13", "A35", "A40", "A46", "A47", "C03", "C04")}
NOT_CREATORS = {"Z02", "Z03", "Z04"}  # a person honoured, a jurisdiction, a note on peer review

# List 19, unnamed persons. "And others" (03) adds no name.
UNNAMED = {
    **{"01": "Unknown", "02": "Anonymous", "04": "Various", "09": "Artificial intelligence"},
    **dict.fromkeys(("05", "06", "07", "08"), "Synthesised voice"),
}

# List 22, language role.
LANGUAGE_OF_TEXT = "01"
UNDETERMINED = "und"  # list 74, language

# List 45, publishing role: publisher, co-publisher.
PUBLISHERS = ("01", "02")

# List 163, publishing date role: publication, and year of publication; first publication of the work.
PUBLICATION = ("01", "37")
FIRST_PUBLICATION = ("11",)
# List 55, date format: those of the Hijri calendar.
HIJRI_DATES = {"20", "21", "25", "32"}

# List 153, text type: description, short description, cover copy.
DESCRIPTIONS = ("03", "02", "05")
# List 154, content audience: not for the shop's customers.
NOT_FOR_CUSTOMERS = {"01", "02", "07", "09", "13"}

# List 58, price type, the best first: fixed, publisher's, recommended, importer's; including tax, then excluding it;
# then those before publication. Net prices, special sales, rental and nominal values are not what customers pay.
RETAIL_PRICES = ("04", "42", "02", "34", "03", "41", "01", "33", "31", "24", "22", "23", "21")
EXCLUDING_TAX = {"01", "03", "21", "23", "31", "33", "41"}
# List 59, price qualifier: prices for everybody, or for consumers.
FOR_CUSTOMERS = {"", "00", "05"}
# List 173, price date role.
FROM, UNTIL, FROM_UNTIL = "14", "15", "24"
