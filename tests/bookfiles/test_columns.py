"""Columns: what the exports of other programs call the fields of a book."""

import pytest

from bookshop.bookfiles.columns import (
    EXPORT_HEADER,
    FIELDS,
    JOINT,
    OF_ONE_PROGRAM,
    TABLE,
    currency_of,
    fields_of,
    map_columns,
    recognised,
)

EXPORTS = {  # header -> the columns that are used
    "Goodreads": (
        "Book Id|Title|Author|Author l-f|Additional Authors|ISBN|ISBN13|My Rating|Average Rating|Publisher|Binding"
        "|Number of Pages|Year Published|Original Publication Year|Date Read|Date Added|Bookshelves|Exclusive Shelf"
        "|My Review|Read Count|Owned Copies",
        "Title=title|Author=authors|Additional Authors=authors|ISBN=isbn|ISBN13=isbn|Publisher=publisher"
        "|Year Published=published_year|Original Publication Year=original_year",
    ),
    "StoryGraph": (
        "Title|Authors|Contributors|ISBN/UID|Format|Read Status|Date Added|Read Count|Star Rating|Review|Owned?",
        "Title=title|Authors=authors|ISBN/UID=sku",
    ),
    "LibraryThing": (
        "Book Id|Title|Sort Character|Primary Author|Primary Author Role|Secondary Author|Secondary Author Roles"
        "|Publication|Date|Rating|Comment|Summary|Barcode|Languages|Original Languages|ISBN|ISBNs|Copies|Entry Date",
        "Title=title|Primary Author=authors|Secondary Author=authors|Secondary Author Roles=author_roles"
        "|Date=published_year|Languages=language|ISBN=isbn|Copies=stock_quantity",
    ),
    "Calibre": (
        "author_sort|authors|comments|cover|id|identifiers|isbn|languages|pubdate|publisher|series|size|tags|title|uuid",
        "authors=authors|comments=description|isbn=isbn|languages=language|pubdate=published_year"
        "|publisher=publisher|title=title",
    ),
    "WooCommerce": (
        "ID|Type|SKU|GTIN, UPC, EAN, or ISBN|Name|Published|Short description|Description|In stock?|Stock"
        "|Low stock amount|Sale price|Regular price|Categories|Meta: _author",
        "SKU=sku|GTIN, UPC, EAN, or ISBN=isbn|Name=title|Description=description|Stock=stock_quantity"
        "|Regular price=price|Meta: _author=authors",
    ),
    "Shopify": (
        "Handle|Title|Body (HTML)|Vendor|Type|Published|Variant SKU|Variant Inventory Tracker|Variant Inventory Qty"
        "|Variant Inventory Policy|Variant Price|Variant Compare At Price|Variant Barcode|Cost per item|Status"
        "|Author (product.metafields.custom.author)",
        "Title=title|Body (HTML)=description|Variant SKU=sku|Variant Inventory Qty=stock_quantity|Variant Price=price"
        "|Variant Barcode=isbn|Author (product.metafields.custom.author)=authors",
    ),
    "Square": (
        "Token|Item Name|Variation Name|SKU|Description|GTIN|Price|Online Sale Price|Current Quantity High Street"
        "|New Quantity High Street|Stock Alert Count High Street|Default Unit Cost",
        "Item Name=title|SKU=sku|Description=description|GTIN=isbn|Price=price"
        "|Current Quantity High Street=stock_quantity",
    ),
    "Lightspeed R": (
        "System ID|UPC|EAN|Custom SKU|Item|Qty.|Price|Tax|MSRP|Default Cost|Vendor",
        "UPC=sku|EAN=isbn|Custom SKU=sku|Item=title|Qty.=stock_quantity|Price=price",
    ),
    "Lightspeed X": (
        "id|handle|sku|name|description|supply_price|retail_price|brand_name|track_inventory|inventory_Main_Outlet",
        "sku=sku|name=title|description=description|retail_price=price|inventory_Main_Outlet=stock_quantity",
    ),
    "German": (
        "EAN;Autor/in;Titel;Untertitel;Verlag;Erscheinungsjahr;Sprache;EK;Ladenpreis;W\u00e4hrung;Bestand;Warengruppe",
        "EAN=isbn|Autor/in=authors|Titel=title|Untertitel=subtitle|Verlag=publisher|Erscheinungsjahr=published_year"
        "|Sprache=language|Ladenpreis=price|W\u00e4hrung=currency|Bestand=stock_quantity",
    ),
    "WooCommerce in Spanish": (
        "ID|Tipo|SKU|GTIN, UPC, EAN o ISBN|Nombre|Publicado|Descripci\u00f3n|\u00bfExistencias?|Inventario"
        "|Precio normal",
        "SKU=sku|GTIN, UPC, EAN o ISBN=isbn|Nombre=title|Descripci\u00f3n=description|Inventario=stock_quantity"
        "|Precio normal=price",
    ),
    "WooCommerce in German": (
        "ID|Typ|GTIN, UPC, EAN oder ISBN|Name|Beschreibung|Vorr\u00e4tig?|Lager|Regul\u00e4rer Preis",
        "GTIN, UPC, EAN oder ISBN=isbn|Name=title|Beschreibung=description|Lager=stock_quantity"
        "|Regul\u00e4rer Preis=price",
    ),
    "VLB": (
        "ISBN;Titel;Autor;Vorname;Preis EUR (A);Preis EUR (D);Preis CHF;Bestand (Stk.)",
        "ISBN=isbn|Titel=title|Autor=authors|Vorname=first_names|Preis EUR (D)=price|Bestand (Stk.)=stock_quantity",
    ),
    "French": (
        "Code-barres;Titre;Auteur;\u00c9diteur;Prix TTC (\u20ac);Prix d'achat;Qt\u00e9;Ann\u00e9e;R\u00e9sum\u00e9",
        "Code-barres=isbn|Titre=title|Auteur=authors|\u00c9diteur=publisher|Prix TTC (\u20ac)=price"
        "|Qt\u00e9=stock_quantity|Ann\u00e9e=published_year|R\u00e9sum\u00e9=description",
    ),
    "Spanish": (
        "C\u00f3digo de barras;T\u00edtulo;Autor;Editorial;PVP;Precio de coste;Cantidad;A\u00f1o;Idioma",
        "C\u00f3digo de barras=isbn|T\u00edtulo=title|Autor=authors|Editorial=publisher|PVP=price"
        "|Cantidad=stock_quantity|A\u00f1o=published_year|Idioma=language",
    ),
}


