"""A backup of the running shop, restored into any database: everything is there, and nothing is repeated."""

import re
import stat

import click
import pytest

from bookshop.catalog import pictures
from bookshop.extensions import db
from bookshop.mail.models import RESTORED
from tests.support.backups import PICTURE, SILENCED, contents, differences, new_shop, run
from tests.support.full_tables import fill
from tests.support.mailbox import Mailbox


@pytest.fixture
def backup(app, shop, tmp_path):
    """The file of a backup of a shop that has a row in every table, and a cover."""
    fill(shop)
    pictures.store(app.config["SETTINGS"].covers, pictures.Picture(PICTURE, {"small": b"a small", "large": b"picture"}))
    shop.execute("UPDATE books SET cover = :picture WHERE id = 1", picture=PICTURE)
    shop.execute("UPDATE onix_records SET record = :record", record=b"\x00 <Product>\xff")
    made = run(app, "backup", tmp_path / "shop.zip")
    assert (made.exit_code, made.stderr) == (0, "")
    assert re.search(r"shop.zip: \d+ rows, 2 files of pictures, [\d,]+ bytes", made.stdout)
    return tmp_path / "shop.zip"


@pytest.fixture(params=["sqlite", "postgresql"])
def restored(request, postgresql_url, tmp_path):
    """The application on an empty database of its own."""
    with new_shop(request.param, postgresql_url, tmp_path / "elsewhere") as restored:
        yield restored


def test_a_backup_is_restored_completely_into_either_database(app, shop, backup, restored):
    before = contents(app)
    assert min(len(rows) for rows in before.values()) > 0
    for again in (["--replace"], ["--replace", "--yes"]):  # an empty database has no name to ask for
        done = run(restored, "restore", backup, "--send-queued", *again)
        assert (done.exit_code, "`flask check` finds no problems" in done.stdout) == (0, True)
    after = contents(restored)
    other = type(shop)(restored)
    assert differences(before, after) == SILENCED
    assert after["backups"] == []
    assert len(after["audit_entries"]) == len(before["audit_entries"]) + 1
    assert pictures.read(restored.config["SETTINGS"].covers, f"{PICTURE}-large.webp") == b"picture"
    assert restored.test_client().get("/api/v1/books?q=emm").json["total"] == 1
    assert other.book("Sanditon") == max(row[0] for row in shop.rows("SELECT id, 0 FROM books")) + 1
    assert other.broken() == []


def test_a_backup_contains_no_secret_key_and_only_its_owner_can_read_it(app, backup, tmp_path):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert app.config["SECRET_KEY"].encode() not in backup.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["shop.zip"]
    said = run(app, "backup", backup).stdout
    assert ("personal data" in said, "BOOKSHOP_SECRET_KEY is not in it" in said) == (True, True)


def test_restoring_stops_what_may_have_been_sent_since_and_ends_all_logins(app, shop, backup, tmp_path):
    assert shop.rows("SELECT id FROM login_sessions") == ["x"]
    mailbox = Mailbox(app, tmp_path / "mail")
    sent = len(mailbox.deliver())
    assert sent > 1
    done = run(app, "restore", backup, "--replace", typed="The Bookshop\n")
    assert (done.exit_code, f"may have been sent since: {sent}." in done.stdout) == (0, True)
    assert mailbox.deliver() == []
    assert set(shop.rows("SELECT reason FROM messages WHERE state = 'suppressed'")) == {RESTORED}
    assert shop.rows("SELECT user_id FROM audit_entries WHERE action = 'shop.restored'") == [None]
    assert (shop.rows("SELECT id FROM login_sessions"), shop.broken()) == ([], [])


def test_a_shop_is_replaced_only_if_its_name_is_typed(app, shop, backup):
    before = contents(app)
    refused = run(app, "restore", backup)
    assert refused.stderr == (
        "Error: The database has a shop already: it has users or books. Use an empty one, or replace the shop with "
        "--replace. Nothing was changed.\n"
    )
    assert "That is not its name" in run(app, "restore", backup, "--replace", typed="bookshop\n").stderr
    assert contents(app) == before


def test_what_others_have_added_to_the_database_stays(app, shop, backup):
    shop.execute("CREATE TABLE others (id INTEGER)")
    try:
        shop.execute("INSERT INTO others VALUES (7)")
        assert run(app, "restore", backup, "--replace", "--yes").exit_code == 0
        assert shop.rows("SELECT id FROM others") == [7]
    finally:
        shop.execute("DROP TABLE others")


def test_a_shop_with_broken_rows_is_backed_up_all_the_same_and_the_command_says_so(app, shop, tmp_path):
    shop.execute("UPDATE books SET stock_quantity = 7 WHERE id = :id", id=shop.book())
    shop.execute("UPDATE books SET cover = :picture", picture=PICTURE)
    made = run(app, "backup", tmp_path / "shop.zip")
    assert (made.exit_code, (tmp_path / "shop.zip").exists()) == (1, True)
    assert "book 1 has a stock of 7, but its movements add up to 0" in made.stderr
    assert re.search(r"Pictures that the shop uses, but that are not in .*: 1\n", made.stderr)


def test_no_transaction_waits_for_the_name_of_the_shop(app, shop, backup, monkeypatch):
    waiting = []

    def read_slowly(*_words, **_options):
        waiting.append(db.session().in_transaction())
        return "another name"

    monkeypatch.setattr(click, "prompt", read_slowly)
    done = run(app, "restore", backup, "--replace")
    assert (waiting, "That is not its name" in done.stderr) == ([False], True)
