"""schemathesis against the shop as a real server: the document says what to send and what may come back."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import NamedTuple

import flask_migrate

from bookshop import create_app
from bookshop.config import ROOT
from bookshop.extensions import db
from bookshop.orders.models import CANCELLED, COLLECTED, READY
from bookshop.web import services
from tests.browser.server import AS_RUN, SHOP, environment, served
from tests.support.factories import Shop, isbn
from tests.support.settings import settings_for

ADA, BOB, STAFF = "ada@example.com", "bob@example.com", "staff@example.com"
ROLES = {"nobody": None, "ada": ADA, "staff": STAFF}
EXAMPLES_ISBN = "9780141439587"
SOLD_OUT, FEW_ORDERS = 8, 18
ORDERS = 150  # so many ids are tried, more than of all else, as an order that is cancelled is of no more use
SEED = 2026  # that a run can be repeated: who looks for more takes another


def furnish(shop: Shop, orders: int) -> Mapping[str, str | None]:
    """Fill the shop with some of everything; returns the token of each role.

    Odd books are in stock, even ones are not. Ada and Bob have orders in all states, most of them placed. One book in
    Ada's cart is sold out, so that no order empties it before it was looked at.
    """
    ada, bob, staff = shop.customer(ADA), shop.customer(BOB), shop.staff(STAFF)
    shop.book("Emma", isbn=EXAMPLES_ISBN, stock=1000, publisher="Penguin", language="en", published_year=2003)
    for number in range(2, 13):
        shop.book(f"Novel {number}", isbn=isbn(), stock=1000 * (number % 2))
    _waits, _told, cancelled = (shop.reserve(ada, book_id) for book_id in (2, 4, 6))
    shop.reserve(bob, 2)
    shop.set_stock(4, 3)
    shop.cancel(ada, cancelled)
    made = [shop.order(who, {1: 1}, phone="030 5550 173") for who in [ada, bob] * (orders // 2)]
    ready, collected, given_up = made[4 : 4 + orders // 3], made[4:8], made[2:4]
    for status, chosen in ((READY, ready), (COLLECTED, collected), (CANCELLED, given_up)):
        for order_id in chosen:
            shop.change_order(order_id, status, staff)
    for _webhook in range(15):
        shop.commit(lambda: services.webhooks().register(staff, "https://127.0.0.1/hooks", ["*"]))
    shop.set_stock(SOLD_OUT, 5)
    with shop.app.app_context():
        services.assign_positions()
    for webhook_id in range(1, 16):
        shop.commit(partial(lambda number: services.webhooks().fan_out(number, "*"), webhook_id))
    shop.fill_cart(ada, {1: 1, 5: 2, SOLD_OUT: 1})
    shop.set_stock(SOLD_OUT, 0)
    assert shop.broken() == []
    return {who: email and shop.token(email) for who, email in ROLES.items()}


class Furnished(NamedTuple):
    """A shop, where it is served, and the token of each role."""

    shop: Shop
    address: str
    tokens: Mapping[str, str | None]

    def let_order(self) -> None:
        """Let the next order of Ada's cart succeed."""
        for book_id in (1, SOLD_OUT):
            self.shop.set_stock(book_id, 1000)
        if not self.shop.rows("SELECT * FROM cart_items"):
            self.shop.fill_cart(1, {1: 1})


@contextmanager
def furnished(url: str, application: str = SHOP, orders: int = FEW_ORDERS) -> Iterator[Furnished]:
    """The shop as a server on a new database, which is not broken at the end."""
    settings = settings_for(
        url, api_limit="10000000 per minute", database_pool=8, post_orders=True, webhook_private=True
    )
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    tokens = furnish(shop, orders)
    # The longest addresses that are drawn are for the shop to refuse, not for gunicorn.
    with served(application, environment(settings), *AS_RUN, "--limit-request-line", "0") as address:
        yield Furnished(shop, address, tokens)
    assert shop.broken() == []
    with app.app_context():
        db.engine.dispose()


@dataclass
class Fuzzed:
    """What came of it: whether all checks passed, what schemathesis said, and each operation's answers by status."""

    passed: bool = True
    report: str = ""
    answers: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    walks: int = 0
    seconds: float = 0
    seed: int = SEED

    def succeeded(self) -> set[str]:
        """The operations that answered 2xx."""
        return {name for name, statuses in self.answers.items() if any(200 <= status < 300 for status in statuses)}

    def total(self) -> int:
        """How many requests were answered."""
        return sum(counts.total() for counts in self.answers.values())


def options(routes: Collection[str]) -> list[str]:
    """The options that let schemathesis call no more than these routes."""
    document = json.loads((ROOT / "tests/support/openapi-v1.json").read_text())
    names = {
        f"{method.upper()} {path}": one for path, item in document["paths"].items() for method, one in item.items()
    }
    return [f"--include-operation-id={names[route]['operationId']}" for route in sorted(routes)]


def glance(place: Furnished, role: str, examples: int, *options: str) -> Fuzzed:
    """All checks with a few examples, some of which are walks; with more options of schemathesis, if they are given."""
    found = Fuzzed()
    _run(found, place, role, examples, "examples,fuzzing,stateful", *options)
    return found


def fuzz(place: Furnished, role: str, examples: int, seed: int, *options: str, limits: bool) -> Fuzzed:
    """All checks with so many examples per operation, and so many walks along the links from answer to request.

    And, for every operation, with all values at the limits of the document. Hypothesis ends walks early in which the
    same request is not always answered the same, as in a shop: then more are begun.
    """
    found, began = Fuzzed(seed=seed), monotonic()
    _run(found, place, role, examples, "examples", *options)  # while no order empties the cart
    place.let_order()
    _run(found, place, role, examples, "fuzzing", *options)
    while found.passed and found.walks < examples:
        before = found.walks
        _run(found, place, role, examples - before, "stateful", *options)
        assert found.walks > before, found.report
    if limits:
        _run(found, place, role, examples, "coverage")
    found.seconds = monotonic() - began
    return found


def _run(found: Fuzzed, place: Furnished, role: str, examples: int, phases: str, *more: str) -> None:
    """Run schemathesis as everybody does in this repository, with schemathesis.toml."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{place.address}/api/v1/openapi.json", "--no-color"]
    token = place.tokens[role]
    who = ["--header", f"Authorization: Bearer {token}"] if token else []
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.ndjson")
        options = ["--checks=all", f"--max-examples={examples}", f"--phases={phases}", f"--report-ndjson-path={report}"]
        options.append(f"--seed={found.seed + found.walks}")  # other walks than those before
        ran = subprocess.run([*command, *who, *options, *more], check=False, cwd=ROOT, capture_output=True, text=True)
        found.passed = found.passed and ran.returncode == 0
        found.report += ran.stdout + ran.stderr
        if report.exists():
            _read(found, report)


def _read(found: Fuzzed, report: Path) -> None:
    for line in report.open(encoding="utf-8"):
        scenario = json.loads(line).get("ScenarioFinished")
        if scenario is None:
            continue
        found.walks += scenario["phase"] == "stateful"
        recorder = scenario["recorder"]
        for number, exchange in recorder.get("interactions", {}).items():
            asked = recorder["cases"][number]["value"]
            status = (exchange.get("response") or {}).get("status_code", 0)
            found.answers[f"{asked['method']} {asked['path']}"][status] += 1
