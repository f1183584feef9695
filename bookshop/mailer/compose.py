"""What the messages look like: from the templates in templates/mail/ to a whole message (RFC 5322)."""

import secrets
from binascii import b2a_qp
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from flask import current_app

from bookshop.accounts import signed_links
from bookshop.extensions import settings
from bookshop.kit.database import now
from bookshop.kit.text import one_line, shortened, slug
from bookshop.mail.models import CONFIRMATION, OF_ORDERS, PASSWORD_RESET, RESTOCK
from bookshop.mailer.headers import POLICY, POLICY_BEYOND_ASCII
from bookshop.mailer.transport import envelope
from bookshop.web import services
from bookshop.web.navigation import absolute_url


def compose(message: Any, reset: str = "") -> EmailMessage:
    """The whole message for a row of LetterRepository.get_to_send; `reset` is the secret of a new password's link."""
    context = {
        **_what_it_is_about(message, reset),
        "message": message,
        "link": absolute_url,
        "shop_name": settings().shop_name,
    }
    subject, _blank, text = _render(f"{message.kind}.txt", context).partition("\n\n")
    recipient = envelope(message.recipient)
    written = EmailMessage(POLICY if recipient.isascii() else POLICY_BEYOND_ASCII)
    written["Subject"] = context["subject"] = one_line(subject)
    written["From"] = f"{one_line(settings().shop_name)} <{settings().sender}>"
    written["To"] = recipient
    written["Date"] = format_datetime(now())
    written["Message-ID"] = message.message_id
    written["Auto-Submitted"] = "auto-generated"
    if message.kind == RESTOCK:
        written["List-Unsubscribe"] = f"<{context['unsubscribe']}>"
        written["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    written["MIME-Version"] = "1.0"
    written["Content-Type"] = f'multipart/alternative; boundary="{secrets.token_hex(12)}"'
    written.attach(_part("plain", text))
    written.attach(_part("html", _render(f"{message.kind}.html", context)))
    return written


def _part(subtype: str, text: str) -> EmailMessage:
    """A text as quoted-printable, which may be read as it is, and which no relay changes."""
    part = EmailMessage(POLICY)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(b2a_qp(text.encode(), istext=True).decode())
    return part


def _what_it_is_about(message: Any, reset: str) -> dict[str, Any]:
    """What the templates of this kind need besides the row."""
    if message.kind == RESTOCK:
        token = signed_links.sign(signed_links.UNSUBSCRIBE, message.user_id)
        return {
            "short_title": shortened(message.title),
            "book": absolute_url("catalog.book", book_id=message.book_id, slug=slug(message.title)),
            "unsubscribe": absolute_url("accounts.unsubscribe", token=token),
        }
    if message.kind in OF_ORDERS:
        return {"order": services.orders().get_any(message.order_id), "days": settings().collect_days}
    if message.kind == CONFIRMATION:
        token = signed_links.sign(signed_links.CONFIRM, [message.user_id, message.email_key])
        return {"confirm": absolute_url("accounts.confirm", token=token)}
    if message.kind == PASSWORD_RESET:
        return {"reset": absolute_url("accounts.reset", token=reset)}
    return {}


def _render(name: str, context: dict[str, Any]) -> str:
    """Not by `render_template`, which looks for a visitor."""
    return current_app.jinja_env.get_template(f"mail/{name}").render(context)
