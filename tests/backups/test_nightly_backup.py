"""The backup of every night: made by the worker after its purge, the newest are kept, and a failure is repeated."""

from zoneinfo import ZoneInfo

import pytest

from bookshop.backups import nightly
from bookshop.backups.files import PART
from bookshop.backups.nightly import Interrupted, backup_tonight
from bookshop.backups.repository import BackupRepository
from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.retention.service import next_night
from bookshop.retention.worker import purge_if_due
from tests.retention.test_nightly import let_time_pass, look

KEPT = 2


@pytest.fixture
def folder(app, monkeypatch, tmp_path):
    """The folder of the nightly backups, which does not exist yet."""
    folder = tmp_path / "backups"
    changed = app.config["SETTINGS"].model_copy(update={"backups": folder, "keep_backups": KEPT})
    monkeypatch.setitem(app.config, "SETTINGS", changed)
    assert not look(app)
    return folder


def test_each_night_a_backup_is_made_and_only_the_newest_are_kept(app, shop, folder, monkeypatch):
    (folder.parent / "other").mkdir()
    nights = [f"bookshop-2026-11-2{night}-020000.zip" for night in range(4)]
    names = iter(nights)
    monkeypatch.setattr(nightly, "name_at", lambda _time: next(names))
    for _night in nights:
        let_time_pass(shop)
        assert look(app)
        (folder / "of the owner.zip").touch()
    assert not look(app)
    assert sorted(path.name for path in folder.iterdir()) == [*nights[-KEPT:], "of the owner.zip"]
    assert shop.rows("SELECT file FROM backups ORDER BY id") == nights[-KEPT:]
    assert (folder.stat().st_mode & 0o777, (folder / nights[-1]).stat().st_mode & 0o777) == (0o700, 0o600)
    with app.app_context():
        assert BackupRepository(db.session()).last() is not None


def test_a_backup_that_fails_is_tried_again_in_an_hour_and_the_purge_is_done_all_the_same(app, shop, folder, caplog):
    folder.write_text("a file in place of the folder")
    let_time_pass(shop)
    assert look(app)
    assert ("the nightly backup has failed" in caplog.text, shop.rows("SELECT * FROM backups")) == (True, [])
    assert not look(app)
    folder.unlink()
    assert let_time_pass(shop) != next_night(now(), ZoneInfo("UTC"))
    assert look(app)
    assert len(shop.rows("SELECT id FROM backups")) == 1


def test_a_worker_that_is_stopped_gives_the_backup_up_and_another_one_makes_it(app, shop, folder):
    let_time_pass(shop)
    with app.app_context():
        assert purge_if_due((folder / PART).exists, pause=0) is not None
    assert shop.rows("SELECT file FROM backups") == [] == list(folder.glob("*.zip"))
    assert look(app)
    assert len(list(folder.glob("*"))) == len(shop.rows("SELECT file FROM backups")) == 1


def test_the_lease_is_renewed_while_a_backup_is_written(app, shop, folder, monkeypatch):
    monkeypatch.setattr(nightly, "RENEWAL", -1.0)
    shop.book()
    renewed = []
    with app.app_context():
        assert backup_tonight(lambda: False, lambda: renewed.append(1))
        assert len(renewed) > 1
        with pytest.raises(Interrupted):
            backup_tonight(lambda: True, lambda: None)
