"""The examples of docs/api.md, extracted and run unchanged against a demo shop under gunicorn."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask

from bookshop.cli.demo import STAFF_EMAIL
from bookshop.config import ROOT
from bookshop.inventory.service import StockChange
from bookshop.web import services
from tests.browser.server import SHOP, environment, served
from tests.support.factories import Shop
from tests.support.settings import settings_for

pytestmark = [pytest.mark.prove, pytest.mark.one_postgresql_case]

PAGE = (ROOT / "docs/api.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EMMA, SUN, KINDRED, FIRE, PERSEPOLIS = (
    *("9780141439587", "9780007200283", "9780807083697"),
    *("9780679744726", "9782844140586"),
)
STOCKS, RESERVE, WATCH, DEMAND, DELIVERY = (
    "Nightly: set the stocks from a file",
    "Reserve for a customer",
    "Watch what comes back",
    "Export the demand",
    "Take in a delivery",
)
TRY_AGAIN, IF_MATCH = "Trying again", "Changing only what you saw"
JOBS = (STOCKS, RESERVE, WATCH, DEMAND, DELIVERY)
TOOLS = ("bash", "curl", "jq")
ADA = "ada@example.com"
in_both = pytest.mark.parametrize("language", ["bash", "python"])

Run = Callable[..., subprocess.CompletedProcess[str]]


def blocks() -> dict[tuple[str, str], str]:
    """Return the examples of the page, by heading and language."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    chapters = list(zip(parts[1::2], parts[2::2], strict=True))
    found = [((heading, language), code) for heading, text in chapters for language, code in BLOCK.findall(text)]
    assert len(found) == len(dict(found)), "a chapter has two examples in one language"
    return dict(found)


@pytest.fixture(scope="module")
def address(shared_app: Flask, database_url: str) -> Iterator[str]:
    with served(SHOP, environment(settings_for(database_url))) as address:
        yield address


@pytest.fixture
def demo(app: Flask, shop: Shop) -> Shop:
    """The shop of `make run`."""
    assert app.test_cli_runner().invoke(args=["demo"]).exit_code == 0
    return shop


@pytest.fixture
def run(tmp_path: Path, address: str) -> Run:
    """Run an example in a separate folder, with a token and arguments."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs {', '.join(missing)}")
        pytest.skip(f"EXAMPLES OF docs/api.md NOT TESTED: {', '.join(missing)} missing")

    def run(
        heading: str, language: str, token: str, *given: str, base: str = address
    ) -> subprocess.CompletedProcess[str]:
        program = [sys.executable] if language == "python" else ["bash"]
        named = [] if language == "python" else ["bash"]
        command = [*program, "-c", blocks()[heading, language], *named, *given]
        environ = {"PATH": os.environ["PATH"], "BASE": base, "TOKEN": token}
        return subprocess.run(
            command, check=False, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
        )

    return run


LOCAL = "http://127.0.0.1:5000"


def token_of(shop: Shop, email: str, *scopes: str) -> str:
    return shop.commit(lambda: services.accounts().create_token(shop.id_of(email), "script", scopes))


def id_of(shop: Shop, isbn: str) -> int:
    return int(shop.rows("SELECT id FROM books WHERE isbn = :isbn", isbn=isbn)[0])


def stocks(shop: Shop, *isbns: str) -> list[int]:
    return [shop.stock(id_of(shop, isbn)) for isbn in isbns]


def ledger(shop: Shop, isbn: str) -> list[tuple[int, str, str]]:
    """Return a book's ledger entries with notes; the demo's own have none."""
    sql = "SELECT delta, reason, note FROM movements WHERE book_id = :id AND user_id IS NOT NULL ORDER BY id"
    return shop.rows(sql, id=id_of(shop, isbn))


def stdout_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a successful example."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def stderr_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error output of a failed example."""
    assert done.returncode != 0
    return done.stderr


def test_every_task_has_an_example_in_curl_and_python():
    programs = {key for key in blocks() if key[1] in {"bash", "python"}}
    jobs = {(job, language) for job in JOBS for language in ("bash", "python")}
    assert programs == jobs | {(TRY_AGAIN, "python"), (IF_MATCH, "python")}


@in_both
def test_a_nightly_upload_sets_the_stocks_and_a_second_run_does_not_undo_a_sale(demo, run, tmp_path, language):
    file, token = tmp_path / "stock.csv", token_of(demo, STAFF_EMAIL, "stock:write")
    file.write_text(blocks()[STOCKS, "csv"])
    demo.reserve(demo.rows("SELECT id FROM users WHERE email = :email", email=ADA)[0], id_of(demo, SUN))
    first = stdout_of(run(STOCKS, language, token, "stock.csv"))
    assert first == {"bash": "2 changed, 1 customers notified\n", "python": "2 changed, 0 refused\n"}[language]
    assert stocks(demo, EMMA, SUN, KINDRED) == [6, 4, 0]
    assert demo.statuses(id_of(demo, SUN)) == ["notified"]
    demo.set_stock(id_of(demo, EMMA), 5)
    assert stdout_of(run(STOCKS, language, token, "stock.csv")) == first
    assert stocks(demo, EMMA, SUN, KINDRED) == [5, 4, 0]


