"""Staff's pages about e-mail: what waits, what could not be sent and why, and what a message says."""

import email
import re
from collections.abc import Collection
from email.policy import default
from pathlib import Path
from typing import Any

from flask import flash, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import Answer, chosen_ids, flash_outcome
from bookshop.extensions import settings
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import NotFound
from bookshop.mail.models import FAILED, OF_ACCOUNTS, SENT, SUPPRESSED, Message
from bookshop.mailer.repository import MailerRepository
from bookshop.mailer.transport import file_of
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page, safe_next

SIZE = 50
TO_SEND = "to_send"
TABS = {TO_SEND: "To send", FAILED: "Failed", SENT: "Sent", SUPPRESSED: "Not sent"}
OWN_ID = re.compile(r"<[a-z0-9_.]{1,100}@[^@<>\s]+>")  # the Message-IDs of the shop, which are the names of files too


@bp.get("/admin/mail")
@staff_required
def mail() -> Answer:
    outbox, asked = services.mail().outbox(), request.args.get("status", "")
    tab = asked if asked in TABS else FAILED if outbox.failed else TO_SEND
    return render_list(
        "admin/mail.html",
        _found(tab),
        tab=tab,
        tabs=TABS,
        outbox=outbox,
        reaches=bool(settings().smtp_url),
        now=now(),
        form=ShopForm(),
    )


def _found(tab: str) -> Page[Any]:
    mailer, page = services.repository(MailerRepository), requested_page()
    return mailer.list_unsent(page, SIZE) if tab == TO_SEND else mailer.list_by_state(tab, page, SIZE)


@bp.get("/admin/mail/<int:message_id>")
@staff_required
def message(message_id: int) -> Answer:
    row = services.mailer().get(message_id)
    path = _kept(row.Message)
    return render_template(
        "admin/message.html",
        row=row,
        said=_read(path) if path else None,
        secret=_is_secret(row.Message),
        reaches=bool(settings().smtp_url),
        now=now(),
        form=ShopForm(),
    )


@bp.get("/admin/mail/<int:message_id>/message.eml")
@staff_required
def message_file(message_id: int) -> Response:
    path = _kept(services.mailer().get(message_id).Message)
    if path is None:
        raise NotFound("This message is not kept here.", "MESSAGE_NOT_FOUND")
    return send_file(path, "message/rfc822", as_attachment=True, download_name=f"message-{message_id}.eml")


def _kept(message: Message) -> Path | None:
    """The file of a message, if staff may read it: only a shop without a mail server keeps any."""
    if settings().smtp_url or _is_secret(message) or not _is_addressed(message):
        return None
    if not OWN_ID.fullmatch(message.message_id):
        return None
    path = file_of(settings().mail_folder, message.message_id)
    return path if path.is_file() else None


def _is_secret(message: Message) -> bool:
    """Whether a message is for its recipient's eyes alone: with the link in it, anybody could take over an account."""
    return message.kind in OF_ACCOUNTS and not settings().demo


def _is_addressed(message: Message) -> bool:
    """Whether a message is to anybody: what went to an account that is deleted since names its address and person."""
    return "@" in message.recipient


def _read(path: Path) -> dict[str, str]:
    """What a message says, as plain text."""
    kept = email.message_from_bytes(path.read_bytes(), policy=default)
    text = kept.get_body(("plain",))
    return {"subject": str(kept["Subject"]), "text": str(text.get_content()) if text else ""}


@bp.post("/admin/mail/retry")
@staff_required
def retry_mail() -> Response:
    chosen = _chosen()
    return _say(chosen, services.commit(lambda: services.mail().retry(chosen)), "to be sent now")


@bp.post("/admin/mail/drop")
@staff_required
def drop_mail() -> Response:
    chosen = _chosen()
    return _say(chosen, services.commit(lambda: services.mail().drop(chosen)), "not sent any more")


@bp.post("/admin/mail/retry-failed")
@staff_required
def retry_failed_mail() -> Response:
    number = services.commit(lambda: services.mail().retry_failed())
    flash(f"{_messages(number)} to be sent now." if number else "No message has failed any more.", "success")
    return redirect(url_for("admin.mail", status=TO_SEND), 303)


def _chosen() -> Collection[int]:
    return chosen_ids("message")[:SIZE]  # no page has more


def _say(chosen: Collection[int], changed: Collection[int], become: str) -> Response:
    """Flash what became of the chosen messages, and go back to the page where the button was."""
    left = [_left(row.Message) for row in services.repository(MailerRepository).find(set(chosen) - set(changed))]
    flash_outcome("messages", f"{_messages(len(changed))} {become}." if changed else "", left)
    return redirect(safe_next(request.form.get("next", url_for("admin.mail"))), 303)


def _messages(number: int) -> str:
    return "1 message is" if number == 1 else f"{number:,} messages are"


def _left(message: Message) -> str:
    """To whom a message goes that was left alone, and why."""
    why = {SENT: "sent already", SUPPRESSED: "not sent any more"}.get(message.state, "just being sent")
    return f"the message to {message.recipient if _is_addressed(message) else 'a deleted account'}, which is {why}"
