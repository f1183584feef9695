"""Screenshots of the main pages: `make screenshots` writes them to screenshots/, and some to docs/img/.

Three of the latter are for the README; those of single parts of pages are for docs/design.md, see bench/parts.py.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.demo import ACCOUNTS, demo_shop
from bench.parts import pictures_of_parts, write_webp
from bookshop.accounts import signed_links
from bookshop.config import ROOT
from bookshop.imports.runner import check_file, import_file
from bookshop.mailer.worker import MailWorker
from bookshop.orders.models import READY
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker
from tests.browser.accessibility import THEMES
from tests.browser.chromium import launch_options, log_in
from tests.support.factories import Shop, isbn
from tests.support.second_factors import scan

FOLDER = ROOT / "screenshots"
README_FOLDER = ROOT / "docs" / "img"
README_SCENES = {"home", "book-out-of-stock", "dashboard"}
README_SIZE, README_BYTES = (1280, 800), 60 * 1024
VISITOR, ADA, BEN, STAFF, OWNER = "visitor", "ada", "ben", "staff", "owner"
NEW = ["Verstand und Gefühl", "Mansfield Park", "Die Abtei von Northanger", "Lady Susan"]  # imported titles
WAITING = {0: 2, 1: 9, 2: 5, 3: 14, 4: 3, 5: 1}  # how many other customers are waiting, by index of the book


@dataclass(frozen=True)
class Scene:
    """One page: the name of its screenshots, the user who is logged in, and what they do on the page first."""

    name: str
    user: str
    path: str
    act: Callable[[Page], None] = lambda page: None


def scenes(shop: Shop) -> list[Scene]:
    """List the main pages, after creating reservations, orders, messages and webhooks for them to show."""
    in_stock = shop.rows("SELECT id FROM books WHERE stock_quantity > 3 ORDER BY id")
    not_reserved = "stock_quantity = 0 AND id NOT IN (SELECT book_id FROM prebookings)"
    wanted = shop.rows(f"SELECT id FROM books WHERE {not_reserved} ORDER BY id")
    few = shop.rows("SELECT id FROM books WHERE stock_quantity BETWEEN 1 AND 3 ORDER BY id")
    _create_activity(shop, wanted, [*few, *in_stock][-4:])
    placed, ready = _order(shop, in_stock)
    alert = _send_messages(shop)
    _create_webhooks(shop, in_stock[0])
    previewed, imported = _import_files(shop)
    codes = shop.rows("SELECT isbn FROM books WHERE isbn IS NOT NULL ORDER BY stock_quantity, id LIMIT 6")
    return [
        Scene("home", VISITOR, "/"),
        Scene("suggestions", VISITOR, "/", _type_a_search),
        Scene("catalogue", VISITOR, "/books"),
        Scene("filters", VISITOR, "/books#filters"),
        Scene("no-result", VISITOR, "/books?q=gardening+with+dragons"),
        Scene("book-in-stock", VISITOR, f"/books/{in_stock[0]}"),
        Scene("book-out-of-stock", ADA, f"/books/{wanted[3]}"),
        Scene("book-reserved", ADA, f"/books/{wanted[0]}"),
        Scene("book-came-back", ADA, f"/books/{wanted[5]}"),
        Scene("picks", VISITOR, "/picks"),
        Scene("picks-shelf", STAFF, "/admin/picks/1"),
        Scene("reservations", ADA, "/reservations"),
        Scene("waiting", VISITOR, _waiting_page(shop)),
        Scene("added-to-cart", VISITOR, f"/books/{in_stock[4]}", _add_to_cart),
        Scene("cart-empty", VISITOR, "/cart"),
        Scene("cart", BEN, "/cart"),
        Scene("cart-changed", ADA, "/cart"),
        Scene("checkout", BEN, "/checkout"),
        Scene("checkout-visitor", VISITOR, f"/books/{in_stock[4]}", _check_out_as_visitor),
        Scene("checkout-refused", ADA, "/checkout", _check_out),
        Scene("orders", ADA, "/orders"),
        Scene("order-placed", ADA, f"/orders/{placed}"),
        Scene("order-ready", ADA, f"/orders/{ready}"),
        Scene("account", ADA, "/account"),
        Scene("login", VISITOR, "/login"),
        Scene("link-sent", VISITOR, f"/books/{wanted[1]}", _reserve_as_visitor),
        Scene("dashboard", STAFF, "/admin"),
        Scene("staff-orders", STAFF, "/admin/orders"),
        Scene("staff-uncollected", STAFF, "/admin/orders?status=uncollected"),
        Scene("staff-order", STAFF, f"/admin/orders/{placed}"),
        Scene("pick-list", STAFF, "/admin/orders/pick-list"),
        Scene("sale", STAFF, f"/admin/books/{wanted[5]}/stock"),
        Scene("mail", STAFF, "/admin/mail?status=to_send"),
        Scene("mail-failed", STAFF, "/admin/mail"),
        Scene("message", STAFF, f"/admin/mail/{alert}"),
        Scene("webhooks", STAFF, "/admin/webhooks"),
        Scene("webhook", STAFF, "/admin/webhooks/1"),
        Scene("restocked", STAFF, f"/admin/books/{wanted[4]}/stock", _restock),
        Scene("delivery", STAFF, "/admin/delivery", lambda page: _check_delivery(page, codes)),
        Scene("imports", STAFF, "/admin/imports"),
        Scene("import-preview", STAFF, f"/admin/imports/{previewed}"),
        Scene("import-report", STAFF, f"/admin/imports/{imported}"),
        Scene("stock", STAFF, "/admin/books"),
        Scene("staff-search", STAFF, "/admin/search?q=austen"),
        Scene("users", STAFF, "/admin/users"),
        Scene("second-factor", STAFF, "/account/second-factor"),
        Scene("recovery-codes", STAFF, "/account/second-factor", _turn_on_second_factor),
        Scene("staff", OWNER, "/admin/staff"),
        Scene("member", OWNER, f"/admin/staff/{_id_of(shop, STAFF)}"),
        Scene("settings", OWNER, "/admin/settings"),
        Scene("pages", OWNER, "/admin/pages"),
        Scene("page", OWNER, "/admin/pages/terms"),
        Scene("privacy", VISITOR, "/pages/privacy"),
        Scene("settings-look", OWNER, "/admin/settings/look"),
        Scene("settings-server", OWNER, "/admin/settings/server"),
        Scene("visit", VISITOR, "/visit"),
        Scene("return", VISITOR, "/return"),
        Scene("return-refused", VISITOR, "/return", lambda page: page.get_by_role("button", name="Continue").click()),
        Scene("return-confirm", VISITOR, "/return", _declare_return),
        Scene("audit", OWNER, "/admin/audit"),
        Scene("not-found", VISITOR, "/books/987654"),
    ]


def _type_a_search(page: Page) -> None:
    page.get_by_role("combobox").press_sequentially("the")
    page.get_by_role("option").first.wait_for()


def _id_of(shop: Shop, user: str) -> int:
    return int(shop.rows("SELECT id FROM users WHERE email_key = :email", email=ACCOUNTS[user][0])[0])


def _waiting_page(shop: Shop) -> str:
    """Return the path of the page that Ada's alerts link to."""
    content = [_id_of(shop, ADA), ACCOUNTS[ADA][0]]
    with shop.app.app_context():
        return f"/waiting/{signed_links.sign(signed_links.WAITING, content)}"


