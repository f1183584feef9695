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
from bookshop.mail.models import (
    ADDRESS_LINK,
    FORMER_ADDRESS,
    LOGIN_LINK,
    MAIL_CHECK,
    NOTICE_KINDS,
    ORDER_KINDS,
    ORDER_RETURN,
    RESTOCK,
)
from bookshop.mailer import check_link
from bookshop.mailer.headers import POLICY, POLICY_UTF8
from bookshop.mailer.transport import envelope_address
from bookshop.returns.repository import ReturnRepository
from bookshop.shop.colours import DARK, LIGHT, tones
from bookshop.web import services
from bookshop.web.jinja import day, minute
from bookshop.web.navigation import absolute_url

# The page that a link in a message of this kind opens.
LINK_PAGES = {
    LOGIN_LINK: "accounts.use_link",
    ADDRESS_LINK: "accounts.confirm_address",
    FORMER_ADDRESS: "accounts.undo_address",
}


def compose(message: Any, token: str = "") -> EmailMessage:
    """Compose the e-mail for a row of MailerRepository.get_to_send; `token` is that of its link, if it has one."""
    shop = services.shop().read()
    context = {
        **_context_of(message, token),
        "message": message,
        "link": absolute_url,
        "shop": shop,
        "shop_name": shop.name,
        "light": tones(shop.accent, LIGHT),
        "dark": tones(shop.accent, DARK),
    }
    subject, _blank, text = _render(f"{message.kind}.txt", context).partition("\n\n")
    recipient = envelope_address(message.recipient)
    email = EmailMessage(POLICY if recipient.isascii() else POLICY_UTF8)
    email["Subject"] = context["subject"] = one_line(subject)
    email["From"] = f"{one_line(shop.name)} <{settings().sender}>"
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


def _context_of(message: Any, token: str) -> dict[str, Any]:
    """Return what the templates of this kind need besides the row."""
    if message.kind == RESTOCK:
        token = signed_links.sign(signed_links.UNSUBSCRIBE, message.user_id)
        waiting = signed_links.sign(signed_links.WAITING, [message.user_id, message.email_key])
        return {
            "short_title": shortened(message.title),
            "book": absolute_url("catalog.book", book_id=message.book_id, slug=slug(message.title)),
            "unsubscribe": absolute_url("accounts.unsubscribe", token=token),
            "waiting": absolute_url("prebookings.waiting", token=waiting),
        }
    if message.kind == ORDER_RETURN:
        returns = services.repository(ReturnRepository).list_by_order(message.order_id)
        return {"order": services.orders().get_any(message.order_id), "returns": returns}
    if message.kind in ORDER_KINDS:
        return {"order": services.orders().get_any(message.order_id), "days": services.shop_details().collect_days}
    if message.kind == MAIL_CHECK:
        return {"button": absolute_url("admin.confirm_mail", token=check_link.token())}
    link = absolute_url(LINK_PAGES[message.kind], token=token) if token else ""
    if message.kind in NOTICE_KINDS:
        return {"when": f"{day(message.created_at)} at {minute(message.created_at)}", "undo": link}
    return {"button": link}


def _render(name: str, context: dict[str, Any]) -> str:
    """Render a template without `render_template`, whose context processors need a request."""
    return current_app.jinja_env.get_template(f"mail/{name}").render(context)
