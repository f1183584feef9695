"""A shop with a book, an order, a message, a webhook and an import in every state, for tests of every page."""

from bookshop.accounts.login_links import LinkRequest
from bookshop.cart.repository import CartEntry
from bookshop.checkout.service import Checkout
from bookshop.imports.runner import check_file, import_file
from bookshop.mailer.worker import MailWorker
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker
from tests.support import second_factors
from tests.support.bad_input import ISBN
from tests.support.clients import WebClient
from tests.support.factories import Shop, isbn
from tests.support.links import add_links

IN_STOCK, OUT_OF_STOCK, RESERVED, CAME_BACK, SOLD_OUT_AGAIN, WITHDRAWN, DEARER, SHORT, SOLD, NO_LONGER = range(1, 11)
ADA = 1
IN_CARTS = (DEARER, SHORT, SOLD, NO_LONGER)
PLACED, READY, COLLECTED, CANCELLED, OVERDUE = range(1, 6)
PREVIEWED, IN_PROGRESS, UNREADABLE, COMPLETE = range(1, 5)
TOLD, STOPPED, FAILED, PUT_OFF = range(2, 6)  # messages; the first is the notice about a token of Ada
LONG = "The Life and Strange Surprizing Adventures of Robinson Crusoe, of York, Mariner"


def fill(shop: Shop) -> None:
    ada = shop.customer("ada@example.com")
    assert ada == ADA
    shop.token("ada@example.com")
    shop.customer("ben@example.com")
    add_links(shop, ada)
    shop.execute("UPDATE login_links SET browser = 'a phone'")
    staff = shop.staff("staff@example.com")
    shop.owner("owner@example.com")
    shop.staff("dora@example.com")
    facts = {"isbn": ISBN, "language": "en", "published_year": 1719, "publisher": "W. Taylor"}
    assert shop.book(LONG, stock=2, description=LONG * 5, **facts) == IN_STOCK
    shop.book("Emma")
    shop.book(LONG)
    for title in ("Persuasion", "Sanditon"):
        shop.reserve(ada, shop.book(title))
    assert shop.withdraw(shop.book("The Watsons", stock=1)) == 0
    shop.reserve(ada, RESERVED)
    shop.set_stock(CAME_BACK, 3)
    shop.set_stock(SOLD_OUT_AGAIN, 1)
    shop.set_stock(SOLD_OUT_AGAIN, 0)
    for title in ("Lady Susan", LONG, "Mansfield Park", "Plan of a Novel"):
        shop.book(title, stock=9)
    for number in range(60):
        shop.book(f"Volume {number}", stock=number % 3)
    pick_books(shop)
    order(shop, ada, staff)
    send(shop)
    start(shop)
    call(shop, staff)
    import_files(shop)
    shop.fill_cart(ada, {IN_STOCK: 1, **dict.fromkeys(IN_CARTS, 2)})
    shop.fill_cart(shop.customer("cleo@example.com"), {IN_STOCK: 1})


def pick_books(shop: Shop) -> None:
    """Put books on a shelf of staff picks, one with the longest sentence and one that is withdrawn, and add a draft."""
    winter = shop.pick_shelf("Winter reading", introduction="For long evenings.")
    for book, sentence in (
        (IN_STOCK, LONG),
        (OUT_OF_STOCK, "She means well."),
        (RESERVED, "Quiet."),
        (DEARER, "Short."),
    ):
        shop.pick(winter, book, sentence)
    shop.execute(f"INSERT INTO picks VALUES ({winter}, {WITHDRAWN}, 'Unfinished.', 9, 1)")
    shop.pick_shelf("Spring", state="draft")


def start(shop: Shop) -> None:
    """Start a reservation and an order in the browser that asked for the login link; no further e-mail is sent."""
    visitor, actions = LinkRequest("login@example.com", "a phone"), services.link_actions
    shop.commit(lambda: actions().start_reservation(visitor, OUT_OF_STOCK))
    shop.commit(lambda: actions().start_order(visitor, Checkout(name="Ada"), [CartEntry(SHORT, 2, 900, "EUR", 9)]))


