"""`flask books import`: what is imported, what is refused and why, and that a second run changes nothing."""

from typing import Any

import pytest
from click.testing import Result

from bookshop.imports.runner import check_file, write_checked
from tests.support.clients import ApiClient

OWN = "isbn,title,authors,publisher,language,published_year,description,price_cents,currency,stock_quantity\n"
GOODBOOKS = "book_id,isbn,isbn13,authors,original_publication_year,original_title,title,language_code\n"
SHORT = "title,authors,price_cents\n"
COLUMNS = OWN.strip().replace("isbn,", "", 1)


@pytest.fixture
def run(app, tmp_path):
    """Import a file's bytes or text by the command; return its result."""

    def run_import(content, *options):
        path = tmp_path / "books.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return app.test_cli_runner().invoke(args=["books", "import", str(path), *options])

    return run_import


def counts(result: Result) -> str:
    """Return the counts in the last line that the command prints; they add up to the lines that were read."""
    assert result.exit_code == 0, result.output
    lines, _read, outcomes = result.stdout.splitlines()[-1].partition(" lines read: ")
    assert int(lines) == sum(int(outcome.split()[0]) for outcome in outcomes.split(", "))
    return outcomes


def refused(result: Result) -> dict[int, str]:
    """Return the refused lines: line number -> reason."""
    found = [line.removeprefix("line ").partition(": ") for line in result.stderr.splitlines() if line[:5] == "line "]
    return {int(number): reason for number, _colon, reason in found}


def test_the_native_columns_give_every_field_of_a_book(shop, run):
    line = '0-14-143958-0,Émma,"Austen, Jane",Penguin,en,1815,"One ""village"".\nNo ball.",950,GBP,3\n'
    assert counts(run(OWN + line)) == "1 added, 0 updated, 0 unchanged, 0 refused"
    assert shop.rows(f"SELECT isbn, {COLUMNS} FROM books") == [
        ("9780141439587", "Émma", "Jane Austen", "Penguin", "en", 1815, 'One "village".\nNo ball.', 950, "GBP", 3)
    ]
    assert shop.broken() == []


def test_goodbooks_columns_are_understood_and_lost_zeros_restored(shop, run):
    line = '7,141439580,9.78014e+12,Jane Austen,1815.0,Emma,"Emma (Highbury, #1)",eng\n'
    assert counts(run(GOODBOOKS + line, "--price-cents", "950")) == "1 added, 0 updated, 0 unchanged, 0 refused"
    assert shop.rows("SELECT isbn, title, authors, published_year, language, price_cents, currency FROM books") == [
        ("9780141439587", "Emma (Highbury, #1)", "Jane Austen", 1815, "en", 950, "EUR")
    ]


@pytest.mark.parametrize(
    "content",
    [
        SHORT + "Emma,Jane Austen,950\n",
        SHORT + "Emma,Jane Austen,950",
        "\ufeff" + SHORT + "Emma,Jane Austen,950\n",
        (SHORT + "Emma,Jane Austen,950\n").replace("\n", "\r\n"),
        " Title , AUTHORS,Price_Cents\nEmma,Jane Austen,950\n",
        SHORT + '"Emma","Jane Austen","950"\n\n\n',
        SHORT + " Emma ,\u00a0Jane Austen , 950 \n",
        "authors,rating,title,price_cents\nJane Austen,5,Emma,950\n",
    ],
    ids=["plain", "no last line end", "BOM", "CRLF", "header", "quoted, empty lines", "blanks", "order, other columns"],
)
def test_csv_dialects_and_encodings_are_recognised(shop, run, content):
    assert counts(run(content)) == "1 added, 0 updated, 0 unchanged, 0 refused"
    assert shop.rows("SELECT title, authors, price_cents FROM books") == [("Emma", "Jane Austen", 950)]


def test_the_same_file_again_changes_nothing(shop, run):
    content = OWN + "9780141439587,Emma,Jane Austen,,en,1815,,950,EUR,3\n,Émile,Rousseau,,,,,700,EUR,\n"
    assert counts(run(content)) == "2 added, 0 updated, 0 unchanged, 0 refused"
    before = shop.everything()
    assert counts(run(content)) == "0 added, 0 updated, 2 unchanged, 0 refused"
    assert shop.everything() == before


def test_a_known_book_is_updated_by_isbn_else_by_title_and_authors(shop, run, api_client):
    by_isbn, by_title = shop.book("Emma", isbn="9780141439587"), shop.book("Persuasion")
    content = "isbn,title,authors,price_cents\n141439580,Emma!,J. Austen,1290\n,Persuasion,Jane Austen,1000\n"
    assert counts(run(content)) == "0 added, 2 updated, 0 unchanged, 0 refused"
    assert shop.rows("SELECT id, title, price_cents FROM books ORDER BY id") == [
        (by_isbn, "Emma!", 1290),
        (by_title, "Persuasion", 1000),
    ]
    found = api_client().get("/api/v1/books", q="j austen", sort="title")
    assert [book["title"] for book in found.json["items"]] == ["Emma!", "Persuasion"]


