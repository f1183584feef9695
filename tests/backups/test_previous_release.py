"""The previous release serves before, while and after the database is upgraded; then this one goes on."""

import pytest

from bookshop.backups import upgrading
from bookshop.backups.schema import head
from bookshop.checks import broken_invariants
from tests.support import kills
from tests.support.backups import run, shop_at
from tests.support.factories import Shop
from tests.support.previous import ANSWERS, PreviousRelease, Scripts, check_out

pytestmark = pytest.mark.prove

PREVIOUS = "6f7eda488080c5a7e8f7e442d06a712e9b6c8d0c"  # the last commit whose schema is that of migration 0017
SCHEMA = "0017"
SOME = 10  # orders, and reservations


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    return check_out(PREVIOUS, tmp_path_factory.mktemp("previous"))


@pytest.fixture
def previous(code, own_database_url, tmp_path):
    return PreviousRelease(code, own_database_url, tmp_path)


@pytest.fixture
def shop(previous, own_database_url, tmp_path):
    """The same shop, with the code of this release."""
    with shop_at(own_database_url, tmp_path) as app:
        yield Shop(app)


def accepted_rows(shop):
    counts = {"reserve": "SELECT count(*) FROM prebookings", "order": "SELECT count(*) FROM orders"}
    return {name: shop.rows(query)[0] for name, query in counts.items()}


def test_the_previous_release_serves_during_and_after_the_upgrade_and_then_this_one_does(
    previous, shop, own_database_url, tmp_path, monkeypatch
):
    assert shop.rows("SELECT version_num FROM alembic_version") == [SCHEMA]
    with previous.serving():
        with Scripts(previous.send, previous.tokens) as scripts:

            def check_while_others_wait(session):
                """Hold the locks of the migrations while the previous release gets more requests."""
                scripts.go_on_while_locked(3 * SOME, 2.0)
                return broken_invariants(session)

            monkeypatch.setattr(upgrading, "broken_invariants", check_while_others_wait)
            scripts.go_on_for(SOME)
            upgraded = run(shop.app, "upgrade", "--backup", tmp_path / "before.zip")
            assert (upgraded.exit_code, upgraded.stderr) == (0, "")
            scripts.go_on_for(SOME)
        assert {status for _name, status in scripts.answers} <= ANSWERS
        assert accepted_rows(shop) == {name: scripts.accepted[name] for name in ("reserve", "order")}
    assert shop.rows("SELECT version_num FROM alembic_version") == [head()]
    assert shop.broken() == []
    server = kills.Server(own_database_url, previous.tokens[0])
    with kills.running(server, "/api/v1/books"):
        previous.port = server.port
        with Scripts(previous.send, previous.tokens) as now:
            now.go_on_for(SOME)
        assert {status for _name, status in now.answers} <= ANSWERS
    assert accepted_rows(shop)["order"] == scripts.accepted["order"] + now.accepted["order"]
    assert shop.broken() == []


@pytest.mark.parametrize("own_database_url", ["postgresql"], indirect=True)
def test_a_migration_that_the_previous_release_does_not_bear_is_noticed(previous, shop):
    with previous.serving(), Scripts(previous.send, previous.tokens) as scripts:
        scripts.go_on_for(SOME)
        shop.execute("ALTER TABLE orders RENAME COLUMN created_at TO made_at")
        scripts.go_on_while_locked(SOME, 10.0)
        before = scripts.accepted
        scripts.go_on_while_locked(10 * SOME, 10.0)
        assert (scripts.accepted - before)["order"] == 0
    assert {("order", 500), ("order", 503)} & scripts.answers.keys()
