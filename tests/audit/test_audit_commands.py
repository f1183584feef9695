"""What commands change has lines in the audit log, without a user and a request."""

from collections.abc import Callable, Mapping
from pathlib import Path

import click
from flask import Flask

from bookshop.cli.demo import DEMO_SHOP
from tests.audit.lines import last_id, lines_of
from tests.support.bad_input import ISBN
from tests.support.factories import PASSWORD, Shop
from tests.support.sample_shop import SampleShop

MEMORY = {"audit_entries"}
# Commands whose effects are decided by rows and settings, not by the one who runs them, and some that only copy.
UNRECORDED = {"worker", "purge", "check", "books export", "backup", "restore", "move", "upgrade"}
ADA = "ada@example.com"
CSV = f"isbn,title,authors,price_cents,stock_quantity\n{ISBN},Emma again,Jane Austen,990,3\n,New,Ada,1,2\n"
COMMANDS: Mapping[str, list[str]] = {
    "tokens create": [ADA, "--name", "Ada's till"],
    "tokens revoke": [ADA, "--name", "test"],
    "users create": ["new@example.com", "--password", PASSWORD],
    "users role": [ADA, "bookseller"],
    "users deactivate": [ADA],
    "users reactivate": [ADA],
    "users remove-second-factor": [ADA],
    "books import": ["books.csv"],
    "demo": [],
    "shop new": [
        *(
            "--name",
            "Corner Books",
            "--street",
            "",
            "--postcode",
            "",
            "--city",
            "",
            "--country",
            "",
            "--time-zone",
            "UTC",
        ),
        *("--currency", "EUR", "--email", "grace@example.com", "--password", PASSWORD),
    ],
}
PREPARED: Mapping[str, Callable[[Shop], object]] = {
    "shop new": lambda shop: shop.execute("UPDATE users SET role = 'bookseller' WHERE role = 'owner'"),
    "users reactivate": lambda shop: shop.deactivate(ADA),
    "users remove-second-factor": lambda shop: shop.execute(
        "INSERT INTO second_factors (user_id, nonce, last_step, created_at) VALUES (1, 'n', 0, '2026-01-01')"
    ),
}


def commands_of(app: Flask) -> set[str]:
    """Return the shop's own commands, with their groups."""
    groups = {name: command for name, command in app.cli.commands.items() if name != "db"}
    return {
        f"{name} {sub}".strip()
        for name, command in groups.items()
        for sub in (command.commands if isinstance(command, click.Group) else [""])
    }


def problem(sample_shop: SampleShop, command: str) -> str:
    """Run a command; return what is wrong with its lines, '' if nothing is."""
    before, newest = sample_shop.tables(), last_id(sample_shop.shop)
    done = sample_shop.app.test_cli_runner().invoke(args=[*command.split(), *COMMANDS[command]])
    after, lines = sample_shop.tables(), lines_of(sample_shop.shop, after=newest)
    changed = [name for name in before.keys() - MEMORY if before[name] != after[name]]
    if bool(changed) != bool(lines):
        return f"{command} ({done.output}) changed {changed}, but has {len(lines)} lines"
    named = [line.action for line in lines if (line.user_id, line.request_id) != (None, None)]
    return f"{command} is said to be a user or request: {named}" if named else ""


def test_each_command_that_changes_something_has_its_lines(sample_shop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("books.csv").write_text(CSV, encoding="utf-8")
    assert commands_of(sample_shop.app) == {*COMMANDS, *UNRECORDED}
    first_time = last_id(sample_shop.shop)
    problems = []
    for command in COMMANDS:
        PREPARED.get(command, lambda _shop: None)(sample_shop.shop)
        problems += [problem(sample_shop, command), problem(sample_shop, command)]
    assert [found for found in problems if found] == []
    lines = lines_of(sample_shop.shop, after=first_time)
    said = " ".join(str((line.before, line.after)) for line in lines)
    said = said.replace(DEMO_SHOP["email"], "")  # the public address of the shop
    assert [word for word in ("@", "Ada's", PASSWORD) if word in said] == []
    assert {line.action for line in lines} >= {"user.created", "user.role_changed", "token.revoked", "book.edited"}
