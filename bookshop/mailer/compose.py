"""Composing messages (RFC 5322) from the templates in templates/mail/."""

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
from bookshop.mail.models import CONFIRMATION, NOTICE_KINDS, ORDER_KINDS, PASSWORD_KINDS, RESTOCK
from bookshop.mailer.headers import POLICY, POLICY_UTF8
from bookshop.mailer.transport import envelope_address
from bookshop.web import services
from bookshop.web.jinja import day
from bookshop.web.navigation import absolute_url


def compose(message: Any, reset: str = "") -> EmailMessage:
    """Compose the e-mail for a row of MailerRepository.get_to_send; `reset` is the token of a password reset link."""
    context = {
        **_context_of(message, reset),
        "message": message,
        "link": absolute_url,
        "shop_name": settings().shop_name,
    }
    subject, _blank, text = _render(f"{message.kind}.txt", context).partition("\n\n")
    recipient = envelope_address(message.recipient)
    email = EmailMessage(POLICY if recipient.isascii() else POLICY_UTF8)
    email["Subject"] = context["subject"] = one_line(subject)
    email["From"] = f"{one_line(settings().shop_name)} <{settings().sender}>"
    email["To"] = recipient
    email["Date"] = format_datetime(now())
    email["Message-ID"] = message.message_id
    email["Auto-Submitted"] = "auto-generated"
    if message.kind == RESTOCK:
        email["List-Unsubscribe"] = f"<{context['unsubscribe']}>"
        email["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    email["MIME-Version"] = "1.0"
    email["Content-Type"] = f'multipart/alternative; boundary="{secrets.token_hex(12)}"'
    email.attach(_part("plain", text))
    email.attach(_part("html", _render(f"{message.kind}.html", context)))
    return email


def _part(subtype: str, text: str) -> EmailMessage:
    """Encode a text as quoted-printable, which stays readable and which no relay changes."""
    part = EmailMessage(POLICY)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(b2a_qp(text.encode(), istext=True).decode())
    return part


def _context_of(message: Any, reset: str) -> dict[str, Any]:
    """Return what the templates of this kind need besides the row."""
    if message.kind == RESTOCK:
        token = signed_links.sign(signed_links.UNSUBSCRIBE, message.user_id)
        return {
            "short_title": shortened(message.title),
            "book": absolute_url("catalog.book", book_id=message.book_id, slug=slug(message.title)),
            "unsubscribe": absolute_url("accounts.unsubscribe", token=token),
        }
    if message.kind in ORDER_KINDS:
        return {"order": services.orders().get_any(message.order_id), "days": settings().collect_days}
    if message.kind == CONFIRMATION:
        token = signed_links.sign(signed_links.CONFIRM, [message.user_id, message.email_key])
        return {"confirm": absolute_url("accounts.confirm", token=token)}
    if message.kind in PASSWORD_KINDS:
        return {"reset": absolute_url("accounts.reset", token=reset)}
    if message.kind in NOTICE_KINDS:
        return {"when": f"{day(message.created_at)} at {message.created_at:%H:%M} UTC"}
    return {}


def _render(name: str, context: dict[str, Any]) -> str:
    """Render a template without `render_template`, whose context processors need a request."""
    return current_app.jinja_env.get_template(f"mail/{name}").render(context)
