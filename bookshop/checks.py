"""The invariants of the shop, as SQL for both databases; each statement finds the rows that break one."""

from collections.abc import Iterator

from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

MAX_LINES = 100

# By topic and invariant: a statement that selects a sentence for each row that breaks the invariant.
INVARIANTS: dict[str, str] = {
    "waiting: only active users wait, and only for books that are on sale and out of stock": """
        SELECT 'pre-booking ' || p.id || ' is waiting, but ' || CASE
            WHEN b.stock_quantity > 0 THEN 'book ' || b.id || ' has ' || b.stock_quantity || ' in stock'
            WHEN b.withdrawn_at IS NOT NULL THEN 'book ' || b.id || ' is withdrawn'
            ELSE 'user ' || u.id || ' is deactivated' END
        FROM prebookings p JOIN books b ON b.id = p.book_id JOIN users u ON u.id = p.user_id
        WHERE p.status = 'waiting'
          AND (b.stock_quantity > 0 OR b.withdrawn_at IS NOT NULL OR u.deactivated_at IS NOT NULL)""",
    "waiting: every pre-booking has its book and its user": """
        SELECT 'pre-booking ' || p.id || ' names a book or user that does not exist'
        FROM prebookings p LEFT JOIN books b ON b.id = p.book_id LEFT JOIN users u ON u.id = p.user_id
        WHERE b.id IS NULL OR u.id IS NULL""",
    "waiting: one waiting pre-booking per user and book": """
        SELECT 'user ' || user_id || ' has ' || count(*) || ' waiting pre-bookings for book ' || book_id
        FROM prebookings WHERE status = 'waiting' GROUP BY user_id, book_id HAVING count(*) > 1""",
    "status: the status of a pre-booking matches its timestamps": """
        SELECT 'pre-booking ' || id || ' is ' || status || ', which does not match its timestamps'
        FROM prebookings
        WHERE status NOT IN ('waiting', 'notified', 'cancelled')
           OR (status = 'notified') <> (notified_at IS NOT NULL)
           OR (status = 'cancelled') <> (cancelled_at IS NOT NULL)""",
    "stock: no stock is negative": """
        SELECT 'book ' || id || ' has a stock of ' || stock_quantity FROM books WHERE stock_quantity < 0""",
    "stock: every stock is the sum of its movements": """
        SELECT 'book ' || b.id || ' has a stock of ' || b.stock_quantity || ', but its movements add up to '
            || coalesce(m.total, 0)
        FROM books b LEFT JOIN (SELECT book_id, sum(delta) AS total FROM movements GROUP BY book_id) m
            ON m.book_id = b.id
        WHERE b.stock_quantity <> coalesce(m.total, 0)""",
    "stock: every movement has a book, a user or none, and a known reason": """
        SELECT 'movement ' || m.id || ' of book ' || m.book_id || ' names a book or user that does not exist, '
            || 'an unknown reason, or no change'
        FROM movements m LEFT JOIN books b ON b.id = m.book_id LEFT JOIN users u ON u.id = m.user_id
        WHERE b.id IS NULL OR (m.user_id IS NOT NULL AND u.id IS NULL) OR m.delta = 0 OR m.quantity_after < 0
           OR m.reason NOT IN ('received', 'correction', 'sale', 'return', 'import')""",
    "stock: every movement follows from the one before": """
        SELECT 'movement ' || id || ' leaves a stock of ' || quantity_after || ', but the movements up to it add up to '
            || total
        FROM (SELECT id, quantity_after, sum(delta) OVER (PARTITION BY book_id ORDER BY id) AS total FROM movements) m
        WHERE quantity_after <> total""",
    "notified: every notified pre-booking names the restock that notified it": """
        SELECT 'pre-booking ' || p.id || ' is ' || p.status || ' and names ' ||
            coalesce('movement ' || p.movement_id, 'no movement') || ' as the restock that notified it'
        FROM prebookings p LEFT JOIN movements m
            ON m.id = p.movement_id AND m.book_id = p.book_id AND m.delta > 0 AND m.quantity_after = m.delta
        WHERE (p.status = 'notified' AND m.id IS NULL) OR (p.status <> 'notified' AND p.movement_id IS NOT NULL)""",
    "messages: every notified pre-booking has one restock message, and no other has one": """
        SELECT 'pre-booking ' || p.id || ' is notified, but has no restock message'
        FROM prebookings p LEFT JOIN messages m ON m.prebooking_id = p.id AND m.kind = 'restock'
        WHERE p.status = 'notified' AND m.id IS NULL
        UNION ALL
        SELECT 'message ' || m.id || ' is a restock message, but names pre-booking ' || m.prebooking_id
            || ', which is ' || coalesce(p.status, 'missing') || CASE
            WHEN p.user_id <> m.user_id THEN ' and of another user' ELSE '' END
        FROM messages m LEFT JOIN prebookings p ON p.id = m.prebooking_id
        WHERE m.kind = 'restock' AND (p.id IS NULL OR p.status <> 'notified' OR p.user_id <> m.user_id)
        UNION ALL
        SELECT 'pre-booking ' || prebooking_id || ' has ' || count(*) || ' restock messages'
        FROM messages WHERE kind = 'restock' GROUP BY prebooking_id HAVING count(*) > 1""",
    "messages: no alert is stopped as gone while its book is on sale and in stock": """
        SELECT 'message ' || m.id || ' is stopped as gone, but book ' || b.id || ' is on sale with '
            || b.stock_quantity || ' in stock'
        FROM messages m JOIN prebookings p ON p.id = m.prebooking_id JOIN books b ON b.id = p.book_id
        WHERE m.reason = 'gone' AND b.stock_quantity > 0 AND b.withdrawn_at IS NULL""",
    "messages: the key of a restock message names its pre-booking, and every message is of a known kind": """
        SELECT 'message ' || id || ' of kind ' || kind || ' has the key ' || dedupe_key || ' and ' || attempts
            || ' attempts, which is not valid'
        FROM messages
        WHERE (kind = 'restock' AND dedupe_key <> 'restock:' || prebooking_id) OR attempts < 0
           OR kind NOT IN ('restock', 'order_placed', 'order_ready', 'order_cancelled', 'order_return', 'confirmation',
               'known_address', 'password_reset', 'login_link', 'address_link', 'invitation', 'password_changed',
               'address_changed', 'second_factor', 'token_created', 'new_login', 'mail_check')""",
    "messages: no message has the address of a deleted account": """
        SELECT 'message ' || m.id || ' has the address of user ' || u.id || ', whose account is deleted'
        FROM messages m JOIN users u ON u.id = m.user_id
        WHERE u.deleted_at IS NOT NULL AND m.recipient LIKE '%@%'""",
    "messages: the state of a message matches its lease, its timestamps and its reason": """
        SELECT 'message ' || id || ' is ' || state
            || ', which does not match its lease, its timestamps, its reason or its kind'
        FROM messages
        WHERE state NOT IN ('queued', 'sending', 'sent', 'failed', 'suppressed')
           OR (state = 'sending') <> (lease IS NOT NULL) OR (state = 'sent') <> (sent_at IS NOT NULL)
           OR (state = 'suppressed') <> (reason IS NOT NULL) OR (reason = 'gone' AND kind <> 'restock')
           OR (kind = 'restock') <> (prebooking_id IS NOT NULL) OR (kind LIKE 'order%') <> (order_id IS NOT NULL)""",
    "messages: every message has a user or a link, and its order is one of that user": """
        SELECT 'message ' || m.id || ' names a user who does not exist, or an order that is not theirs'
        FROM messages m LEFT JOIN users u ON u.id = m.user_id LEFT JOIN orders o ON o.id = m.order_id
        WHERE (u.id IS NULL AND (m.user_id IS NOT NULL OR m.kind NOT IN ('login_link', 'address_link')))
           OR (m.order_id IS NOT NULL AND (o.id IS NULL OR o.user_id <> m.user_id))""",
    "events: every event is of a known kind and has the row that it is about": """
        SELECT 'event ' || e.id || ' is of kind ' || e.kind || ', which does not match the row that it is about'
        FROM events e LEFT JOIN movements m ON m.id = e.movement_id
        LEFT JOIN prebookings p ON p.id = e.prebooking_id LEFT JOIN orders o ON o.id = e.order_id
        WHERE e.kind NOT IN ('stock.changed', 'book.restocked', 'prebooking.created', 'prebooking.cancelled',
               'prebooking.notified', 'order.placed', 'order.ready', 'order.collected', 'order.cancelled')
           OR (e.kind IN ('stock.changed', 'book.restocked')) <> (m.id IS NOT NULL)
           OR (e.kind LIKE 'prebooking.%') <> (p.id IS NOT NULL) OR (e.kind LIKE 'order.%') <> (o.id IS NOT NULL)""",
    "events: the positions of events start after the last purged one and have no gaps but those that were skipped": """
        SELECT 'the event at position ' || position || ' follows position ' || before
        FROM (SELECT position, lag(position, 1, coalesce((SELECT events_until FROM purge_state), 0))
            OVER (ORDER BY position) AS before FROM events WHERE position IS NOT NULL) e
        LEFT JOIN skipped_positions s ON s.until_position = position - 1 AND s.after_position = before
        WHERE position <> before + 1 AND s.until_position IS NULL
        UNION ALL
        SELECT 'no event is left at or after position ' || events_until FROM purge_state
        WHERE events_until > 0 AND NOT EXISTS (SELECT 1 FROM events WHERE position IS NOT NULL)""",
    "events: no event is recorded twice": """
        SELECT count(*) || ' events record ' || kind || ' of ' || coalesce('movement ' || movement_id,
            'pre-booking ' || prebooking_id, 'order ' || order_id)
        FROM events GROUP BY kind, movement_id, prebooking_id, order_id HAVING count(*) > 1""",
    "events: every movement since the feed began has its event, and every restock its own": """
        SELECT 'movement ' || m.id || ' has no event' FROM movements m
        LEFT JOIN events e ON e.movement_id = m.id AND e.kind = 'stock.changed'
        WHERE m.id > coalesce((SELECT movements_until FROM purge_state WHERE movements_until > 0),
            (SELECT min(movement_id) FROM events)) AND e.id IS NULL
        UNION ALL
        SELECT 'movement ' || m.id || ' and its event book.restocked do not match' FROM movements m
        JOIN events e ON e.movement_id = m.id AND e.kind = 'stock.changed'
        LEFT JOIN events r ON r.movement_id = m.id AND r.kind = 'book.restocked'
        WHERE (m.quantity_after = m.delta) <> (r.id IS NOT NULL)""",
    "events: every change of a pre-booking since the feed began has its event": """
        SELECT 'pre-booking ' || p.id || ' is ' || p.status || ', but its events do not say so'
        FROM prebookings p LEFT JOIN events c ON c.prebooking_id = p.id AND c.kind = 'prebooking.created'
        LEFT JOIN events n ON n.prebooking_id = p.id AND n.kind = 'prebooking.notified'
        LEFT JOIN events x ON x.prebooking_id = p.id AND x.kind = 'prebooking.cancelled'
        LEFT JOIN events r ON r.movement_id = p.movement_id AND r.kind = 'book.restocked'
        WHERE (n.id IS NOT NULL AND p.status <> 'notified') OR (x.id IS NOT NULL AND p.status <> 'cancelled')
           OR (r.id IS NOT NULL AND n.id IS NULL) OR (c.id IS NOT NULL AND p.status = 'cancelled' AND x.id IS NULL)""",
    "events: every change of an order since the feed began has its event": """
        SELECT 'order ' || o.number || ' is ' || o.status || ', but its events do not say so'
        FROM orders o JOIN events p ON p.order_id = o.id AND p.kind = 'order.placed'
        LEFT JOIN events r ON r.order_id = o.id AND r.kind = 'order.ready'
        LEFT JOIN events c ON c.order_id = o.id AND c.kind = 'order.collected'
        LEFT JOIN events x ON x.order_id = o.id AND x.kind = 'order.cancelled'
        WHERE (o.ready_at IS NOT NULL) <> (r.id IS NOT NULL) OR (o.collected_at IS NOT NULL) <> (c.id IS NOT NULL)
           OR (o.cancelled_at IS NOT NULL) <> (x.id IS NOT NULL)""",
    "webhooks: a delivery is of an event up to its webhook's position, and its state matches lease and timestamp": """
        SELECT 'delivery ' || d.id || ' of webhook ' || d.webhook_id || ' is ' || d.state
            || ', which does not match its lease, its timestamp, its event or its webhook'
        FROM webhook_deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN events e ON e.id = d.event_id
        WHERE d.state NOT IN ('queued', 'sending', 'delivered', 'failed') OR w.id IS NULL OR e.id IS NULL
           OR e.position IS NULL OR e.position > w.position OR (d.state = 'sending') <> (d.lease IS NOT NULL)
           OR (d.state = 'delivered') <> (d.delivered_at IS NOT NULL)""",
    "accounts: every address is confirmed, or the account is an old one that cannot log in": """
        SELECT 'user ' || u.id || ' has an address that is not confirmed, but a login, a valid token or no mark'
        FROM users u
        WHERE u.email_confirmed_at IS NULL AND (NOT u.never_confirmed
            OR EXISTS (SELECT 1 FROM login_sessions s WHERE s.user_id = u.id)
            OR EXISTS (SELECT 1 FROM api_tokens t WHERE t.user_id = u.id AND t.revoked_at IS NULL))""",
    "accounts: no link is used twice": """
        SELECT 'link ' || s.link_id || ' made ' || count(*) || ' logins, or was not used'
        FROM login_sessions s JOIN login_links l ON l.id = s.link_id
        GROUP BY s.link_id HAVING count(*) > 1 OR count(l.used_at) < count(*)""",
    "orders: every line of a cart has a book and a user": """
        SELECT 'the cart of user ' || i.user_id || ' holds book ' || i.book_id || ', one of which does not exist'
        FROM cart_items i LEFT JOIN books b ON b.id = i.book_id LEFT JOIN users u ON u.id = i.user_id
        WHERE b.id IS NULL OR u.id IS NULL OR i.quantity < 1""",
    "orders: every line of an order has its sale in the ledger": """
        SELECT 'line ' || l.id || ' of order ' || o.number || ' sells ' || l.quantity || ' of book ' || l.book_id
            || ', but the ledger has ' || coalesce('a sale of ' || -m.delta, 'no sale') || ' for it'
        FROM order_lines l JOIN orders o ON o.id = l.order_id
        LEFT JOIN (SELECT order_id, book_id, sum(delta) AS delta FROM movements
            WHERE reason = 'sale' AND order_id IS NOT NULL GROUP BY order_id, book_id) m
            ON m.order_id = l.order_id AND m.book_id = l.book_id
        WHERE m.delta IS NULL OR m.delta <> -l.quantity""",
    "orders: every sale and return for an order has its line": """
        SELECT 'movement ' || m.id || ' is a ' || m.reason || ' of book ' || m.book_id || ' for order ' || m.order_id
            || ', which has no such line'
        FROM movements m LEFT JOIN order_lines l ON l.order_id = m.order_id AND l.book_id = m.book_id
        WHERE m.order_id IS NOT NULL AND (l.id IS NULL OR m.reason NOT IN ('sale', 'return'))""",
    "orders: a cancelled order returned what it sold, and no other order returned copies": """
        SELECT 'order ' || o.number || ' is ' || o.status || ' and sold ' || l.quantity || ' of book ' || l.book_id
            || ', but returned ' || coalesce(m.delta, 0)
        FROM orders o JOIN order_lines l ON l.order_id = o.id
        LEFT JOIN (SELECT order_id, book_id, sum(delta) AS delta FROM movements
            WHERE reason = 'return' AND order_id IS NOT NULL GROUP BY order_id, book_id) m
            ON m.order_id = l.order_id AND m.book_id = l.book_id
        WHERE coalesce(m.delta, 0) <> CASE WHEN o.status = 'cancelled' THEN l.quantity ELSE 0 END""",
    "orders: every order has a customer and a line, and every line its order": """
        SELECT 'order ' || o.number || ' has no line' FROM orders o
        WHERE NOT EXISTS (SELECT 1 FROM order_lines l WHERE l.order_id = o.id)
        UNION ALL
        SELECT 'order ' || o.number || ' has a customer who does not exist' FROM orders o
        WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = o.user_id)
        UNION ALL
        SELECT 'line ' || l.id || ' names an order or book that does not exist' FROM order_lines l
        LEFT JOIN orders o ON o.id = l.order_id LEFT JOIN books b ON b.id = l.book_id
        WHERE o.id IS NULL OR b.id IS NULL""",
    "returns: every return is of an order by post and has its acknowledgement": """
        SELECT 'return ' || r.id || ' is of order ' || r.order_id || ', which is missing or not by post, or it has '
            || 'no acknowledgement'
        FROM returns r LEFT JOIN orders o ON o.id = r.order_id AND o.delivery = 'post'
        LEFT JOIN messages m ON m.dedupe_key = 'order_return:' || r.id AND m.order_id = r.order_id
        WHERE o.id IS NULL OR m.id IS NULL""",
    "status: the state of an order matches its timestamps": """
        SELECT 'order ' || number || ' is ' || status || ', which does not match its timestamps, or its payment, '
            || 'delivery or postage is not valid'
        FROM orders
        WHERE status NOT IN ('placed', 'ready', 'collected', 'cancelled')
           OR payment <> 'on_collection' OR delivery NOT IN ('collect', 'post') OR postage_cents < 0
           OR (postage_cents > 0 AND delivery <> 'post') OR (postage_cents = 0) <> (postage_currency IS NULL)
           OR (status = 'placed' AND ready_at IS NOT NULL)
           OR (status IN ('ready', 'collected') AND ready_at IS NULL)
           OR (status = 'collected') <> (collected_at IS NOT NULL)
           OR (status = 'cancelled') <> (cancelled_at IS NOT NULL)""",
    "bought: the pre-booking of an order line is a notified one of its customer and book": """
        SELECT 'line ' || l.id || ' of order ' || o.number || ' names pre-booking ' || l.prebooking_id
            || ', which is not a notified one of its customer and book'
        FROM order_lines l JOIN orders o ON o.id = l.order_id LEFT JOIN prebookings p ON p.id = l.prebooking_id
        WHERE l.prebooking_id IS NOT NULL AND (p.id IS NULL OR p.status <> 'notified'
            OR p.user_id <> o.user_id OR p.book_id <> l.book_id)""",
    "bought: no pre-booking is bought twice": """
        SELECT 'pre-booking ' || l.prebooking_id || ' is bought by ' || count(*) || ' orders'
        FROM order_lines l JOIN orders o ON o.id = l.order_id
        WHERE l.prebooking_id IS NOT NULL AND o.status <> 'cancelled'
        GROUP BY l.prebooking_id HAVING count(*) > 1""",
}


def broken_invariants(session: Session) -> Iterator[str]:
    """Yield a line for each row that breaks an invariant, at most 100 per invariant."""
    tables = set(inspect(session.connection()).get_table_names())
    needed = {"users", "books", "prebookings", "movements", "cart_items", "orders", "order_lines", "messages"}
    missing = (
        needed | {"events", "webhooks", "webhook_deliveries", "purge_state", "returns", "skipped_positions"}
    ) - tables
    if missing:
        yield f"the database has no table {', '.join(sorted(missing))}: run `flask db upgrade`"
        return
    for invariant, query in INVARIANTS.items():
        lines = session.scalars(text(query)).fetchmany(MAX_LINES + 1)
        for line in lines[:MAX_LINES]:
            yield f"{line} ({invariant})"
        if len(lines) > MAX_LINES:
            yield f"... and more ({invariant})"