def test_empty_cells_leave_fields_unchanged(shop, run):
    shop.book(isbn="9780141439587", publisher="Penguin", language="en", stock=3)
    before = shop.everything()
    assert counts(run(OWN + "9780141439587,Emma,Jane Austen,,,,,,,\n")) == "0 added, 0 updated, 1 unchanged, 0 refused"
    assert shop.everything() == before


def test_default_price_and_stock_apply_to_new_books_without_their_own(shop, run):
    shop.book("Emma", price_cents=950)
    content = "title,authors,price_cents,stock_quantity\nEmma,Jane Austen,,\nA,B,,\nC,D,700,0\n"
    result = run(content, "--price-cents", "1290", "--stock", "4")
    assert counts(result) == "2 added, 0 updated, 1 unchanged, 0 refused"
    assert shop.rows("SELECT title, price_cents, stock_quantity FROM books ORDER BY id") == [
        ("Emma", 950, 0),
        ("A", 1290, 4),
        ("C", 700, 0),
    ]
    assert shop.broken() == []


def test_new_books_without_a_price_are_counted_and_a_later_import_can_price_them(shop, run):
    result = run("title,authors\nEmma,Jane Austen\n")
    assert "without a price" in result.stdout
    assert counts(result) == "1 added, 0 updated, 0 unchanged, 0 refused"
    assert counts(run("title,authors\nEmma,Jane Austen\n", "--price-cents", "950")).startswith("0 added, 1 updated")
    assert counts(run("title,authors\nEmma,Jane Austen\n", "--price-cents", "1")).startswith("0 added, 0 updated")
    assert shop.rows("SELECT price_cents FROM books") == [950]


REFUSED = {
    "wrong digit": (b"9780141439588,Emma,Jane Austen,950", "check digit"),
    "no ISBN": (b"123456789012,Emma,Jane Austen,950", "10 or 13 digits"),
    "no title": (b"9780141439587,,Jane Austen,950", "no title to add one"),
    "blank title": (b"9780141439587,   ,Jane Austen,950", "title"),
    "no authors": (b"9780141439587,Emma,,950", "no authors to add one"),
    "too few": (b"9780141439587,Emma,Jane Austen", "has 3 columns, but the header has 4"),
    "too many": (b"9780141439587,Emma,Austen, Jane,950", "has 5 columns, but the header has 4"),
    "NUL": (b"9780141439587,Em\x00ma,Jane Austen,950", "title must not contain control characters"),
    "too long": (b"9780141439587," + b"x" * 501 + b",Jane Austen,950", "title must have at most 500 characters"),
    "price": (b"9780141439587,Emma,Jane Austen,9.50", "price in cents must be a whole number"),
    "negative": (b"9780141439587,Emma,Jane Austen,-1", "price in cents must be at least 0"),
    "too dear": (b"9780141439587,Emma,Jane Austen,9223372036854775808", "price in cents must be at most 100000000"),
    "huge cell": (b"9780141439587,Emma," + b"x" * 200_000 + b",950", "CSV"),
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_line_is_reported_with_its_number_and_reason_and_does_not_stop_the_rest(shop, run, line, reason):
    good = b"isbn,title,authors,price_cents\n,First,A,1\n"
    result = run(good + line + b"\n,Last,B,1\n")
    assert counts(result) == "2 added, 0 updated, 0 unchanged, 1 refused"
    assert list(refused(result)) == [3]
    assert reason in refused(result)[3]
    assert shop.rows("SELECT title FROM books ORDER BY id") == ["First", "Last"]


def test_a_second_line_for_the_same_book_is_refused_and_names_the_first(run):
    content = "isbn,title,authors,price_cents\n9780141439587,A,B,1\n0141439580,C,D,2\n,E,F,3\n,E,F,4\n"
    result = run(content)
    same = "describes the same book as line "
    assert refused(result) == {3: f"{same}2", 5: f"{same}4"}
    assert counts(result) == "2 added, 0 updated, 0 unchanged, 2 refused"


def test_lines_of_a_book_with_and_without_its_isbn_keep_its_ledger_consistent(shop, run):
    shop.reserve(shop.customer(), shop.book("Emma", isbn="9780141439587"))
    content = "isbn,title,authors,stock_quantity\n9780141439587,Emma,Jane Austen,3\n,Emma,Jane Austen,5\n"
    assert run(content).exit_code == 0
    assert shop.broken() == []


def test_line_numbers_are_those_of_the_file_even_after_multi_line_cells(run):
    content = 'title,authors,price_cents,description\nA,B,1,"one\ntwo\nthree"\n\n,B,1,\nC,D,x,"a\nb"\n,,1,\n'
    assert list(refused(run(content))) == [6, 7, 9]


def test_line_numbers_are_right_across_batches(run):
    lines = ["Book,Author,x" if number % 500 == 0 else f"Book {number},Author,1" for number in range(2, 1502)]
    result = run(SHORT + "\n".join(lines))
    assert list(refused(result)) == [500, 1000, 1500]
    assert counts(result) == "1497 added, 0 updated, 0 unchanged, 3 refused"


def test_all_errors_of_a_line_are_reported(run):
    reason = refused(run("isbn,title,authors,price_cents\n1,,Jane Austen,x\n"))[2]
    assert all(name in reason for name in ("ISBN", "title", "price in cents"))


def test_an_import_that_restocks_a_book_notifies_with_an_import_movement(shop, run):
    emma, other = shop.book("Emma"), shop.book("Persuasion", stock=2)
    for user_id in shop.customers(2):
        shop.reserve(user_id, emma)
    content = "title,authors,stock_quantity\nEmma,Jane Austen,3\nPersuasion,Jane Austen,5\n"
    assert run(content).stdout.splitlines()[-2:] == [
        "customers notified: 2",
        "2 lines read: 0 added, 2 updated, 0 unchanged, 0 refused",
    ]
    assert (shop.statuses(emma), shop.stock(emma), shop.stock(other)) == (["notified"] * 2, 3, 5)
    movements = shop.rows("SELECT delta, quantity_after, user_id FROM movements WHERE reason = 'import' ORDER BY id")
    assert movements == [(3, 3, None), (3, 5, None)]
    assert shop.broken() == []


def test_a_script_sees_that_an_import_restocked_its_book(shop, run, app):
    shop.customer("ada@example.com")
    ada = ApiClient(app, "ada@example.com")
    made = ada.reserve(shop.book("Emma"))
    run("title,authors,stock_quantity\nEmma,Jane Austen,1\n")
    seen: Any = ada.get(made.headers["Location"]).json
    assert seen["status"] == "notified"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("first,second\nEmma,Jane Austen\n", "title or authors"),
        ("title,price\nEmma,9.50\n", "authors"),
        ("x" * 200_000, "not a table"),
        ("isbn\n9780141439587\n", "not a table"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "picture"),
    ],
    ids=["empty", "blank", "other", "no authors", "one cell", "one column", "PNG"],
)
def test_a_file_that_is_no_table_of_books_is_refused_with_a_clear_message(shop, run, content, reason):
    result = run(content, "--price-cents", "950")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert reason in result.stderr
    assert shop.rows("SELECT id FROM books") == []


