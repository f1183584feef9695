"""flask worker: sends e-mail and calls webhooks."""

import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import with_appcontext

from bookshop.cli.refusals import refusals_as_messages
from bookshop.extensions import settings
from bookshop.kit.outbox import OutboxWorker
from bookshop.mailer.worker import Worker
from bookshop.webhooks.worker import WebhookWorker


@click.command("worker")
@click.option("--once", is_flag=True, help="Send what is due now, and end; exit code 1 if the mail server is away.")
@with_appcontext
@refusals_as_messages
def worker(once: bool) -> None:
    """Send the e-mail and call the webhooks that are due, until told to stop (SIGTERM). Any number of them may run."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    works, calls = Worker(), WebhookWorker()
    works.stop_on_signals()
    if not settings().smtp_url:
        logging.warning("BOOKSHOP_SMTP_URL is not set: messages go to %s, and to nobody else", settings().mail_folder)
    reached = True
    with beside(works, calls, once):
        if once:
            reached = works.run_once()
        else:
            works.run()
    click.echo(_counts(works) or "nothing was sent")
    if calls.done:
        click.echo(f"webhooks: {_counts(calls)}")
    sys.exit(0 if reached else 1)


@contextmanager
def beside(works: Worker, calls: WebhookWorker, once: bool) -> Iterator[None]:
    """Call webhooks in a thread of its own, as a receiver that hangs must not keep the e-mail; each ends the other.

    Whatever ends the thread before its time is raised here, so that the system starts the worker again.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # Flask's way to hand it to a thread

    def call() -> None:
        with app.app_context():
            try:
                calls.run_once() if once else calls.run()
            finally:
                if not once:
                    works.stop()

    with ThreadPoolExecutor(1) as thread:
        called = thread.submit(call)
        try:
            yield
        finally:
            if not once or works.stopping:
                calls.stop()
        called.result()


def _counts(worker: OutboxWorker) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(worker.done.items()))