def _create_activity(shop: Shop, wanted: list[int], sold: list[int]) -> None:
    """Reserve books for Ada and others, cancel one reservation, and receive a delivery."""
    ada = _id_of(shop, ADA)
    others = shop.customers(max(WAITING.values()))
    for index in (0, 1, 5):
        shop.reserve(ada, wanted[index])
    shop.cancel(ada, shop.reserve(ada, wanted[2]))
    for index, count in WAITING.items():
        for user_id in others[:count]:
            shop.reserve(user_id, wanted[index])
    for book_id, left in zip(sold, (1, 2, 3, 2), strict=False):
        shop.set_stock(book_id, left)
    shop.set_stock(wanted[5], 4)
    shop.execute("UPDATE prebookings SET created_at = datetime(created_at, -(id * 7 % 40) || ' days')")


def _order(shop: Shop, in_stock: list[int]) -> tuple[int, int]:
    """Place orders for Ada and fill both carts, then change Ada's books; returns her placed and her ready order."""
    ada, ben, staff = (_id_of(shop, user) for user in (ADA, BEN, STAFF))
    details = {"name": "Ada Lovelace", "phone": "020 7946 0018"}
    overdue, ready, cancelled = (shop.order(ada, {book_id: 1}, **details) for book_id in in_stock[:3])
    placed = shop.order(
        ada, dict(zip(in_stock[3:6], (1, 2, 1), strict=True)), note="Please wrap the first one.", **details
    )
    for order_id in (overdue, ready):
        shop.change_order(order_id, READY, staff)
    shop.cancel_order(ada, cancelled)
    shop.execute("UPDATE orders SET ready_at = datetime(ready_at, '-20 days') WHERE id = :id", id=overdue)
    shop.fill_cart(ben, dict(zip(in_stock[6:9], (1, 2, 1), strict=True)))
    unchanged, dearer, short, sold_out = in_stock[9:13]
    shop.fill_cart(ada, {unchanged: 1, dearer: 2, short: 2, sold_out: 1})
    shop.execute("UPDATE books SET price_cents = price_cents + 200 WHERE id = :id", id=dearer)
    shop.set_stock(short, 1)
    shop.set_stock(sold_out, 0)
    return placed, ready