@pytest.mark.parametrize(("header", "used"), EXPORTS.values(), ids=EXPORTS)
def test_the_exports_of_other_programs_are_mapped_and_the_rest_is_unused(header, used):
    names = header.split(";" if ";" in header else "|")
    mapping = map_columns(names)
    assert [f"{name}={field}" for name, field in zip(names, mapping, strict=True) if field] == used.split("|")


@pytest.mark.parametrize(
    "name",
    [
        "ISBN13",
        "isbn-13",
        " ISBN_13 ",
        "Isbn 13",
        "\u201cISBN 13\u201d",
        "EAN",
        "ISBN-Nr.",
        "Num\u00e9ro ISBN",
        "meta:isbn",
    ],
)
def test_names_are_compared_without_case_accents_and_punctuation(name):
    assert map_columns([name]) == ("isbn",)


WRONG_FRIENDS = """Number|Date|ID|Type|Handle|Published|Owned Copies|Read Count|My Rating|EK|EK netto|Cost per item
|Compare at price|Sale price|Variant Compare At Price|Price (net)|Stock status|On order|Reserved|Nombre|Comments
|9780141439587|Emma|Price / Germany|Prix d'achat|"""


@pytest.mark.parametrize("name", WRONG_FRIENDS.split("|"))
def test_wrong_friends_are_not_used(name):
    assert map_columns([name]) == ("",)


