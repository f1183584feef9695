"""SIGKILL while a backup is written or restored: there is the former file or shop, or the new one, never a part."""

import os
import signal
from itertools import count
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, event

from bookshop import create_app
from bookshop.backups import files
from tests.support.backups import contents, differences, run, shop_at
from tests.support.factories import Shop
from tests.support.forks import processes
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

KILLS = 8  # spread over the statements and commits of a command
LAST = ("replace", "_sync")  # points just before, and just after, the file gets its name
FORMER = b"the backup of yesterday"


def run_until_killed(url: str, folder: Path, words: list[str], point: int | str) -> None:
    """Run a command in this process, which kills itself at this point."""
    steps = count(1)

    def kill(*_arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def step(*_arguments: object) -> None:
        if next(steps) == point:
            kill()

    app = create_app(settings_for(url, covers=folder / "covers"))
    for name in ("before_cursor_execute", "commit"):
        event.listen(Engine, name, step)
    if point == "replace":
        Path.replace = kill  # type: ignore[assignment,method-assign]
    elif point == "_sync":
        files._sync = kill  # type: ignore[assignment]
    os._exit(run(app, *words).exit_code)


def killed(url: str, folder: Path, words: list[object], point: int | str) -> bool:
    """Run a command in a process of its own that is killed at this point; returns False if it ended before that."""
    process = processes.Process(target=run_until_killed, args=(url, folder, [str(word) for word in words], point))
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def points_of(app: Flask, words: list[object]) -> list[int]:
    """Run a command to its end; return steps from its first to its last but one."""
    steps = count()

    def step(*_arguments: object) -> None:
        next(steps)

    for name in ("before_cursor_execute", "commit"):
        event.listen(Engine, name, step)
    try:
        assert run(app, *words).exit_code == 0
    finally:
        for name in ("before_cursor_execute", "commit"):
            event.remove(Engine, name, step)
    last = next(steps) - 1
    return [1, *(last * number // KILLS for number in range(1, KILLS)), last]


@pytest.fixture
def shop(own_database_url, tmp_path):
    with shop_at(own_database_url, tmp_path) as app:
        assert run(app, "db", "upgrade").exit_code == 0
        shop = Shop(app)
        ada, emma = shop.customer(), shop.book("Emma")
        shop.reserve(ada, emma)
        shop.set_stock(emma, 2)
        yield shop


def test_a_killed_backup_leaves_the_former_file_or_the_new_one(own_database_url, shop, tmp_path):
    target = tmp_path / "backups" / "shop.zip"
    target.parent.mkdir()
    points: list[int | str] = [*points_of(shop.app, ["backup", target]), *LAST]
    found = []
    for point in points:
        target.write_bytes(FORMER)
        found.append((killed(own_database_url, tmp_path, ["backup", target], point), target.read_bytes() == FORMER))
    assert found[: KILLS // 2] == [(True, True)] * (KILLS // 2)
    assert found[-2:] == [(True, True), (True, False)]
    assert run(shop.app, "restore", target, "--replace", "--yes").exit_code == 0
    assert run(shop.app, "backup", target).exit_code == 0
    assert [path.name for path in target.parent.iterdir()] == ["shop.zip"]


def test_a_killed_restore_leaves_the_former_shop_or_the_restored_one_and_can_be_repeated(
    own_database_url, shop, tmp_path
):
    target = tmp_path / "shop.zip"
    assert run(shop.app, "backup", target).exit_code == 0
    words: list[object] = ["restore", target, "--replace", "--yes", "--even-if-running"]  # this process has it open
    points, titles = points_of(shop.app, words), []
    for point in points:
        shop.set_stock(shop.book("Persuasion"), 1)
        before = contents(shop.app)
        assert killed(own_database_url, tmp_path, words, point)
        titles.append(shop.rows("SELECT title FROM books ORDER BY id"))
        assert titles[-1] == ["Emma"] or differences(before, contents(shop.app)) == set()
        assert shop.broken() == []
    assert (titles[0], titles[-1]) == (["Emma", "Persuasion"], ["Emma"])
    assert run(shop.app, *words).exit_code == 0
    assert (shop.rows("SELECT title FROM books"), shop.broken()) == (["Emma"], [])