@in_both
def test_an_upload_with_a_refused_line_fails_and_names_it(demo, run, tmp_path, language):
    before = stocks(demo, EMMA, SUN)
    (tmp_path / "stock.csv").write_text(blocks()[STOCKS, "csv"] + "9789999999991,1\n")
    token = token_of(demo, STAFF_EMAIL, "stock:write")
    complaint = stderr_of(run(STOCKS, language, token, "stock.csv"))
    named, after = {"bash": ("#/lines/3/isbn", before), "python": ("9789999999991: ", [6, 4])}[language]
    assert named in complaint
    assert stocks(demo, EMMA, SUN) == after


@in_both
@pytest.mark.parametrize("quantity", ["", "many", "2.5"])
def test_an_upload_with_an_invalid_number_changes_nothing(demo, run, tmp_path, language, quantity):
    before = stocks(demo, EMMA, SUN)
    (tmp_path / "stock.csv").write_text(f"isbn,quantity\n{EMMA},0\n{SUN},{quantity}\n")
    assert stderr_of(run(STOCKS, language, token_of(demo, STAFF_EMAIL, "stock:write"), "stock.csv"))
    assert stocks(demo, EMMA, SUN) == before


@in_both
def test_a_negative_stock_in_an_upload_fails_the_file_or_the_line(demo, run, tmp_path, language):
    before = stocks(demo, EMMA, SUN)
    (tmp_path / "stock.csv").write_text(f"isbn,quantity\n{EMMA},3\n{SUN},-1\n")
    why = stderr_of(run(STOCKS, language, token_of(demo, STAFF_EMAIL, "stock:write"), "stock.csv"))
    assert "cannot fall below 0" in why
    assert stocks(demo, EMMA, SUN) == (before if language == "bash" else [3, before[1]])


@in_both
def test_an_empty_upload_fails(demo, run, tmp_path, language):
    (tmp_path / "stock.csv").write_text("isbn,quantity\n")
    assert stderr_of(run(STOCKS, language, token_of(demo, STAFF_EMAIL, "stock:write"), "stock.csv"))


def test_an_upload_larger_than_a_batch_is_split(demo, run, tmp_path):
    lines = "".join(f"{isbn},{stock}\n" for isbn, stock in [(EMMA, 1)] * 1000 + [(SUN, 2)])
    (tmp_path / "stock.csv").write_text(f"isbn,quantity\n{lines}")
    token = token_of(demo, STAFF_EMAIL, "stock:write")
    assert stdout_of(run(STOCKS, "python", token, "stock.csv")) == "2 changed, 0 refused\n"
    assert stocks(demo, EMMA, SUN) == [1, 2]


@in_both
def test_the_example_makes_one_reservation_even_if_run_again(demo, run, language):
    token = token_of(demo, ADA, "prebookings")
    assert stdout_of(run(RESERVE, language, token, SUN)) == "reserved\n"
    assert stdout_of(run(RESERVE, language, token, SUN)) == "was reserved before\n"
    assert demo.statuses(id_of(demo, SUN)) == ["waiting"]


@in_both
def test_an_impossible_reservation_fails_with_the_reason(demo, run, language):
    token = token_of(demo, ADA, "prebookings")
    assert "PREBOOK_BOOK_IN_STOCK" in stderr_of(run(RESERVE, language, token, EMMA))
    assert "BOOK_NOT_FOUND" in stderr_of(run(RESERVE, language, token, "9789999999991"))
    lacking = token_of(demo, ADA, "orders")
    assert "it needs the scope 'prebookings'" in stderr_of(run(RESERVE, language, lacking, SUN))
    assert demo.statuses(id_of(demo, SUN)) == []


@in_both
def test_a_poller_sees_each_restock_exactly_once(demo, run, tmp_path, language):
    token, book = token_of(demo, STAFF_EMAIL, "reports:read"), id_of(demo, SUN)
    sell_and_restock(demo, book, 110)
    assert stdout_of(run(WATCH, language, token)).count(f"{SUN}: 1 copies") == 110
    assert stdout_of(run(WATCH, language, token)) == ""
    demo.set_stock(id_of(demo, FIRE), 3)
    kept = (tmp_path / "restocks.cursor").read_text()
    assert "NOT_AUTHENTICATED" in stderr_of(run(WATCH, language, "wrong"))
    assert (tmp_path / "restocks.cursor").read_text() == kept
    assert stdout_of(run(WATCH, language, token)) == f"{FIRE}: 3 copies, 1 customers notified\n"
    assert stdout_of(run(WATCH, language, token)) == ""


def sell_and_restock(shop: Shop, book_id: int, times: int) -> None:
    """Restock a book many times, for more events than a page of the feed holds."""

    def work() -> None:
        for quantity in [1, 0] * times:
            services.shelf().update_stock(StockChange(book_id=book_id, quantity=quantity))

    shop.commit(work)