def test_a_file_with_only_a_header_adds_nothing(run):
    assert counts(run(SHORT)) == "0 added, 0 updated, 0 unchanged, 0 refused"


@pytest.mark.parametrize("options", [["--price-cents", "-1"], ["--stock", "1000001"], ["--stock", "many"]])
def test_invalid_options_are_refused(shop, run, options):
    assert run(SHORT + "Emma,Jane Austen,950\n", *options).exit_code == 2
    assert shop.rows("SELECT id FROM books") == []


def test_a_withdrawn_book_in_a_file_stays_withdrawn(shop, run):
    book_id = shop.book("Emma")
    shop.withdraw(book_id)
    assert counts(run(SHORT + "Emma,Jane Austen,950\n")) == "0 added, 0 updated, 1 unchanged, 0 refused"
    assert shop.rows("SELECT withdrawn_at IS NOT NULL FROM books") == [True]


def test_the_service_reports_and_commits_batch_by_batch(shop, tmp_path):
    lines = "\n".join(f"Book {number},Author,1" for number in range(501))
    path = tmp_path / "books.csv"
    path.write_text(SHORT + lines)
    with shop.app.app_context():
        reports = write_checked(check_file(path))
        assert next(reports).added == 500
        assert shop.rows("SELECT count(*) FROM books") == [500]
        assert [report.added for report in reports] == [1]


@pytest.mark.prove
def test_the_10000_real_books_are_imported_and_a_second_run_changes_nothing(app, repository_root):
    path = repository_root.parent / "shared" / "data" / "goodbooks-10k-books.csv"
    if not path.exists():
        pytest.skip(f"NOT TESTED ON THE 10,000 REAL BOOKS: there is no {path}")
    command = ["books", "import", str(path), "--price-cents", "1290", "--stock", "0"]
    first, second = (counts(app.test_cli_runner().invoke(args=command)) for _ in range(2))
    assert first == "9977 added, 0 updated, 0 unchanged, 23 refused"
    assert second == "0 added, 0 updated, 9977 unchanged, 23 refused"
    found: Any = ApiClient(app).get("/api/v1/books", q="harr pott rowl").json
    assert found["total"] >= 7
