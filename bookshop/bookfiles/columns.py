"""Columns of files: which field of a book each of them has, by its name in the header."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from bookshop.kit.text import words

FIELDS = (
    "isbn",
    "sku",  # an article number, which is the ISBN if it has the digits of one
    "title",
    "subtitle",
    "authors",
    "first_names",  # of the authors, if another column has their last names
    "author_roles",  # of those after the first, in the export of LibraryThing
    "publisher",
    "language",
    "published_year",
    "original_year",  # of the work; counts if the edition's year is unknown
    "description",
    "price",  # in major units, as people write it
    "price_cents",  # in minor units
    "currency",
    "stock_quantity",
    "book_id",  # only in the shop's own export, like the next
    "withdrawn",
)
FIELD_WORDS = {
    "isbn": "ISBN",
    "sku": "article number, if it is an ISBN",
    "title": "title",
    "subtitle": "subtitle",
    "authors": "authors",
    "first_names": "first names of the authors",
    "author_roles": "roles of the further authors",
    "publisher": "publisher",
    "language": "language",
    "published_year": "year of publication",
    "original_year": "year of the first edition",
    "description": "description",
    "price": "price",
    "price_cents": "price in cents",
    "currency": "currency",
    "stock_quantity": "copies",
    "book_id": "number of the book in this shop",
    "withdrawn": "withdrawn",
}
OWN_FIELDS = frozenset({"book_id", "withdrawn"})  # which only the shop's own export has
OF_ONE_PROGRAM = OWN_FIELDS | {"author_roles"}  # fields that staff cannot choose for other files
EXPORT_HEADER = (
    "book_id",
    "isbn",
    "title",
    "authors",
    "publisher",
    "language",
    "published_year",
    "description",
    "price_cents",
    "currency",
    "stock_quantity",
    "withdrawn",
)
SEVERAL = ("isbn", "sku", "authors")  # fields that several columns may feed: `fields_of` keeps all their cells
JOINT = "\x1f"  # between the cells of such a field: a character that no cell may contain
LONGEST_NAME = 80  # characters of a column's name

# The names of columns, in English, German, French and Spanish, best first: if two columns fit a field that takes only
# one, the better name wins. Compared by `_key`, so "ISBN-13", "isbn_13" and "Isbn 13" are one name.
SYNONYMS = {
    "isbn": """isbn 13; isbn13; ean isbn; isbn ean; isbn ean13; isbn gtin; gtin upc ean or isbn; gtin upc ean oder
        isbn; gtin upc ean ou isbn; gtin upc ean o isbn; ean isbn13; isbn; isbn 10; isbn
        nr; isbn nummer; isbn number; isbn code; isbn no; no isbn; numero isbn; code isbn; isbn issn; asin isbn;
        isbn asin; ean; ean 13; ean code; ean nr; ean nummer; ean upc; upc ean; ean gtin; gtin; gtin 13; gtin ean;
        codigo ean; code ean; gencod; gencode; barcode; bar code; barcode ean; variant barcode; strichcode; code
        barre; code barres; code a barres; codigo de barras; product barcode""",
    "sku": """sku; variant sku; custom sku; artikelnummer; artikel nr; art nr; item number; item no; product code;
        product id; isbn uid; uid; reference; referencia; ref; numero article; codigo; code article; produktnummer;
        plu; asin 1; item code; stock code; upc; upc code; ugs; code""",
    "title": """title; titel; titre; titulo; book title; buchtitel; titre du livre; titulo del libro; full title;
        haupttitel; title of book; titel des buches; product title; product name; produktname; nom du produit;
        nombre del producto; produkttitel; item name; name; artikelname; artikelbezeichnung; bezeichnung; item
        title; item; kurztitel; libelle; designation; intitule; nom; tl; original title; originaltitel; titre
        original""",
    "subtitle": """subtitle; sub title; untertitel; sous titre; subtitulo; titelzusatz; zusatz zum titel;
        titelerganzung; complement de titre""",
    "authors": """author; authors; autor; autoren; autorin; autor in; autorinnen; autor innen; autoren innen;
        verfasser; verfasser in; verfasserin; auteur; auteurs; auteur s; auteur e; autora; autores; autor a; autor
        es; author s; author name; author names; author 1; author 2; author 3; author1; author2; author3; autor 1;
        autor 2; autor 3; auteur 1; auteur 2; book author; written by; writer; additional authors; primary author;
        secondary author; co author; first author; second author; contributor 1; author editor; autor hrsg; urheber;
        meta author; contributor name; verfasser herausgeber; ecrivain; escritor; main author; auteur principal; nom
        auteur; nom de l auteur; name des autors; author last name; last name author; autor nachname; nachname autor;
        autoria; creators; creator""",
    "first_names": """author first name; first name author; author first names; autor vorname; vorname autor; vorname
        des autors; prenom auteur; prenom de l auteur; nombre autor; nombre del autor; vorname; vornamen; prenom;
        prenoms; first name; first names""",
    "publisher": """publisher; publishers; publisher name; verlag; verlagsname; verlagshaus; editeur; maison d
        edition; nom editeur; editorial; editora; editorial name; imprint; publishing house; publishername; verlag
        name; editions; pubn; book publisher; meta publisher; hersteller verlag""",
    "language": """language; languages; language code; language of text; sprache; sprachen; sprachcode; textsprache;
        langue; langues; idioma; idiomas; lang; lengua; code langue; codigo de idioma; book language; meta language""",
    "published_year": """year published; published year; publication year; pub year; year of publication;
        erscheinungsjahr; jahr; erschienen; annee de parution; annee de publication; annee; annee d edition; ano de
        publicacion; ano de edicion; ano; anio; year; published date; publication date; date published; pub date;
        pubdate; date of publication; erscheinungsdatum; erscheinungstermin; et; erscheint; erscheinungstag; date de
        parution; date parution; date de publication; parution; fecha de publicacion; fecha publicacion; fecha de
        edicion; fecha edicion; release date; releasedate; date released; publishing date; copyright; copyright year;
        copyright date; yearpublished; pubpd; meta year; first published; on sale date""",
    "original_year": """original publication year; original year; year first published; ersterscheinungsjahr;
        erstveroffentlichung; annee de premiere parution""",
    "description": """description; beschreibung; descripcion; long description; langtext; inhalt; inhaltsangabe;
        klappentext; resume; body html; body; product description; produktbeschreibung; synopsis; blurb; annotation;
        kurzbeschreibung; short description; short annotation; summary; contenido; resumen; sinopsis; quatrieme de
        couverture; 4eme de couverture; zusammenfassung""",
    "price": """regular price; price; retail price; sales price; selling price; sell price; rrp; srp; msrp; list
        price; pvp; regularer preis; regulaerer preis; precio normal; tarif regulier; vk; vk preis; vkp; vk brutto;
        vk brutto preis; verkaufspreis; ladenpreis; preis; lp; eur preis; preis brutto; bruttopreis;
        bruttoverkaufspreis; endpreis; endkundenpreis; gebundener preis; einzelpreis; unit price; prix; prix ttc;
        prix de vente; prix de vente ttc; prix public; prix public ttc; prix editeur; prix unitaire; ppttc; pv ttc;
        pvttc; precio; precio de venta; precio venta; precio con iva; pvp con iva; variant price; price inc vat;
        price incl vat; price inc tax; price gross; gross price; cover price; us srp; gbp rrp; rrp inc vat; item
        price; default price; shop price; vlb preis; uvp; price amount; price gbp; price eur;
        gbp price; eur price; usd price; us list price; uk rrp; retail; evp; brutto vk; preis inkl mwst; preis inkl ust;
        preis inklusive mwst; prix vente ttc; prix en euros; precio venta publico; precio de venta al publico""",
    "price_cents": """price cents; price in cents; price in pence; preis in cent; prix en centimes""",
    "currency": """currency; currency code; wahrung; wahrungscode; wkz; devise; monnaie; moneda; divisa; cur; curr;
        price currency; waehrung""",
    "stock_quantity": """stock quantity; stock; stock level; stock on hand; quantity on hand; qty on hand; on hand;
        on hand current; in stock quantity; quantity in stock; qty in stock; current stock; current quantity; soh;
        qoh; bestand; lagerbestand; bestandsmenge; lagermenge; aktueller bestand; verfugbarer bestand; stock actuel;
        stock reel; stock disponible; stock physique; stock total; existencias; inventario; inventory; inventory
        quantity; inventory qty; variant inventory qty; variant inventory quantity; available quantity; quantity
        available; available stock; free stock; copies; copies in stock; exemplare; exemplaires; ejemplares;
        lager; lagerstand; ist bestand;
        bestand gesamt; gesamtbestand; stock qty; stock held; qty available; qte en stock; qte stock; quantite en stock;
        unidades en stock; stock actual; o h; unidades; stuck; stueck; stuckzahl; stueckzahl; anzahl; menge; quantity;
        qty; quantite; qte; cantidad; cant; units; anz; stk; uds; in stock""",
}
ONLY_ALONE = {
    "authors": """contributor; contributors; mitwirkende; author l f; author lf; author sort; authors sort; author
        last first; autor nachname vorname"""
}
# Columns whose names begin so: Square and Vend have one for each of the places of a business.
PREFIXES = {"currentquantity": "stock_quantity"}
SPANISH_PRICES = ("precio", "pvp", "precioventa", "precioventapublico", "precioconiva")  # in French, nombre is a number
# What names mean in the files of one program, which is known by the name of another column.
CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "primaryauthor": {  # LibraryThing
        **{"date": "published_year", "barcode": "", "summary": "", "comment": ""},
        "secondaryauthorroles": "author_roles",
    },
    "authorsort": {"comments": "description"},  # Calibre
    "bestbookid": {"isbn13": ""},  # the Goodbooks data set, whose ISBN-13s a spreadsheet has rounded
    "isbnuid": {"contributors": ""},  # StoryGraph: translators and narrators
    **{price: {"nombre": "title"} for price in SPANISH_PRICES},
    # WooCommerce, whose "In stock?" is a mark; the numbers are in "Stock" or "Inventario".
    "precionormal": {"nombre": "title", "existencias": "", "eninventario": ""},
    "regularprice": {"instock": ""},
    "vorname": {"nachname": "authors", "familienname": "authors", "name": "authors"},
    "prenom": {"nom": "authors"},
    "firstname": {"lastname": "authors", "surname": "authors"},
}
VEND_STOCK, VEND = "inventory", "supplyprice"
# A list that has one of these is an order or an invoice: its quantities are not stock, its prices may be net.
ORDERS = """order number; order no; order id; order date; bestellnummer; bestell nr; bestelldatum; auftragsnummer;
    lieferscheinnummer; lieferschein; rechnungsnummer; rechnungs nr; kundennummer; invoice number; invoice no;
    numero de commande; no commande; numero de facture; date de commande; numero de pedido; numero de factura;
    quantity ordered; bestellmenge; ordered;
    invoice date; rechnungsdatum; date de facture; line total; line value; net value; nett value; zeilensumme; your ref;
    your reference; umsatz; verkauft; verkaufte exemplare; units sold; qty sold; quantity sold; net sales; vendus;
    unidades vendidas"""
ORDERED = """unit price; einzelpreis; prix unitaire; copies; exemplare; exemplaires; ejemplares; unidades; stuck;
    stueck; stuckzahl; stueckzahl; anzahl; menge; quantity; qty; quantite; qte; cantidad; cant; units"""
BRACKETS = re.compile(r"[(\[]([^()\[\]]*)[)\]]\s*$")  # "Price (EUR)", "ISBN (product.metafields.custom.isbn)"
HARMLESS = re.compile(
    r"product\.metafields\..*|required|optional|pflichtfeld|brutto|ttc|(inc|incl|inkl)\.? (vat|tax|mwst\.?|ust\.?)|"
    r"(imp|iva)\.? incl\.?|de?|stk\.?|st\.?|st\u00fcck"
)
COMMON_CURRENCIES = ("eur", "gbp", "usd", "chf", "cad", "aud", "nzd", "sek", "dkk", "nok", "pln", "czk", "jpy", "zar")


def map_columns(header: Sequence[str], currency: str = "") -> tuple[str, ...]:
    """Return the field of each column, "" if the shop has no use for it.

    `EXPORT_HEADER` is mapped as it is. Of several columns for one field, the one with the best name is mapped, except
    that all columns of ISBNs, article numbers and authors are. Of several prices, one in `currency` comes first.
    """
    if is_export(header):
        return EXPORT_HEADER
    ranked = [
        (field, rank + FOREIGN * (field == "price" and _is_foreign(name, currency)))
        for name, (field, rank) in zip(header, _ranked(header), strict=True)
    ]
    best: dict[str, int] = {}
    for field, rank in ranked:
        best[field] = min(rank, best.get(field, rank))
    mapping = []
    for field, rank in ranked:
        several = field in SEVERAL and (rank < ALONE or best[field] >= ALONE)
        mapping.append(field if several or (field and rank == best[field] and field not in mapping) else "")
    return tuple(mapping)


def is_export(header: Sequence[str]) -> bool:
    """Return whether a header is exactly that of the shop's own export, whose values are read verbatim."""
    return tuple(name.strip() for name in header) == EXPORT_HEADER


