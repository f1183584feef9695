"""The Flask commands."""

import os
import subprocess
import sys

import pytest
from flask import Flask

from bookshop import create_app
from bookshop.checks import MAX_LINES
from bookshop.config import ROOT
from bookshop.extensions import db
from tests.support.factories import PASSWORD
from tests.support.settings import SECRET_KEY, settings_for

pytestmark = pytest.mark.one_postgresql_case

ADA = "ada@example.com"


@pytest.fixture
def run(app):
    """Run a command in this process: run("users", "create", ...)."""
    return lambda *words: app.test_cli_runner().invoke(args=list(words))


def in_process(app: Flask, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in a separate process, on the same database."""
    with app.app_context():
        url = db.engine.url.render_as_string(hide_password=False)
    others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *words],
        check=False,
        capture_output=True,
        cwd=ROOT,
        env={**others, "BOOKSHOP_SECRET_KEY": SECRET_KEY, "BOOKSHOP_DATABASE_URL": url},
    )


# ---------------------------------------------------------------- users


@pytest.mark.parametrize(
    ("flags", "role"),
    [([], "customer"), (["--role", "bookseller"], "bookseller"), (["--role", "owner"], "owner")],
)
def test_users_create_creates_customers_and_staff_who_can_log_in(shop, run, web_client, flags, role):
    made = run("users", "create", "Ada@Example.com", "--password", PASSWORD, *flags)
    assert (made.exit_code, made.stdout) == (0, f"Created {role} Ada@example.com.\n")
    assert shop.rows("SELECT role FROM users") == [role]
    assert web_client().log_in(ADA).status_code == 303


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [
        ("ada", PASSWORD, "This is not a valid e-mail address."),
        ("", PASSWORD, "This is not a valid e-mail address."),
        ("ben@example.com", "short", "A password needs 8 to 128 characters; this one has 5."),
        ("ben@example.com", "password", "This password is too easy to guess."),
        ("ADA@EXAMPLE.COM", PASSWORD, "There is already an account with the e-mail address ADA@example.com."),
    ],
)
def test_users_create_refuses_invalid_input_with_a_sentence(shop, run, email, password, sentence):
    shop.customer(ADA)
    refused = run("users", "create", email, "--password", password)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"Error: {sentence}")
    assert shop.rows("SELECT email FROM users") == [ADA]


def test_users_create_prompts_for_a_missing_password_without_echo(app, shop):
    made = app.test_cli_runner().invoke(args=["users", "create", ADA], input=f"{PASSWORD}\n{PASSWORD}\n")
    assert (made.exit_code, PASSWORD in made.output) == (0, False)
    assert shop.rows("SELECT email FROM users") == [ADA]


def test_users_deactivate_prints_how_many_reservations_it_cancelled(shop, run, web_client):
    user_id, books = shop.customer(ADA), [shop.book(), shop.book()]
    for book_id in books:
        shop.reserve(user_id, book_id)
    browser = web_client(ADA)
    done = run("users", "deactivate", "ADA@example.com")
    assert (done.exit_code, done.stdout) == (0, "Deactivated ADA@example.com. Waiting reservations cancelled: 2.\n")
    assert browser.get("/reservations").status_code == 303
    assert shop.statuses(books[0]) == ["cancelled"]


def test_users_role_makes_a_customer_an_owner_and_logs_them_out(shop, run, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    done = run("users", "role", "ADA@example.com", "owner")
    assert (done.exit_code, done.stdout) == (0, "ADA@example.com is now an owner.\n")
    assert (shop.rows("SELECT role FROM users"), browser.get("/account").status_code) == (["owner"], 303)


@pytest.mark.parametrize("words", [("users", "role", ADA, "customer"), ("users", "deactivate", ADA)])
def test_no_command_removes_the_last_owner(shop, run, words):
    shop.owner(ADA)
    refused = run(*words)
    assert (refused.exit_code, "is the shop's last owner" in refused.stderr) == (1, True)
    assert shop.rows("SELECT role FROM users WHERE deactivated_at IS NULL") == ["owner"]


# ---------------------------------------------------------------- tokens


def test_tokens_create_prints_only_the_token(app, shop, api_client):
    shop.customer(ADA)
    made = in_process(app, "tokens", "create", ADA, "--name", "till")
    assert (made.returncode, made.stderr) == (0, b"")
    holder = api_client()
    holder.headers = {"Authorization": f"Bearer {made.stdout.decode().removesuffix(chr(10))}"}
    assert holder.get("/api/v1/prebookings").status_code == 200


def test_tokens_revoke_ends_the_tokens_of_that_name(shop, run, api_client):
    shop.customer(ADA)
    holder = api_client()
    holder.headers = {"Authorization": f"Bearer {run('tokens', 'create', ADA, '--name', 'till').stdout.strip()}"}
    assert run("tokens", "revoke", ADA, "--name", "another").stdout == "Tokens revoked: 0.\n"
    assert holder.get("/api/v1/prebookings").status_code == 200
    assert run("tokens", "revoke", ADA, "--name", "till").stdout == "Tokens revoked: 1.\n"
    assert holder.get("/api/v1/prebookings").status_code == 401


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "words",
    [
        ("users", "deactivate", "nobody@example.com"),
        ("tokens", "create", "nobody@example.com", "--name", "till"),
        ("tokens", "revoke", "nobody@example.com", "--name", "till"),
        ("tokens", "create", ADA, "--name", ""),
        ("tokens", "create", ADA, "--name", "n" * 101),
        ("users", "deactivate", "\udcff@example.com"),
        ("tokens", "create", "\udcff@example.com", "--name", "till"),
        ("tokens", "create", ADA, "--name", "\udcff"),
        ("users", "create", "\udcff@example.com", "--password", PASSWORD),
        ("users", "create", "ben@example.com", "--password", "\udcff three words"),
    ],
)
def test_a_refused_command_prints_one_sentence_and_exits_with_1(shop, run, words):
    shop.customer(ADA)
    refused = run(*words)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["users", "deactivate", ADA], ["check"], ["tokens", "create", ADA, "--name", "x"]])
@pytest.mark.parametrize("url", ["sqlite:///{}/empty.db", "sqlite:///{}/nowhere/shop.db", "postgresql:///x?host={}"])
def test_without_tables_or_database_a_command_prints_a_sentence_not_a_traceback(tmp_path, url, words):
    failed = create_app(settings_for(url.format(tmp_path))).test_cli_runner().invoke(args=words)
    assert (failed.exit_code, type(failed.exception)) == (1, SystemExit)
    assert failed.stderr.startswith("Error: The database") or "run `flask db upgrade`" in failed.stdout


# ---------------------------------------------------------------- check


def test_check_prints_nothing_and_exits_with_0_when_all_is_consistent(shop, run):
    shop.book(stock=1)
    checked = run("check")
    assert (checked.exit_code, checked.output) == (0, "")


def test_check_prints_a_line_and_exits_with_1_when_a_row_is_broken(shop):
    shop.execute("UPDATE books SET stock_quantity = 7 WHERE id = :id", id=shop.book())
    checked = in_process(shop.app, "check")
    assert (checked.returncode, checked.stderr) == (1, b"")
    assert checked.stdout.decode() == (
        "book 1 has a stock of 7, but its movements add up to 0 (stock: every stock is the sum of its movements)\n"
    )


def test_check_reports_a_limited_number_of_lines_per_kind(shop):
    books = ", ".join("('t', 'a', 1, 'EUR', 9, '2020-01-01', '2020-01-01', 't', 't', 't', 'a', '')" for _ in range(150))
    shop.execute(
        "INSERT INTO books (title, authors, price_cents, currency, stock_quantity, created_at, updated_at, title_key,"
        f" main_title, search_title, search_authors, search_isbn) VALUES {books}"
    )
    lines = shop.broken()
    assert len(lines) == MAX_LINES + 1
    assert lines[-1].startswith("... and more")


# ---------------------------------------------------------------- demo


def test_demo_fills_an_empty_shop_and_prints_accounts_that_work(shop, run, web_client):
    filled = run("demo")
    assert filled.exit_code == 0
    accounts = [line.split() for line in filled.stdout.splitlines() if "password:" in line]
    assert {words[0] for words in accounts} == {"owner", "bookseller", "customer"}
    for _role, email, _label, *password in accounts:
        assert web_client().log_in(email, " ".join(password)).status_code == 303
    assert len(shop.rows("SELECT id FROM books")) >= 50
    assert sorted(shop.rows("SELECT status FROM orders")) == ["placed", "ready"]
    assert shop.rows("SELECT * FROM cart_items") == []
    assert shop.broken() == []


def test_demo_twice_changes_nothing(shop, run):
    run("demo")
    before = shop.everything()
    assert run("demo").exit_code == 0
    assert shop.everything() == before


def test_demo_can_restart_after_somebody_has_signed_up(shop, run):
    run("demo")
    shop.customer("visitor@example.com")
    assert run("demo").exit_code == 0


def test_demo_does_not_touch_a_shop_with_its_own_users(shop, run):
    shop.customer("owner@example.com")
    before = shop.everything()
    refused = run("demo")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "users of its own" in refused.stderr
    assert shop.everything() == before
