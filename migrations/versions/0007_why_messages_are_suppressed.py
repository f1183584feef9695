"""A column for the reason a message is suppressed; alerts whose book is back in stock are queued again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

IS_GONE = sa.text("reason = 'gone'")
IS_UNSENT = sa.text("state IN ('queued', 'sending')")

# So far the reason was a sentence in the column for the mail server's last response.
FILL_IN_REASONS = """
    UPDATE messages SET last_error = NULL, reason = CASE
        WHEN last_error = 'No copy was left before it was sent.' THEN 'gone'
        WHEN last_error = 'The book is sold out again.' THEN 'gone'
        WHEN last_error = 'The book is withdrawn.' THEN 'gone'
        WHEN last_error = 'The customer has reserved the book anew.' THEN 'reserved_again'
        WHEN last_error = 'The customer wants no restock alerts.' THEN 'unsubscribed'
        WHEN last_error = 'The customer has not confirmed the address.' THEN 'unconfirmed'
        WHEN last_error = 'The account is no longer active.' THEN 'closed'
        WHEN last_error = 'The account was deleted.' THEN 'closed'
        WHEN last_error = 'The address was changed.' THEN 'address_changed'
        WHEN last_error = 'The address is confirmed already.' THEN 'confirmed'
        WHEN last_error = 'It was asked for too long ago.' THEN 'too_old'
        WHEN last_error = 'Notified before the shop sent e-mail.' THEN 'before_mail'
        WHEN last_error LIKE 'The order is % by now.' THEN 'order_changed'
        ELSE 'dropped' END
    WHERE state = 'suppressed'
"""
# Deleting an account erased the sentence: those messages get the reason that never expires.
FILL_IN_CLOSED_ACCOUNTS = """
    UPDATE messages SET reason = 'closed' WHERE state = 'suppressed' AND user_id IN
        (SELECT id FROM users WHERE deactivated_at IS NOT NULL)
"""
FINAL_REASONS = {
    "unsubscribed": "EXISTS (SELECT 1 FROM users u WHERE u.id = messages.user_id AND u.unsubscribed_at IS NOT NULL)",
    "bought": "EXISTS (SELECT 1 FROM order_lines l WHERE l.prebooking_id = messages.prebooking_id)",
    "reserved_again": """EXISTS (SELECT 1 FROM prebookings p JOIN prebookings n ON n.user_id = p.user_id
        AND n.book_id = p.book_id AND n.id > p.id WHERE p.id = messages.prebooking_id)""",
}
QUEUE_OWED_ALERTS = """
    UPDATE messages SET state = 'queued', reason = NULL, attempts = 0, next_attempt_at = CURRENT_TIMESTAMP
    WHERE reason = 'gone' AND EXISTS (SELECT 1 FROM prebookings p JOIN books b ON b.id = p.book_id
        WHERE p.id = messages.prebooking_id AND b.stock_quantity > 0 AND b.withdrawn_at IS NULL)
"""
RESTORE_SENTENCES = """
    UPDATE messages SET last_error = CASE reason
        WHEN 'gone' THEN 'No copy was left before it was sent.'
        WHEN 'reserved_again' THEN 'The customer has reserved the book anew.'
        WHEN 'unsubscribed' THEN 'The customer wants no restock alerts.'
        WHEN 'unconfirmed' THEN 'The customer has not confirmed the address.'
        WHEN 'closed' THEN 'The account is no longer active.'
        WHEN 'address_changed' THEN 'The address was changed.'
        WHEN 'confirmed' THEN 'The address is confirmed already.'
        WHEN 'too_old' THEN 'It was asked for too long ago.'
        WHEN 'before_mail' THEN 'Notified before the shop sent e-mail.'
        WHEN 'bought' THEN 'The customer has bought the book.'
        WHEN 'order_changed' THEN 'The order has changed since.'
        ELSE 'Dropped by staff.' END
    WHERE state = 'suppressed'
"""


def upgrade() -> None:
    op.add_column("messages", sa.Column("reason", sa.String(20)))
    op.execute(FILL_IN_REASONS)
    op.execute(FILL_IN_CLOSED_ACCOUNTS)
    for reason, condition in FINAL_REASONS.items():
        op.execute(f"UPDATE messages SET reason = '{reason}' WHERE reason = 'gone' AND {condition}")
    op.execute(QUEUE_OWED_ALERTS)
    with op.batch_alter_table("messages") as messages:
        messages.create_check_constraint(op.f("ck_messages_reason"), "(state = 'suppressed') = (reason IS NOT NULL)")
    op.create_index("ix_messages_gone", "messages", ["prebooking_id"], sqlite_where=IS_GONE, postgresql_where=IS_GONE)


def downgrade() -> None:
    op.execute(RESTORE_SENTENCES)
    op.drop_index("ix_messages_gone", "messages")
    with op.batch_alter_table("messages") as messages:
        messages.drop_constraint(op.f("ck_messages_reason"), type_="check")
        messages.drop_column("reason")
