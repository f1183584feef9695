"""flask worker: sends e-mail, calls webhooks, imports files and purges every night."""

import logging
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import click
from flask import current_app
from flask.cli import with_appcontext

from bookshop.cli.errors import report_errors
from bookshop.extensions import settings
from bookshop.imports.worker import import_thread
from bookshop.kit.outbox import OutboxWorker
from bookshop.mailer.worker import MailWorker
from bookshop.operations.beats import record_beat, record_end
from bookshop.operations.models import MAIL, WEBHOOKS
from bookshop.retention.worker import nightly_purge
from bookshop.webhooks.worker import WebhookWorker


@click.command("worker")
@click.option("--once", is_flag=True, help="Send what is due now, then exit; code 1 if the mail server is unreachable.")
@with_appcontext
@report_errors
def worker(once: bool) -> None:
    """Send e-mail, call webhooks, import files and purge every night until stopped by SIGTERM. Any number may run."""
    mailer, webhooks = MailWorker(), WebhookWorker()
    name = secrets.token_hex(8)
    mailer.on_beat, webhooks.on_beat = partial(record_beat, name, MAIL), partial(record_beat, name, WEBHOOKS)
    mailer.stop_on_signals()
    if not settings().smtp_url and not settings().demo:
        logging.warning("BOOKSHOP_SMTP_URL is not set: messages are not sent, only saved in %s", settings().mail_folder)
    reached = True
    with (
        nightly_purge(lambda: mailer.stopping, once=once),
        import_thread(lambda: mailer.stopping, once=once),
        webhook_thread(mailer, webhooks, once),
    ):
        if once:
            reached = mailer.run_once()
        else:
            mailer.run()
    if not once:
        record_end(name)
    click.echo(_counts(mailer) or "nothing was sent")
    if webhooks.outcomes:
        click.echo(f"webhooks: {_counts(webhooks)}")
    sys.exit(0 if reached else 1)


@contextmanager
def webhook_thread(mailer: MailWorker, webhooks: WebhookWorker, once: bool) -> Iterator[None]:
    """Call webhooks in a separate thread, so that a receiver that hangs cannot delay e-mail; when one stops, both do.

    An error in the thread is raised here, so that the process exits and the system restarts the worker.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # as Flask documents for threads

    def call_webhooks() -> None:
        with app.app_context():
            try:
                webhooks.run_once() if once else webhooks.run()
            finally:
                if not once:
                    mailer.stop()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(call_webhooks)
        try:
            yield
        finally:
            if not once or mailer.stopping:
                webhooks.stop()
        future.result()


def _counts(worker: OutboxWorker) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(worker.outcomes.items()))