def order(shop: Shop, ada: int, staff: int) -> None:
    """Give Ada an order in every status, one of a reserved book, and one that is uncollected."""
    fields = {"name": LONG, "phone": "+44 20 7946 0018", "note": LONG * 2}
    for book_id in (CAME_BACK, DEARER, DEARER, DEARER, SHORT):
        order_id = shop.order(ada, {book_id: 1}, **fields)
        if order_id != PLACED:
            shop.change_order(order_id, "ready", staff)
    shop.change_order(COLLECTED, "collected", staff)
    shop.change_order(CANCELLED, "cancelled", staff)
    shop.execute("UPDATE orders SET ready_at = '2026-01-01 12:00:00' WHERE id = :overdue", overdue=OVERDUE)


def send(shop: Shop) -> None:
    """Create messages that were sent, failed, deferred, and stopped by the stock."""
    refused = "550 5.1.1 No such user here; see https://mail.example.com/a/very/long/way/to/say/no?why=nobody"
    shop.execute("UPDATE messages SET next_attempt_at = created_at WHERE id = :id", id=TOLD)
    shop.execute("UPDATE messages SET state = 'failed', last_error = :why WHERE id = :id", why=refused, id=FAILED)
    later = "attempts = 3, last_error = '451 Try later', next_attempt_at = '2100-01-01 12:00:00'"
    shop.execute(f"UPDATE messages SET {later} WHERE id = :id", id=PUT_OFF)
    with shop.app.app_context():
        MailWorker().run_once()


def call(shop: Shop, staff: int) -> None:
    """Create a resting webhook with a delivery in every state, and one with a long URL and no deliveries."""
    with shop.app.app_context():
        services.register_webhook(staff, "https://1.1.1.1/hooks", ["*"])
        services.register_webhook(
            staff, f"https://1.1.1.1/{'a-very-long-way/' * 20}", ["order.collected", "prebooking.*"]
        )
    for quantity in (3, 5, 4, 6):
        shop.set_stock(IN_STOCK, quantity)
    with shop.app.app_context():
        WebhookWorker().queue_new()
    late = "next_attempt_at = '2100-01-01 12:00:00'"
    for delivery_id, values in enumerate((
        "state = 'delivered', delivered_at = queued_at",
        "state = 'failed', attempts = 26, last_error = 'Given up after 3 days. The receiver answered 500.'",
        f"attempts = 3, last_error = 'The receiver did not answer in time.', {late}",
        f"state = 'sending', lease = 'x', {late}",
    ), start=1):  # fmt: skip
        shop.execute(f"UPDATE webhook_deliveries SET {values} WHERE id = :id", id=delivery_id)
    shop.execute("UPDATE webhooks SET misses = 3, rests_until = '2100-01-01 12:00:00' WHERE id = 1")


def import_files(shop: Shop) -> None:
    """Create imports: one that is previewed, one in progress, one that cannot be read, and one that is complete."""
    path = shop.app.config["SETTINGS"].imports / f"{LONG}.csv"
    columns = [f"Column {number} of the till" for number in range(20)]
    lines = [["isbn", "title", "authors", *columns], [ISBN, LONG * 2, "Defoe"], [isbn(), LONG, LONG], ["1", LONG, ""]]
    path.write_text("\n".join(",".join(f'"{cell}"' for cell in line) for line in lines))
    with shop.app.app_context():
        for _import in (PREVIEWED, IN_PROGRESS, UNREADABLE):
            check_file(path)
        import_file(path)
    shop.execute("UPDATE import_jobs SET state = 'importing', position = size / 2 WHERE id = :id", id=IN_PROGRESS)
    shop.execute("UPDATE import_jobs SET state = 'failed', error = :why WHERE id = :id", why=LONG, id=UNREADABLE)


def give_phone(shop: Shop, dora: WebClient) -> None:
    """Set up a second factor for Dora, who last confirmed her login long ago."""
    second_factors.set_up(dora)
    login = "(SELECT id FROM users WHERE email = 'dora@example.com')"
    shop.execute(f"UPDATE login_sessions SET confirmed_at = NULL WHERE user_id = {login}")


def fill_cart(guest: WebClient) -> None:
    """Put the contents of Ada's cart into a visitor's cart."""
    for book_id in IN_CARTS:
        guest.submit("/cart/items", page="/login", book_id=book_id, quantity=2)


def change(shop: Shop) -> None:
    """Change a price and the stock of the books in the carts."""
    shop.execute("UPDATE books SET price_cents = 1150 WHERE id = :book", book=DEARER)
    shop.set_stock(SHORT, 1)
    shop.set_stock(SOLD, 0)
    shop.withdraw(NO_LONGER)
