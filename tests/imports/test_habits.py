"""Files as booksellers have them, each with the exact books that must come out: see tests/imports/files."""

from collections import Counter

import pytest

from bookshop.imports.models import CHECKED, DONE
from tests.support import habits

FILES = habits.files()
AT_LEAST = 45
SHOWN_WHEN_DONE = ("goodreads.csv", "german-excel-stock-list.xlsx", "onix-31-reference.xml")


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_the_exact_books_come_out_of_a_file_and_every_line_is_counted(shop, imports, path):
    expected = habits.expected_of(path)
    habits.fill(shop, expected.pop("before"))
    expected.pop("about")
    job_id = imports.check(path.read_bytes())
    preview = imports.job(job_id)
    if preview.state == CHECKED and not preview.error:
        imports.do("start", job_id)
        imports.work()
    job = imports.job(job_id)
    assert habits.shortened_as(habits.found_in(shop, job), expected) == expected
    assert job.notified == preview.notified == len(expected["notified"])
    assert (job.lines, habits.counts_of(job)) == (preview.lines, habits.counts_of(preview))
    assert (job.state == DONE) == (not expected["error"])
    assert shop.broken() == []


@pytest.mark.parametrize("name", SHOWN_WHEN_DONE)
def test_the_command_makes_the_same_books_of_a_file_and_shows_the_sum_of_its_lines(shop, imports, name):
    expected = habits.expected_of(habits.FOLDER / name)
    habits.fill(shop, expected.pop("before"))
    expected.pop("about")
    result = shop.app.test_cli_runner().invoke(args=["books", "import", str(habits.FOLDER / name)])
    assert result.exit_code == 0, result.output
    job = imports.job(shop.rows("SELECT max(id) FROM import_jobs")[0])
    assert habits.shortened_as(habits.found_in(shop, job), expected) == expected
    sums = ", ".join(f"{expected['counts'].get(outcome, 0)} {outcome}" for outcome in habits.OUTCOMES)
    assert result.stdout.splitlines()[-1] == f"{job.lines} lines read: {sums}"
    for line, reason in expected["refused"].items():
        assert f"line {line}: {reason}" in result.stderr
    assert shop.broken() == []


def test_every_file_says_what_must_come_out_of_it():
    assert len(FILES) >= AT_LEAST
    assert Counter(path.stem for path in FILES).most_common(1)[0][1] == 1
    assert {path.stem for path in FILES} == {path.stem for path in habits.FOLDER.glob("*.json")}
    for path in FILES:
        assert habits.expected_of(path)["about"], path.name
