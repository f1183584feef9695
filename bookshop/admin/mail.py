"""The staff pages about e-mail: the messages by state, why one was not sent, and the text of each."""

import email
import re
from collections.abc import Collection
from email.policy import default
from pathlib import Path
from typing import Any

from flask import flash, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import ViewResponse, chosen_ids, flash_outcome
from bookshop.extensions import settings
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import NotFound
from bookshop.mail.models import FAILED, FORMER_KINDS, INVITATION, LINK_KINDS, NOTICE_KINDS, SENT, SUPPRESSED, Message
from bookshop.mailer.repository import MailerRepository
from bookshop.mailer.transport import message_path
from bookshop.web import services
from bookshop.web.access import fresh_login_required, staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page, safe_next

SIZE = 50
TO_SEND = "to_send"
TABS = {TO_SEND: "To send", FAILED: "Failed", SENT: "Sent", SUPPRESSED: "Stopped"}
OWN_ID = re.compile(r"<[a-z0-9_.]{1,100}@[^@<>\s]+>")  # the shop's Message-IDs, which are safe as file names


@bp.get("/admin/mail")
@staff_required
def mail() -> ViewResponse:
    outbox = services.mail().outbox(services.shop_details().mail_delay)
    status = request.args.get("status", "")
    tab = status if status in TABS else FAILED if outbox.failed else TO_SEND
    return render_list(
        "admin/mail.html",
        _messages_in(tab),
        tab=tab,
        tabs=TABS,
        outbox=outbox,
        has_mail_server=bool(settings().smtp_url),
        now=now(),
        form=ShopForm(),
    )


def _messages_in(tab: str) -> Page[Any]:
    mailer, page = services.repository(MailerRepository), requested_page()
    return mailer.list_unsent(page, SIZE) if tab == TO_SEND else mailer.list_by_state(tab, page, SIZE)


@bp.get("/admin/mail/<int:message_id>")
@staff_required
def message(message_id: int) -> ViewResponse:
    row = services.mailer().get(message_id)
    path = _readable_file(row.Message)
    return render_template(
        "admin/message.html",
        row=row,
        content=_read(path) if path else None,
        secret=_is_secret(row.Message),
        has_mail_server=bool(settings().smtp_url),
        now=now(),
        form=ShopForm(),
    )


@bp.get("/admin/mail/<int:message_id>/message.eml")
@staff_required
@fresh_login_required
def message_file(message_id: int) -> Response:
    path = _readable_file(services.mailer().get(message_id).Message)
    if path is None:
        raise NotFound("The text of this message is not stored in the shop.", "MESSAGE_NOT_FOUND")
    return send_file(path, "message/rfc822", as_attachment=True, download_name=f"message-{message_id}.eml")


def _readable_file(message: Message) -> Path | None:
    """Return the file of a message if staff may read it; only a shop without a mail server stores any."""
    if settings().smtp_url or _is_secret(message) or not _has_recipient(message):
        return None
    if not OWN_ID.fullmatch(message.message_id):
        return None
    path = message_path(settings().mail_folder, message.message_id)
    return path if path.is_file() else None


def _is_secret(message: Message) -> bool:
    """Whether only the recipient may read a message: its link may let the reader take over the account.

    Notices contain no such link, but what happened to an account concerns only its owner.
    """
    return message.kind in (INVITATION, *LINK_KINDS, *FORMER_KINDS, *NOTICE_KINDS) and not settings().demo


def _has_recipient(message: Message) -> bool:
    """Whether the recipient still has an account; the file of a message to a deleted one holds personal data."""
    return "@" in message.recipient


def _read(path: Path) -> dict[str, str]:
    """Return the subject and the plain text of a message file."""
    parsed = email.message_from_bytes(path.read_bytes(), policy=default)
    text = parsed.get_body(("plain",))
    return {"subject": str(parsed["Subject"]), "text": str(text.get_content()) if text else ""}


@bp.post("/admin/mail/retry")
@staff_required
def retry_mail() -> Response:
    chosen = _chosen()
    return _flash_and_return(chosen, services.commit(lambda: services.mail().retry(chosen)), "will be sent now")


@bp.post("/admin/mail/drop")
@staff_required
def drop_mail() -> Response:
    chosen = _chosen()
    return _flash_and_return(chosen, services.commit(lambda: services.mail().drop(chosen)), "will not be sent")


@bp.post("/admin/mail/retry-failed")
@staff_required
def retry_failed_mail() -> Response:
    number = services.commit(lambda: services.mail().retry_failed())
    flash(
        f"{_count_of_messages(number)} will be sent now." if number else "There are no failed messages to retry.",
        "success",
    )
    return redirect(url_for("admin.mail", status=TO_SEND), 303)


def _chosen() -> Collection[int]:
    return chosen_ids("message")[:SIZE]  # a page has no more


def _flash_and_return(chosen: Collection[int], changed: Collection[int], outcome: str) -> Response:
    """Flash the outcome for the chosen messages and redirect to the page with the button."""
    rows = services.repository(MailerRepository).find(set(chosen) - set(changed))
    unchanged = [_unchanged(row.Message) for row in rows]
    flash_outcome("messages", f"{_count_of_messages(len(changed))} {outcome}." if changed else "", unchanged)
    return redirect(safe_next(request.form.get("next", url_for("admin.mail"))), 303)


def _count_of_messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"


def _unchanged(message: Message) -> str:
    """Name a message that was not changed, with the reason."""
    kept = "a security notice, which is always sent" if message.kind in NOTICE_KINDS else "being sent now"
    reason = {SENT: "already sent", SUPPRESSED: "already stopped"}.get(message.state, kept)
    deleted = "a deleted account" if message.recipient else "an address that is no longer stored"
    return f"the message to {message.recipient if _has_recipient(message) else deleted} ({reason})"