def recognised(header: Sequence[str]) -> int:
    """Count the columns with a known name, to find the header and the separator of a file."""
    return sum(1 for field, _rank in _ranked(header) if field)


def fields_of(cells: Sequence[str], mapping: Sequence[str]) -> dict[str, str]:
    """Return the cells of a line that are not blank, by field; joins those of ISBNs and of authors with `JOINT`."""
    fields: dict[str, str] = {}
    for cell, field in zip(cells, mapping, strict=False):
        if not field or not cell.strip():
            continue
        if field not in fields:
            fields[field] = cell.replace(JOINT, " ") if field in SEVERAL else cell
        elif field in SEVERAL:
            fields[field] += JOINT + cell.replace(JOINT, " ")
    return fields


def missing_columns(mapping: Sequence[str]) -> str:
    """Return the sentence that says which columns an import cannot do without; "" if none is missing.

    A list with nothing but ISBNs can change books that the shop has.
    """
    used = set(mapping)
    if used & {"isbn", "sku"} or {"title", "authors"} <= used:
        return ""
    missing = [name for name in ("title", "authors") if name not in used]
    return f"No column has been recognised as {' or '.join(missing)}, nor one as the ISBN. Choose the columns."


def unused_columns(header: Sequence[str], mapping: Sequence[str]) -> list[str]:
    """Return the names of the columns that are not used."""
    columns = enumerate(zip(header, mapping, strict=True), start=1)
    return [column_name(name, number) for number, (name, field) in columns if not field]