def test_of_several_columns_for_one_field_the_best_name_is_used():
    assert map_columns(["Jahr", "Preis", "Year Published", "Regular price"]) == ("", "", "published_year", "price")
    assert map_columns(["original_title", "title", "Title"]) == ("", "title", "")
    assert map_columns(["Author l-f", "ISBN"]) == ("authors", "isbn")
    assert map_columns(["Author l-f", "Author", "Contributor"]) == ("", "authors", "")


@pytest.mark.parametrize(("currency", "used"), [("EUR", 1), ("CHF", 0), ("GBP", 2), ("USD", 0)])
def test_of_several_prices_the_one_in_the_currency_of_the_shop_is_used(currency, used):
    mapping = map_columns(["Preis CHF", "Preis EUR", "GBP RRP"], currency)
    assert [index for index, field in enumerate(mapping) if field == "price"] == [used]


@pytest.mark.parametrize(
    ("header", "authors"),
    [
        (["Vorname", "Nachname"], ("first_names", "authors")),
        (["Author First Name", "Author Last Name"], ("first_names", "authors")),
        (["Nom", "Pr\u00e9nom", "Titre"], ("authors", "first_names", "title")),
        (["Nom auteur", "Pr\u00e9nom auteur"], ("authors", "first_names")),
        (["Nom", "ISBN"], ("title", "isbn")),
    ],
)
def test_first_and_last_names_may_have_columns_of_their_own(header, authors):
    assert map_columns(header) == authors


def test_quantities_of_an_order_are_not_stock():
    assert map_columns(["ISBN", "Menge", "Einzelpreis"]) == ("isbn", "stock_quantity", "price")
    assert map_columns(["Rechnungsnummer", "ISBN", "Menge", "Einzelpreis"]) == ("", "isbn", "", "")
    assert map_columns(["Invoice Date", "ISBN", "Quantity", "Unit Price", "Line Total"]) == ("", "isbn", "", "", "")
    assert map_columns(["ISBN", "verkauft", "Anzahl", "Umsatz"]) == ("isbn", "", "", "")
    assert map_columns(["Order number", "ISBN", "Qty", "Stock"]) == ("", "isbn", "", "stock_quantity")


def test_the_shops_own_export_is_mapped_as_it_is():
    assert map_columns(EXPORT_HEADER) == EXPORT_HEADER
    assert "book_id" not in map_columns(EXPORT_HEADER[:-1])


def test_every_name_of_a_column_belongs_to_a_field():
    assert {field for field, _rank in TABLE.values()} == set(FIELDS) - OF_ONE_PROGRAM


def test_known_names_are_counted():
    assert recognised(["ISBN", "Titel", "Warengruppe", "Bestand"]) == 3
    assert recognised(["9780141439587", "Emma", "Jane Austen", "9.50"]) == 0
    assert recognised(["x" * 100_000, "(" * 100_000]) == 0


def test_cells_that_are_not_blank_are_returned_by_field_and_several_are_joined():
    mapping = map_columns(["ISBN", "ISBN13", "Title", "Author", "Additional Authors", "Shelf"])
    cells = ["0141439580", "9780141439587", " Emma ", "Jane Austen", " ", "x"]
    assert fields_of(cells, mapping) == {
        "isbn": f"0141439580{JOINT}9780141439587",
        "title": " Emma ",
        "authors": "Jane Austen",
    }


@pytest.mark.parametrize(
    ("name", "currency"),
    [
        ("Preis \u20ac", "EUR"),
        ("Price (GBP)", "GBP"),
        ("VK-Preis in EUR", "EUR"),
        ("Price \u00a3", "GBP"),
        ("Preis", ""),
    ],
)
def test_the_currency_in_the_name_of_the_price_column_is_found(name, currency):
    header = ["Titel EUR", name]
    assert map_columns(header)[1] == "price"
    assert currency_of(header, map_columns(header)) == currency
