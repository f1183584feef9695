"""Imports in tests: a file, and the worker's steps without a process of its own."""

from functools import partial
from pathlib import Path

import pytest

from bookshop.extensions import db
from bookshop.imports.models import ImportJob
from bookshop.imports.runner import import_file, store_upload
from bookshop.imports.worker import run_due
from bookshop.web import services
from tests.support.factories import Shop


class Imports:
    """Imports of one shop, as its staff and its worker make them."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop, self.folder = shop, folder
        self.staff = shop.staff()

    def upload(self, content: str | bytes, **options: int) -> int:
        """Store a file as the page does; returns the id of its import, which nobody has checked yet."""
        data = content.encode() if isinstance(content, str) else content

        def create() -> int:
            job_id = services.imports().create("books.csv", self.staff, **options)
            store_upload(job_id, lambda path: path.write_bytes(data))
            return job_id

        return int(self.shop.commit(create))

    def work(self) -> None:
        """Let a worker do all that is due."""
        with self.shop.app.app_context():
            run_due()

    def check(self, content: str | bytes, **options: int) -> int:
        """Upload a file and let a worker check it; returns the id of its import."""
        job_id = self.upload(content, **options)
        self.work()
        return job_id

    def is_in(self, job_id: int, state: str) -> bool:
        """Whether an import is in this state."""
        return bool(self.job(job_id).state == state)

    def do(self, action: str, job_id: int) -> None:
        """Press a button: start, pause, resume, cancel or undo."""
        self.shop.commit(partial(lambda: getattr(services.imports(), action)(job_id)))

    def run(self, content: str | bytes, **options: int) -> ImportJob:
        """Check and import a file as staff do; returns the import."""
        job_id = self.check(content, **options)
        self.do("start", job_id)
        self.work()
        return self.job(job_id)

    def by_command(self, content: str) -> ImportJob:
        """Import a file as the command does; returns the import."""
        path = self.folder / "books.csv"
        path.write_text(content)
        with self.shop.app.app_context():
            job = import_file(path)
            db.session.expunge(job)
            return job

    def job(self, job_id: int) -> ImportJob:
        """Return an import with fresh values, which stay readable."""
        with self.shop.app.app_context():
            job = services.imports().get(job_id)
            db.session.expunge(job)
            return job

    def notes(self, job_id: int, kind: str) -> list[str]:
        """Return what an import has noted of a kind, with the numbers of the lines."""
        rows = self.shop.rows(
            "SELECT line, sentence FROM import_notes WHERE job_id = :job AND kind = :kind ORDER BY id",
            job=job_id,
            kind=kind,
        )
        return [f"{line}: {sentence}" if line else sentence for line, sentence in rows]


@pytest.fixture
def imports(shop, tmp_path):
    return Imports(shop, tmp_path)