def _send_messages(shop: Shop) -> int:
    """Send some messages, fail two and leave one to be retried later; returns the id of a restock alert."""
    alert, *others = shop.rows("SELECT id FROM messages WHERE kind = 'restock' AND state = 'queued' ORDER BY id DESC")
    failed = "state = 'failed', attempts = 1, last_error = '550 5.1.1 No such user here'"
    shop.execute(f"UPDATE messages SET {failed} WHERE id IN (:one, :other)", one=others[0], other=others[1])
    later = "attempts = 3, last_error = '451 4.7.1 Try later', next_attempt_at = datetime('now', '420 seconds')"
    shop.execute(f"UPDATE messages SET {later} WHERE id = :id", id=others[2])
    shop.execute("UPDATE messages SET next_attempt_at = created_at WHERE id = :id", id=alert)
    with shop.app.app_context():
        MailWorker().run_once()
    return int(alert)


def _create_webhooks(shop: Shop, book_id: int) -> None:
    """Register two webhooks and queue deliveries to them: one is to be retried, and one has failed."""
    staff = _id_of(shop, STAFF)
    with shop.app.app_context():
        services.register_webhook(staff, "https://93.184.215.14/hooks/bookshop?branch=2", ["stock.changed", "order.*"])
        services.register_webhook(staff, "https://93.184.215.14/accounts", ["order.collected"])
    for quantity in (7, 6, 5, 4):
        shop.set_stock(book_id, quantity)
    with shop.app.app_context():
        WebhookWorker().queue_new()
    delivered = "state = 'delivered', attempts = 1, last_status = 200, delivered_at = queued_at"
    shop.execute(f"UPDATE webhook_deliveries SET {delivered} WHERE id IN (1, 2)")
    retried = "attempts = 3, last_status = 503, last_error = 'The receiver answered 503.'"
    later = "next_attempt_at = datetime('now', '420 seconds')"
    shop.execute(f"UPDATE webhook_deliveries SET {retried}, {later} WHERE id = 3")
    failed = "state = 'failed', attempts = 1, last_status = 410, last_error = 'The receiver answered 410.'"
    shop.execute(f"UPDATE webhook_deliveries SET {failed} WHERE id = 4")