def column_name(name: str, number: int) -> str:
    """Return the name of a column, or "column 3" if it has none."""
    return name.strip() or f"column {number}"


def currency_of(header: Sequence[str], mapping: Sequence[str]) -> str:
    """Return the currency that the name of the price column has, as in "Price (EUR)" or "Preis €"; "" if none."""
    for name, field in zip(header, mapping, strict=False):
        if field == "price":
            codes = _currencies_in(name)
            return codes[0] if len(codes) == 1 else ""
    return ""


def _currencies_in(name: str) -> list[str]:
    return [word.upper() for word in words(name[:LONGEST_NAME]) if word in COMMON_CURRENCIES]


def _is_foreign(name: str, currency: str) -> bool:
    """Return whether the name of a price column has a currency, but not this one."""
    return bool(currency and (codes := _currencies_in(name)) and currency not in codes)


def _ranked(header: Sequence[str]) -> list[tuple[str, int]]:
    """Return the field of each column by its name, with the rank of the name; smaller is better."""
    keys = [_key(name[:LONGEST_NAME]) for name in header]
    known = set(keys)
    contexts = {name: field for marker, names in CONTEXTS.items() if marker in known for name, field in names.items()}
    if known & ORDER_KEYS:
        contexts |= dict.fromkeys(ORDERED_KEYS, "")
    ranked = []
    for name, key in zip(header, keys, strict=True):
        if key.startswith(VEND_STOCK) and VEND in known:
            ranked.append(("stock_quantity", 0))
        elif key in contexts:
            ranked.append((contexts[key], 0))
        else:
            ranked.append(_known(name[:LONGEST_NAME]))
    return ranked


