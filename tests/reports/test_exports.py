"""The lists that staff export by command: what is in them, and that exported books come back unchanged."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from python_calamine import CalamineWorkbook

from bookshop.bookfiles.columns import EXPORT_HEADER
from bookshop.inventory.service import StockChange
from bookshop.reports.exports import EXPORTS, cells_of
from bookshop.web import services
from tests.support.factories import PASSWORD, Shop, isbn

pytestmark = pytest.mark.one_postgresql_case

ISBN = "9780141439587"
LISTS = list(EXPORTS)


@pytest.fixture
def run(app: Flask) -> Callable[..., Result]:
    """Run a command: run("books", "export", ...)."""
    return lambda *words: app.test_cli_runner().invoke(args=[str(word) for word in words])


@pytest.fixture
def exported(run: Callable[..., Result]) -> Callable[[str], list[list[str]]]:
    """Export a list as CSV; return its lines without the header."""

    def exported(name: str) -> list[list[str]]:
        result = run("books", "export", name, "-")
        assert result.exit_code == 0, result.output
        return list(csv.reader(io.StringIO(result.stdout_bytes.decode("utf-8-sig"), newline="")))[1:]

    return exported


def fill(shop: Shop) -> None:
    """Create books, orders and reservations; one customer has deleted the account."""
    ada, eve = shop.customer("ada@example.com"), shop.customer("eve@example.com")
    emma = shop.book("Emma", isbn=ISBN, stock=5)
    persuasion, sanditon = shop.book("=Persuasion", price_cents=0), shop.book("Sanditon", currency="JPY")
    staff = shop.staff()
    shop.order(ada, {emma: 2}, phone="030 5550 173", note="Ring twice")
    shop.change_order(shop.order(eve, {emma: 1}), "ready", staff)
    shop.change_order(2, "collected", staff)
    shop.reserve(eve, persuasion)
    shop.cancel(ada, shop.reserve(ada, persuasion))
    shop.reserve(ada, persuasion)
    shop.set_stock(persuasion, 1)
    shop.set_stock(persuasion, 0)
    shop.reserve(ada, persuasion)
    shop.reserve(ada, sanditon)
    shop.commit(lambda: services.people().delete(eve, PASSWORD))
    shop.withdraw(shop.book("The Watsons"))


def test_books_have_every_field_as_it_is_stored(shop, exported):
    facts = {"publisher": "T. Egerton", "language": "en", "published_year": -700, "description": 'One "two"\nthree'}
    shop.book("Émma", isbn=ISBN, stock=3, **facts)
    shop.withdraw(shop.book("Persuasion", authors="Austen, Jane", currency="JPY"))
    assert exported("books") == [
        ["1", ISBN, "Émma", "Jane Austen", *map(str, facts.values()), "950", "EUR", "3", "no"],
        ["2", "", "Persuasion", "Austen, Jane", "", "", "", "", "950", "JPY", "0", "yes"],
    ]


def test_stock_is_sorted_by_title_and_counts_copies_for_orders_and_waiting_customers(shop, exported):
    fill(shop)
    assert exported("stock") == [
        [ISBN, "Emma", "Jane Austen", "9.50", "EUR", "2", "2", "0", "no"],
        ["", "'=Persuasion", "Jane Austen", "", "EUR", "0", "0", "1", "no"],
        ["", "Sanditon", "Jane Austen", "950", "JPY", "0", "0", "1", "no"],
        ["", "The Watsons", "Jane Austen", "9.50", "EUR", "0", "0", "0", "yes"],
    ]


def test_orders_have_a_line_for_each_book_and_nothing_of_deleted_accounts(shop, exported):
    fill(shop)
    numbers = shop.rows("SELECT number FROM orders ORDER BY id")
    first, second = exported("orders")
    book = [ISBN, "Emma", "Jane Austen"]
    assert first[:3] + first[4:] == [
        *(numbers[0], "placed", "collect", "", "", ""),
        *("Ada Lovelace", "ada@example.com", *book, "2", "9.50", "19.00", "EUR", "", ""),
    ]
    assert [bool(cell) for cell in second[3:7]] == [True, True, True, False]
    assert second[:3] + second[7:] == [
        numbers[1],
        "collected",
        "collect",
        "",
        "",
        *book,
        "1",
        "9.50",
        "9.50",
        "EUR",
        "",
        "",
    ]


def test_reservations_have_their_times_and_nothing_of_deleted_accounts(shop, exported):
    fill(shop)
    lines = exported("reservations")
    assert [(line[1], line[3], [bool(cell) for cell in line[4:7]], line[7]) for line in lines] == [
        ("'=Persuasion", "notified", [True, True, False], ""),
        ("'=Persuasion", "cancelled", [True, False, True], "ada@example.com"),
        ("'=Persuasion", "notified", [True, True, False], "ada@example.com"),
        ("'=Persuasion", "waiting", [True, False, False], "ada@example.com"),
        ("Sanditon", "waiting", [True, False, False], "ada@example.com"),
    ]


def test_demand_is_the_same_as_in_json(shop, exported, api_client):
    fill(shop)
    items = api_client("staff@example.com").get("/api/v1/reports/demand").json["items"]
    assert list(EXPORTS["demand"].header) == list(items[0])
    for line, item in zip(exported("demand"), items, strict=True):
        since = line.pop(6), item.pop("waiting_since")
        assert datetime.fromisoformat(since[0]) == datetime.fromisoformat(since[1]).replace(microsecond=0)
        assert line == ["" if cell is None else str(cell).replace("=P", "'=P") for cell in item.values()]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_read_in_small_chunks_is_the_same_list(shop, name):
    fill(shop)
    for number in range(3):
        shop.reserve(shop.customer(f"c{number}@example.com"), shop.book(f"Volume {number}"))
    with shop.app.app_context():
        whole, *others = (
            list(map(tuple, cells_of(replace(EXPORTS[name], chunk=chunk), services.reading_session)))
            for chunk in (1000, 1, 2)
        )
    assert (len(whole) > 1, others) == (True, [whole, whole])


@pytest.mark.every_case
@pytest.mark.parametrize("name", LISTS)
def test_an_empty_shop_gives_files_with_only_a_header(run, name, tmp_path):
    header = ",".join(EXPORTS[name].header)
    assert run("books", "export", name, "-").stdout_bytes.decode("utf-8-sig") == f"{header}\r\n"
    file = tmp_path / "list.xlsx"
    assert run("books", "export", name, file).stderr == "0 lines exported.\n"
    assert sheet_in(file) == [list(EXPORTS[name].header)]


def sheet_in(file: Path) -> list[list[Any]]:
    return CalamineWorkbook.from_path(file).get_sheet_by_index(0).to_python()


def test_an_excel_file_has_isbns_as_texts_and_prices_and_times_as_such(shop, run, tmp_path):
    fill(shop)
    file = tmp_path / "orders"
    result = run("books", "export", "orders", "--format", "xlsx", file)
    assert (result.exit_code, result.stderr) == (0, "2 lines exported.\n")
    line = dict(zip(*sheet_in(file)[:2], strict=True))
    assert [line[name] for name in ("ISBN", "Copies", "Price", "Total", "Ready")] == [ISBN, 2, 9.5, 19, ""]
    assert isinstance(line["Placed"], datetime)


def test_times_are_those_of_the_shop(shop, run, exported, tmp_path):
    shop.order(shop.customer("ada@example.com"), {shop.book("Emma", stock=3): 1})
    shop.execute("UPDATE orders SET created_at = '2026-12-31 23:30:00'")
    shop.describe(time_zone="Europe/Berlin")
    placed = EXPORTS["orders"].header.index("Placed")
    assert exported("orders")[0][placed] == "2027-01-01T00:30:00+01:00"
    run("books", "export", "orders", tmp_path / "orders.xlsx")
    assert sheet_in(tmp_path / "orders.xlsx")[1][placed] == datetime(2027, 1, 1, 0, 30)


def test_an_excel_file_can_go_to_the_standard_output(shop, run):
    shop.book("Emma")
    content = run("books", "export", "stock", "--format", "xlsx", "-").stdout_bytes
    lines = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()
    assert [line[1] for line in lines] == ["Title", "Emma"]


@pytest.mark.parametrize("words", [["covers", "-"], ["books", "-", "--format", "pdf"], ["books", "/no/such/folder/a"]])
def test_an_export_that_is_impossible_says_why(run, words):
    result = run("books", "export", *words)
    assert (result.exit_code > 0, result.stderr.count("Error: ")) == (True, 1)


# ---------------------------------------------------------------- the way back

DIFFICULT = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''-1", "'Tis", "\uff1d1", "https://example.com/"),
    *("9780141439587", "007", "1e5", "TRUE", "#N/A", "2026-01-02", "12,50", "ISBN", "title"),
    *("A; B", "Kafka, Franz", "a\u2028b", 'a "quoted" word', "it's", "a|b", "`", "«Émile»", "<r>x</r>", "_x0041_"),
    *("حرب وسلام", "א‎", "\N{BOOKS}", "C++", "C#", "***", "The", "x" * 400),
]
DESCRIPTIONS = ["one\n\ntwo", "a,b;c\td", '"', "'", "-", "\N{BOOKS}" * 100, None]


def book(index: int) -> dict[str, Any]:
    """Return the values of a book that is difficult to write or to read; two in three have an ISBN."""
    text, number = DIFFICULT[index % len(DIFFICULT)], index if index >= len(DIFFICULT) else ""
    price, currency = [(950, "EUR"), (0, "EUR"), (1290, "JPY"), (12_345, "KWD")][index % 4]
    return {
        **{"isbn": isbn() if index % 3 else None, "title": f"{text} {number}".strip()},
        "authors": DIFFICULT[-1 - index % len(DIFFICULT)],
        "publisher": text[:200] if index % 2 else None,
        "description": DESCRIPTIONS[index % len(DESCRIPTIONS)],
        **{"published_year": [1815, -700, None][index % 3], "language": ["en", "fr-CA"][index % 2]},
        **{"price_cents": price, "currency": currency},
    }


def add(shop: Shop, rows: Sequence[dict[str, Any]]) -> None:
    ids = shop.commit(lambda: services.catalog().create_all(rows))
    stock = [StockChange(book_id=book_id, quantity=book_id % 3) for book_id in ids if book_id % 3]
    shop.commit(lambda: services.shelf().update_stocks(stock))


def unchanged(number: int) -> str:
    """Return the last line of an import that changes nothing."""
    return f"{number} lines read: 0 added, 0 updated, {number} unchanged, 0 refused"


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("number", [len(DIFFICULT), pytest.param(10_000, marks=pytest.mark.prove)])
def test_exported_books_come_back_unchanged(shop, run, tmp_path, kind, number):
    add(shop, [book(index) for index in range(number)])
    file, before = tmp_path / f"books.{kind}", shop.rows("SELECT * FROM books ORDER BY id")
    assert run("books", "export", "books", file).exit_code == 0
    result = run("books", "import", file)
    assert result.stdout.splitlines()[-1] == unchanged(number), result.output[:5000]
    assert shop.rows("SELECT * FROM books ORDER BY id") == before


def test_a_book_without_an_isbn_and_its_twin_with_one_come_back_unchanged(shop, run, tmp_path):
    for number in (None, ISBN):
        shop.book("Emma", isbn=number, stock=2)
    run("books", "export", "books", tmp_path / "books.csv")
    result = run("books", "import", tmp_path / "books.csv")
    assert result.stdout.splitlines()[-1] == unchanged(2), result.output


def test_the_header_is_the_one_that_the_import_recognises():
    assert EXPORTS["books"].header == EXPORT_HEADER