def _import_files(shop: Shop) -> tuple[int, int]:
    """Import a list, and check it again with other prices; returns the previewed import and the complete one."""
    new = [f"{isbn()};{title};Austen, Jane;{number + 9},90;{number};B {number}" for number, title in enumerate(NEW)]
    lines = ["ISBN;Titel;Autor;VK;Bestand;Regal", *new, "978-3-16;Die Watsons;Austen, Jane;8,90;1;B 9"]
    with TemporaryDirectory() as folder, shop.app.app_context():
        path = Path(folder) / "Lagerliste.csv"
        path.write_text("\n".join(lines))
        imported = import_file(path).id
        path.write_text("\n".join(lines).replace(",90", ",50"))
        return check_file(path).job_id, imported


def _restock(page: Page) -> None:
    page.get_by_label("Copies", exact=True).fill("5")
    page.get_by_role("button", name="Save stock").click()


def _add_to_cart(page: Page) -> None:
    page.get_by_role("button", name="Add to cart").click()


def _reserve_as_visitor(page: Page) -> None:
    page.get_by_label("Your e-mail address").fill("newcomer@example.com")
    page.get_by_role("button", name="Reserve", exact=True).click()


def _check_out_as_visitor(page: Page) -> None:
    _add_to_cart(page)
    page.goto("/checkout")


def _check_out(page: Page) -> None:
    page.get_by_label("Note to the shop").fill("I'll come on Saturday.")
    page.get_by_role("button", name="Reserve for collection").click()


def _declare_return(page: Page) -> None:
    for label, text in (("Your name", "Ada Lovelace"), ("Order number", "4821-7301"), ("E-mail", "ada@example.com")):
        page.get_by_label(label).fill(text)
    page.get_by_label("Which books?").fill("Lady Susan\nSanditon")
    page.get_by_role("button", name="Continue").click()


def _check_delivery(page: Page, codes: list[str]) -> None:
    lines = [f"{code} x{number}" for number, code in enumerate(codes, 1)]
    page.locator("textarea").fill("\n".join([*lines, "9780141439512"]))
    page.get_by_role("button", name="Check").click()


def _turn_on_second_factor(page: Page) -> None:
    page.get_by_label("Code that the app shows now").fill(scan(page.content()).code())
    page.get_by_role("button", name="Turn on").click()


def pictures(browser: Browser, home: str, scene: Scene) -> Iterator[str]:
    """Take the four screenshots of a scene, and the README's if it is one of those; yields their names."""
    options: dict[str, Any] = {"base_url": home, "reduced_motion": "reduce"}
    with browser.new_context(**options) as context:
        page = context.new_page()
        if scene.user != VISITOR:
            log_in(page, *ACCOUNTS[scene.user])
        response = page.goto(scene.path)
        if response is None or response.status >= 500:
            raise RuntimeError(f"{scene.path} cannot be shown")
        scene.act(page)
        for scheme, width in THEMES:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            name = f"{scene.name}-{width}-{scheme}.png"
            page.screenshot(path=FOLDER / name, full_page=True)
            yield name
        if scene.name in README_SCENES:
            yield _readme_picture(page, scene.name)
        yield from pictures_of_parts(page, scene.name)


def _readme_picture(page: Page, name: str) -> str:
    """Write the top of a page as WebP; returns its name."""
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": README_SIZE[0], "height": README_SIZE[1]})
    return write_webp(page.screenshot(), README_FOLDER / f"{name}.webp", README_BYTES).name


def run(names: list[str]) -> None:
    """Take the screenshots of these scenes, or of all."""
    if not names:
        shutil.rmtree(FOLDER, ignore_errors=True)
    with demo_shop() as (shop, home), sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options())
        for scene in scenes(shop):
            if not names or scene.name in names:
                print(*pictures(browser, home, scene))
        browser.close()
    print(f"in {FOLDER.relative_to(ROOT)}/ and {README_FOLDER.relative_to(ROOT)}/")


if __name__ == "__main__":
    run(sys.argv[1:])