@lru_cache(maxsize=4_000)
def _known(name: str) -> tuple[str, int]:
    """Return the field of a column by its own name, with the rank of that name; ("", 0) if it is unknown."""
    key = _key(name)
    if key in TABLE:
        return TABLE[key]
    for prefix, field in PREFIXES.items():
        if key.startswith(prefix):
            return field, 0
    if (bracket := BRACKETS.search(name)) and HARMLESS.fullmatch(bracket[1].strip().lower()):
        return _known(name[: bracket.start()].strip())
    return TABLE[plain] if TABLE.get(plain := _without_currency(key), ("", 0))[0] == "price" else ("", 0)


def _without_currency(key: str) -> str:
    """Return the key of a price without the currency at its end: "preiseur" and "preisineur" give "preis"."""
    for code in COMMON_CURRENCIES:
        if key.endswith(code):
            plain = key.removesuffix(code)
            return plain if plain in TABLE else plain.removesuffix("in").removesuffix("en")
    return key


@lru_cache(maxsize=4_000)
def _key(name: str) -> str:
    """Reduce a name to what counts in a comparison: lower-case letters and digits without accents."""
    meta = name.strip().lower().removeprefix("meta:").lstrip(" _")
    return "".join(words(meta))


def _keys(names: str) -> list[str]:
    """Return the keys of names separated by semicolons."""
    return [_key(name) for name in names.split(";")]


def _table() -> dict[str, tuple[str, int]]:
    table: dict[str, tuple[str, int]] = {}
    for field, names in SYNONYMS.items():
        for rank, key in enumerate(_keys(names)):
            table.setdefault(key, (field, rank))
    for field, names in ONLY_ALONE.items():
        table.update((key, (field, ALONE + rank)) for rank, key in enumerate(_keys(names)))
    return table


FOREIGN = 500  # added to the rank of a price in another currency
ALONE = 1_000  # the rank from which a name counts only if no better one is there
ORDER_KEYS = frozenset(_keys(ORDERS))
ORDERED_KEYS = frozenset(_keys(ORDERED))
TABLE = _table()