@in_both
def test_the_whole_demand_is_exported_and_a_failure_keeps_the_last_export(demo, run, tmp_path, language):
    create_demand(demo)
    wanted = demo.rows("SELECT count(DISTINCT book_id) FROM prebookings")[0]
    token, file = token_of(demo, STAFF_EMAIL, "reports:read"), tmp_path / f"demand.{FORMS[language]}"
    assert stdout_of(run(DEMAND, language, token)) == ""
    rows = read(file)
    assert len({row["book_id"] for row in rows}) == len(rows) == wanted > 100
    assert ("Persepolis", "1") in {(row["title"], str(row["waiting"])) for row in rows}
    assert "NOT_AUTHENTICATED" in stderr_of(run(DEMAND, language, "wrong"))
    assert read(file) == rows
    assert stdout_of(run(DEMAND, language, token)) == ""
    assert read(file) == rows


FORMS = {"bash": "csv", "python": "jsonl"}


def read(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".csv":
        return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    return [json.loads(line) for line in file.read_text().splitlines()]


def create_demand(shop: Shop) -> None:
    """Create demand for more books than a page holds."""
    users = shop.customers(3)
    values = {"authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}
    books = shop.commit(lambda: [services.catalog().create({"title": f"Volume {n}", **values}) for n in range(120)])
    shop.commit(lambda: [services.prebookings().reserve(users[n // 50], book).id for n, book in enumerate(books)])


@in_both
def test_a_delivery_is_received_once_and_shows_who_was_notified(demo, run, tmp_path, language):
    file, token = tmp_path / "delivery-4711.csv", token_of(demo, STAFF_EMAIL, "stock:write")
    file.write_text(blocks()[DELIVERY, "csv"])
    first = stdout_of(run(DELIVERY, language, token, file.name))
    assert first == f"{FIRE}: 3 copies, 1 customers notified\n{PERSEPOLIS}: 2 copies, 1 customers notified\n"
    assert demo.statuses(id_of(demo, FIRE)) == demo.statuses(id_of(demo, PERSEPOLIS)) == ["notified"]
    done = Path(f"{file}.done")
    done.rename(file)
    assert stdout_of(run(DELIVERY, language, token, file.name)) == first
    done.rename(file)
    file.write_text(file.read_text() + f"{EMMA},1\n")
    assert "IDEMPOTENCY_MISMATCH" in stderr_of(run(DELIVERY, language, token, file.name))
    assert ledger(demo, FIRE) == [(3, "received", "delivery-4711")]
    assert ledger(demo, PERSEPOLIS) == [(2, "received", "delivery-4711")]
    assert ledger(demo, EMMA) == []


@in_both
def test_a_line_with_an_unknown_book_is_not_received_but_kept(demo, run, tmp_path, language):
    file = tmp_path / "delivery-4712.csv"
    file.write_text(f"isbn,copies\n{FIRE},3\n9789999999991,1\n")
    token = token_of(demo, STAFF_EMAIL, "stock:write")
    assert "#/lines/1/isbn" in stderr_of(run(DELIVERY, language, token, file.name))
    assert file.exists()
    assert stocks(demo, FIRE) == [0]


def test_a_change_applies_only_to_the_status_that_was_shown(demo, run):
    token = token_of(demo, STAFF_EMAIL, "catalog:write")
    assert stdout_of(run(IF_MATCH, "python", token)) == "900\n"
    assert stdout_of(run(IF_MATCH, "python", token)) == "850\n"


def test_a_rate_limited_script_waits_and_continues(demo, run, database_url):
    token = token_of(demo, ADA)
    with served(SHOP, environment(settings_for(database_url, api_limit="1 per 6 second"))) as slow:
        headers = {"Authorization": f"Bearer {token}"}
        while (told := httpx.get(f"{slow}/api/v1/books", headers=headers)).status_code != 429:
            pass
        begun = time.monotonic()
        assert int(stdout_of(run(TRY_AGAIN, "python", token, base=slow))) > 50
    assert time.monotonic() - begun >= int(told.headers["Retry-After"]) - 2


def test_the_curl_commands_of_the_documents_run(demo, run, address):
    """The commands of docs/api.md and docs/webhooks.md, unchanged except for the port."""
    pages = PAGE + (ROOT / "docs/webhooks.md").read_text()
    commands = re.findall(rf"^curl .*{LOCAL}/api/v1/.*$", pages, re.MULTILINE)
    environ = {"PATH": os.environ["PATH"], "STAFF": token_of(demo, STAFF_EMAIL, "reports:read")}
    books, events = (
        json.loads(subprocess.check_output(["bash", "-c", command.replace(LOCAL, address)], env=environ, text=True))
        for command in commands
    )
    assert [book["isbn"] for book in books["items"]] == [SUN]
    assert {event["kind"] for event in events["items"]} == {"stock.changed", "order.placed", "order.ready"}
