"""The commands of `flask`: shop, users, tokens, books, worker, purge, check, backups and demo."""

from flask import Flask

from bookshop.cli.backups import backup, move, restore, upgrade
from bookshop.cli.books import books
from bookshop.cli.check import check
from bookshop.cli.demo import demo
from bookshop.cli.exports import export
from bookshop.cli.purge import purge
from bookshop.cli.shop import shop
from bookshop.cli.users import tokens, users
from bookshop.cli.worker import worker

books.add_command(export)


def init_app(app: Flask) -> None:
    for command in (shop, users, tokens, books, worker, purge, check, backup, restore, move, upgrade, demo):
        app.cli.add_command(command)
