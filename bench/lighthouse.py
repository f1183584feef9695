"""Lighthouse's scores of the pages that customers see first, on the telephone that it simulates.

It needs Node and npm, and installs itself into bench/node/node_modules/ on its first run. Its score for performance
depends on the machine: measure on an idle one.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from typing import Any

from bench.demo import demo_shop
from bookshop.config import ROOT
from tests.browser.chromium import launch_options
from tests.browser.server import AS_RUN
from tests.support.clients import WebClient
from tests.support.factories import Shop
from tests.support.routes import COOKIE

FOLDER = ROOT / "bench" / "node"
COMMAND = FOLDER / "node_modules" / "lighthouse" / "cli" / "index.js"
AS_DEPLOYED = ("--workers", "2", *AS_RUN)  # see deploy/systemd/bookshop.service
LEAST = 95
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
PRIVATE = {"cart"}  # robots.txt keeps search engines away from these pages, which Lighthouse would take for a mistake
Report = dict[str, Any]


def run(_url: str) -> None:
    """Print the scores of each page and what lowered them; exit with 1 if a score is below LEAST."""
    _install()
    with demo_shop(*AS_DEPLOYED) as (shop, home):
        cart, book_id = _cart(shop)
        pages = {"home": "/", "catalogue": "/books", "book": f"/books/{book_id}", "cart": "/cart"}
        reports = {name: report(f"{home}{path}", cart, is_private=name in PRIVATE) for name, path in pages.items()}
    _print_scores(reports)
    missed = [line for name, found in reports.items() for line in shortcomings(name, found)]
    if missed:
        sys.exit("\n".join([f"  below {LEAST}:", *missed]))


def _install() -> None:
    """Install the version that the lock file pins, once."""
    if not shutil.which("npm"):
        sys.exit("lighthouse: npm is missing. Install Node 18.16 or newer with npm.")
    if not COMMAND.exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=FOLDER, check=True)


def _cart(shop: Shop) -> tuple[str, int]:
    """Add a book to a visitor's cart; return the cookie that holds it, and the book."""
    book_id = shop.rows("SELECT id FROM books WHERE stock_quantity > 3 ORDER BY id")[0]
    visitor = WebClient(shop.app)
    visitor.submit("/cart/items", page=f"/books/{book_id}", book_id=book_id, quantity="2")
    cookie = visitor.client.get_cookie(COOKIE)
    if cookie is None:
        raise RuntimeError("the visitor got no cookie")
    return f"{COOKIE}={cookie.value}", book_id


def report(url: str, cookie: str, *, is_private: bool) -> Report:
    """Return Lighthouse's report of a first visit to a page, for a private one without asking whether it is indexed."""
    chromium = launch_options()
    command = [
        *("node", str(COMMAND), url, "--quiet", "--output=json", f"--only-categories={','.join(CATEGORIES)}"),
        f"--extra-headers={json.dumps({'Cookie': cookie})}",
        f"--chrome-flags={shlex.join(['--headless', *chromium['args']])}",
        *(["--skip-audits=is-crawlable"] if is_private else []),
    ]
    environment = {**os.environ, "CHROME_PATH": chromium["executable_path"]}
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, timeout=180)
    found: Report = json.loads(answer.stdout)
    if "runtimeError" in found:
        raise RuntimeError(found["runtimeError"]["message"])
    return found


def _print_scores(reports: dict[str, Report]) -> None:
    any_report = next(iter(reports.values()))
    version, browser = any_report["lighthouseVersion"], any_report["environment"]["hostUserAgent"]
    print(f"lighthouse {version} on a simulated telephone, {browser}")
    print(f"  load average of this machine: {os.getloadavg()[0]:.1f}")
    print(f"  {'':10}" + "".join(f"{category:>16}" for category in CATEGORIES))
    for name, found in reports.items():
        print(f"  {name:10}" + "".join(f"{score(found, category):16.0f}" for category in CATEGORIES))


def score(found: Report, category: str) -> float:
    return float(found["categories"][category]["score"] or 0) * 100


def shortcomings(name: str, found: Report) -> list[str]:
    """Return a line for each audit that lowers a score below LEAST."""
    low = [category for category in CATEGORIES if round(score(found, category)) < LEAST]
    references = [(category, ref) for category in low for ref in found["categories"][category]["auditRefs"]]
    failed = [(category, found["audits"][ref["id"]]) for category, ref in references if ref["weight"]]
    return [
        f"  {name}, {category}: {audit['title']} {audit.get('displayValue', '')}".rstrip()
        for category, audit in failed
        if (audit["score"] if audit["score"] is not None else 1) < 0.9
    ]
