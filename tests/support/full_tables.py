"""A shop with a row in every table."""

from bookshop.accounts.login_links import LinkRequest
from bookshop.accounts.models import RESERVE
from bookshop.web import opening, services
from bookshop.webhooks.worker import WebhookWorker
from tests.support.factories import IMPORT_COLUMNS, IMPORT_VALUES, Shop

ROWS = {
    "idempotency_records": "(user_id, key, fingerprint, created_at) VALUES (1, 'k', 'f', '2026-01-01')",
    "sent_forms": "(key, created_at) VALUES ('k', '2026-01-01')",
    "attempts": "(key, count, until, forget_at) VALUES ('k', 1, '2026-01-01', '2026-01-01')",
    "second_factors": "(user_id, nonce, last_step, created_at) VALUES (1, 'n', 0, '2026-01-01')",
    "recovery_codes": "(code_hash, user_id) VALUES ('h', 1)",
    "worker_beats": "(worker, loop, seen_at) VALUES ('w', 'mail', '2026-01-01')",
    "purge_state": "(id, due_at, events_until, movements_until) VALUES (1, '2026-01-01', 0, 0)",
    "import_notes": "(job_id, kind, sentence) VALUES (1, 'refused', 's')",
    "column_mappings": "(header_hash, mapping, updated_at) VALUES ('h', '[]', '2026-01-01')",
    "onix_records": "(book_id, record, received_at) VALUES (1, '', '2026-01-01')",
    "reference_titles": "(isbn, title, authors, imported_at) VALUES ('9', 't', 'a', '2026-01-01')",
    "skipped_positions": "(until_position, after_position) VALUES (0, 0)",
    "backups": "(finished_at, file, size) VALUES ('2026-01-01', 'f.zip', 1)",
}


def fill(shop: Shop) -> None:
    """Insert at least one row into every table, and pre-bookings of every status."""
    shop.staff()
    ada, ben = shop.customer("ada@example.com"), shop.customer("ben@example.com")
    shop.token("ada@example.com")
    emma, persuasion = shop.book("Emma", isbn="9780141439587"), shop.book("Persuasion")
    shop.reserve(ada, emma)
    shop.set_stock(emma, 3)
    shop.cancel(ada, shop.reserve(ada, persuasion))
    shop.reserve(ben, persuasion)
    shop.describe(city="Oxford", post_orders=True, postage_cents=350)
    shop.give_back(shop.order(ada, {emma: 1}, delivery="post", address="1 Fen Street"))
    shop.fill_cart(ada, {emma: 2})
    shop.commit(lambda: services.content().add({"title": "Events", "body": "Readings", "state": "published"}))
    shop.pick(shop.pick_shelf("Winter reading"), emma)
    visitor = LinkRequest("cleo@example.com", "a browser")
    shop.commit(lambda: services.login_links().start(visitor, RESERVE, persuasion))
    with shop.app.app_context():
        services.register_webhook(ada, "https://1.1.1.1/hooks", ["*"])
    shop.set_stock(emma, 7)
    with shop.app.app_context():
        WebhookWorker().queue_new()
    shop.commit(lambda: opening.service().record_passed("mail", "f"))
    fill_by_sql(shop, ada, emma)


def fill_by_sql(shop: Shop, ada: int, emma: int) -> None:
    """Insert a row into each table of which no service makes one at once."""
    shop.execute(f"INSERT INTO import_jobs ({IMPORT_COLUMNS}) VALUES ({IMPORT_VALUES})", state="done")
    for table, row in ROWS.items():
        shop.execute(f"INSERT INTO {table} {row}")
    shop.execute("UPDATE books SET import_id = 1 WHERE id = :emma", emma=emma)
    shop.execute("INSERT INTO login_sessions (id, user_id, created_at) VALUES ('x', :ada, '2026-01-01')", ada=ada)
