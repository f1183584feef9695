"""Imports that a worker carries out: what staff see before, what they can stop, and what a killed worker leaves."""

from functools import partial

import pytest

from bookshop.extensions import db
from bookshop.imports import plan, runner, service, worker
from bookshop.imports.models import CANCELLED, CHECKED, CHECKING, DONE, FAILED, PAUSED, UNDONE
from bookshop.imports.runner import ImportRunner, check_file, plan_path, upload_path, write_checked
from bookshop.imports.service import ImportStopped
from bookshop.kit.exceptions import Conflict
from bookshop.web import services
from tests.mailer.test_mail_kills import wait_until

A, B = "9780141439587", "9780199535521"
HEADER = "isbn,title,authors,stock_quantity\n"
BATCH = 4
MANY = HEADER + "".join(f",Book {number},Author,1\n" for number in range(10))  # three batches


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(plan, "BATCH", BATCH)
    monkeypatch.setattr(service, "BATCH", BATCH)


def claim(worker, job_id):
    return services.commit(lambda: services.imports().claim(worker, 60, job_id))


def batches(app, job_id, number, worker="w"):
    """Let a worker write some batches of an import, and stop there as if it had been killed."""
    with app.app_context():
        written = ImportRunner(claim(worker, job_id)).write_batches()
        return [next(written) for _batch in range(number)]


def free(shop):
    """Let the claim of a worker that was killed run out."""
    shop.execute("UPDATE import_jobs SET claimed_until = '2020-01-01 00:00:00' WHERE claimed_until IS NOT NULL")


def test_a_check_changes_nothing_and_says_what_would_happen(shop, imports):
    emma = shop.book("Emma", isbn=A)
    shop.reserve(shop.customer(), emma)
    before = shop.everything()
    job = imports.job(imports.check(f"{HEADER}{A},Emma!,Jane Austen,4\n,New,A. Writer,1\n,,B,2\n"))
    assert shop.everything() == before
    assert (job.state, job.lines, job.added, job.updated, job.unchanged, job.refused) == (CHECKED, 3, 1, 1, 0, 1)
    assert (job.notified, job.format, job.unpriced) == (1, "CSV, separated by commas", 1)
    changed, new = job.preview
    assert changed["before"] == {"title": "Emma", "stock_quantity": 0}
    assert (changed["after"]["title"], changed["after"]["stock_quantity"]) == ("Emma!", 4)
    assert (new["outcome"], new["after"]["title"], new["after"]["price_cents"]) == ("added", "New", 0)
    assert imports.notes(job.id, "refused") == ["4: the title is missing"]


def test_the_preview_and_the_result_agree(shop, imports):
    shop.book("Emma", isbn=A)
    content = f"{HEADER}{A},Emma,Jane Austen,4\n{B},New,B,1\n{B},Again,B,1\nx,Bad,B,1\n"
    job_id = imports.check(content)
    preview, refused = imports.job(job_id), imports.notes(job_id, "refused")
    imports.do("start", job_id)
    imports.work()
    result = imports.job(job_id)
    assert result.state == DONE
    for name in ("lines", "added", "updated", "unchanged", "refused", "unpriced", "notified"):
        assert getattr(result, name) == getattr(preview, name), name
    assert imports.notes(job_id, "refused") == refused


def test_lines_that_a_quote_swallows_are_counted(shop, imports):
    """Nothing after the quote can be read on its own, as its lines have too few cells."""
    job = imports.by_command('title,authors,price_cents\nA,B,1\n"Emma,Jane Austen,1\n' + "x\n" * 5)
    assert (job.lines, job.added, job.refused) == (7, 1, 6)


def test_the_files_of_an_import_are_removed_when_it_ends(shop, imports):
    job = imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n")
    with shop.app.app_context():
        assert not upload_path(job.id).exists()
        assert not plan_path(job.id).exists()


def test_a_line_whose_stock_has_changed_since_the_preview_is_refused(shop, imports):
    emma, other = shop.book("Emma", isbn=A, stock=3), shop.book("Persuasion", isbn=B, stock=3)
    job_id = imports.check(f"{HEADER}{A},Emma!,Jane Austen,3\n{B},Persuasion,Jane Austen,7\n")
    shop.set_stock(emma, 2)
    imports.do("start", job_id)
    imports.work()
    assert (shop.stock(emma), shop.stock(other)) == (2, 7)
    assert shop.rows("SELECT title FROM books WHERE id = :emma", emma=emma) == ["Emma"]
    assert imports.notes(job_id, "refused") == ["2: the stock of its book has changed since the preview, from 3 to 2"]


def test_a_pause_stops_before_the_next_batch_and_the_import_goes_on_from_there(shop, imports):
    job_id = imports.check(MANY)
    imports.do("start", job_id)
    batches(shop.app, job_id, 1)
    imports.do("pause", job_id)
    imports.work()
    assert (imports.job(job_id).state, len(shop.rows("SELECT id FROM books"))) == (PAUSED, 4)
    imports.do("resume", job_id)
    imports.work()
    job = imports.job(job_id)
    assert (job.state, job.added, len(shop.rows("SELECT id FROM books"))) == (DONE, 10, 10)


def test_a_worker_in_the_middle_of_its_file_notices_a_pause(shop, imports):
    job_id = imports.check(MANY)
    imports.do("start", job_id)
    with shop.app.app_context():
        written = ImportRunner(claim("w", job_id)).write_batches()
        next(written)
        imports.do("pause", job_id)
        with pytest.raises(ImportStopped):
            next(written)
    assert len(shop.rows("SELECT id FROM books")) == 4


def test_a_cancelled_import_keeps_what_it_has_imported(shop, imports):
    job_id = imports.check(MANY)
    imports.do("start", job_id)
    batches(shop.app, job_id, 1)
    imports.do("cancel", job_id)
    imports.work()
    job = imports.job(job_id)
    assert (job.state, job.added, len(shop.rows("SELECT id FROM books"))) == (CANCELLED, 4, 4)


def test_another_worker_goes_on_after_one_was_killed_and_no_line_counts_twice(shop, imports):
    job_id = imports.check(MANY)
    imports.do("start", job_id)
    batches(shop.app, job_id, 2)
    free(shop)
    imports.work()
    job = imports.job(job_id)
    assert (job.state, job.lines, job.added) == (DONE, 10, 10)
    assert shop.rows("SELECT count(*), count(DISTINCT title) FROM books") == [(10, 10)]
    assert shop.broken() == []


def test_a_worker_that_was_thought_dead_cannot_write_a_batch_again(shop, imports):
    job_id = imports.check(MANY)
    imports.do("start", job_id)
    with shop.app.app_context():
        slow = ImportRunner(claim("slow", job_id)).write_batches()
        next(slow)
    free(shop)
    with shop.app.app_context():
        claim("second", job_id)
        with pytest.raises(ImportStopped):
            next(slow)
    assert len(shop.rows("SELECT id FROM books")) == 4


def test_no_two_workers_hold_the_same_import(shop, imports):
    job_id = imports.upload(MANY)
    with shop.app.app_context():
        assert claim("first", job_id) is not None
        assert claim("second", job_id) is None


def test_a_check_that_was_interrupted_begins_again(shop, imports, monkeypatch):
    job_id = imports.upload(MANY)
    with shop.app.app_context():
        half = ImportRunner(claim("w", job_id))
        with monkeypatch.context() as patch:
            patch.setattr(runner, "_previewed", lambda *_arguments: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                half.check()
        db.session.rollback()
    assert imports.job(job_id).lines == 4
    free(shop)
    imports.work()
    job = imports.job(job_id)
    assert (job.state, job.lines, job.added) == (CHECKED, 10, 10)


def test_a_file_that_cannot_be_read_fails_with_its_reason(imports):
    job = imports.job(imports.check(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"))
    assert job.state == FAILED
    assert "PDF" in job.error


def test_a_fault_ends_the_import_with_a_sentence_and_not_the_worker(imports, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_plan_line", lambda _read: 1 / 0)
        job = imports.job(imports.check(f"{HEADER}{A},Emma,Jane Austen,4\n"))
    assert job.state == FAILED
    assert "fault" in job.error
    assert imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n").state == DONE


def test_columns_are_corrected_and_remembered_for_the_next_file_with_the_same_header(shop, imports):
    content = "Kode,Tittel,Forfatter,Antall\n9780141439587,Emma,Jane Austen,4\n"
    job_id = imports.check(content)
    columns = ["isbn", "title", "authors", "stock_quantity"]
    shop.commit(lambda: services.imports().choose_columns(job_id, columns, ".", "first last"))
    imports.work()
    assert (imports.job(job_id).mapping, imports.job(job_id).added) == (columns, 1)
    again = imports.job(imports.check(content))
    assert again.mapping == columns


def test_other_columns_are_read_by_their_own_conventions_unless_staff_choose(shop, imports):
    """The first check recognises no column, so what it says about prices and names means nothing."""
    lines = '"Kafka, Franz";1.100\n"Hesse, Hermann";7,80\n"Mann, Thomas";8,90\n'
    content = "Aa;Bb;Cc\n" + "".join(f"Book {number};{line}\n" for number, line in enumerate(lines.splitlines()))
    job_id = imports.check(content)
    shown = imports.job(job_id)
    columns = ["title", "authors", "price"]
    shop.commit(lambda: services.imports().choose_columns(job_id, columns, shown.decimal, shown.names))
    imports.work()
    first = imports.job(job_id).preview[0]["after"]
    assert (first["authors"], first["price_cents"]) == ("Franz Kafka", 110_000)


@pytest.mark.parametrize("encoding", ["Windows-1250", "DOS (code page 850)", "UTF-8"])
def test_staff_correct_an_encoding_that_was_taken_for_another_one(shop, imports, encoding):
    codec = {"Windows-1250": "cp1250", "UTF-8": "utf-8"}.get(encoding, "cp850")
    job_id = imports.check("titre;auteur\nEmma;Fran\xe7ois D\xfcr\n".encode("cp1252"))
    job = imports.job(job_id)
    assert (job.encoding, job.preview[0]["after"]["authors"]) == ("Windows-1252", "Fran\xe7ois D\xfcr")
    shop.commit(lambda: services.imports().choose_columns(job_id, job.mapping, job.decimal, job.names, encoding))
    imports.work()
    job = imports.job(job_id)
    read = "Fran\xe7ois D\xfcr".encode("cp1252").decode(codec, "replace")
    shown = [book["after"]["authors"] for book in job.preview]
    assert (job.encoding, shown, job.refused) == (encoding, [] if "\ufffd" in read else [read], "\ufffd" in read)


def test_columns_whose_names_only_another_encoding_shows_are_found_when_it_is_chosen(shop, imports):
    job_id = imports.check("Id;T\xedtulo;Autor\nx;Emma;Jane Austen\n".encode("cp850"))
    mappings = []
    for encoding in ("Mac Roman", "DOS (code page 850)"):
        shown = imports.job(job_id).mapping
        values = (job_id, shown, ".", "first last", encoding)
        shop.commit(partial(lambda values: services.imports().choose_columns(*values), values))
        imports.work()
        mappings.append(imports.job(job_id).mapping)
    assert mappings == [["", "", "authors"], ["", "title", "authors"]]


def test_columns_without_names_are_chosen_for_one_file_and_remembered_for_none(shop, imports):
    content = f"{A};Emma;Jane Austen\n{B};Persuasion;Jane Austen\n"
    job_id = imports.check(content)
    columns = ["isbn", "title", "authors"]
    shop.commit(lambda: services.imports().choose_columns(job_id, columns, ".", "first last"))
    imports.work()
    assert (imports.job(job_id).mapping, imports.job(job_id).added) == (columns, 2)
    assert imports.job(imports.check(content)).mapping == ["", "", ""]


def test_a_running_worker_uses_the_currency_that_owners_have_just_chosen(shop, imports, monkeypatch):
    monkeypatch.setattr(worker, "POLL", 0.05)
    with shop.app.app_context(), worker.import_thread(lambda: False, once=False):
        for title, currency in (("Emma", "EUR"), ("Persuasion", "GBP")):
            shop.describe(currency=currency)
            job_id = imports.upload(f"title,authors\n{title},Jane Austen\n")
            wait_until(partial(imports.is_in, job_id, CHECKED))
            imports.do("start", job_id)
            wait_until(partial(imports.is_in, job_id, DONE))
    assert shop.rows("SELECT currency FROM books ORDER BY id") == ["EUR", "GBP"]


def test_a_removed_book_cannot_be_changed(shop, imports, api_client):
    job = imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n")
    imports.do("undo", job.id)
    imports.work()
    staff, (book_id,) = api_client("staff@example.com"), shop.rows("SELECT id FROM books")
    assert staff.patch(f"/api/v1/books/{book_id}", {"isbn": A}).status_code == 404
    assert staff.set_stock(book_id, 5).status_code == 404
    assert shop.broken() == []


def test_a_file_without_the_columns_that_matter_cannot_be_started(shop, imports):
    job_id = imports.check("first,second\n1,2\n")
    assert "Choose the columns" in imports.job(job_id).error
    with pytest.raises(Conflict, match="Choose the columns"):
        imports.do("start", job_id)


@pytest.mark.parametrize("action", ["start", "pause", "resume", "undo"])
def test_what_does_not_fit_the_state_is_refused(imports, action):
    job_id = imports.upload(HEADER)
    with pytest.raises(Conflict):
        imports.do(action, job_id)
    assert imports.job(job_id).state == CHECKING


def test_defaults_apply_to_new_books(shop, imports):
    imports.run("title,authors\nEmma,Jane Austen\n", price_cents=1290, stock_quantity=2)
    assert shop.rows("SELECT price_cents, stock_quantity FROM books") == [(1290, 2)]


def test_movements_and_the_audit_log_name_the_member_of_staff(shop, imports):
    imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n")
    assert shop.rows("SELECT user_id FROM movements") == [imports.staff]
    assert set(shop.rows("SELECT user_id FROM audit_entries WHERE action LIKE 'book.%'")) == {imports.staff}


def test_a_command_whose_import_is_paused_on_its_page_says_so(shop, imports):
    path = imports.folder / "books.csv"
    path.write_text(MANY)
    with shop.app.app_context():
        held = check_file(path)
        written = write_checked(held)
        next(written)
        imports.do("pause", held.job_id)
        with pytest.raises(Conflict, match="paused or cancelled on its page"):
            next(written)


# ---------------------------------------------------------------- undo


def test_undo_removes_what_was_added_and_frees_its_isbn(shop, imports):
    kept = shop.book("Persuasion", isbn=B)
    job = imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n{B},Persuasion,Jane Austen,7\n")
    imports.do("undo", job.id)
    imports.work()
    assert (imports.job(job.id).state, imports.job(job.id).removed) == (UNDONE, 1)
    assert shop.rows("SELECT id FROM books WHERE withdrawn_at IS NULL") == [kept]
    assert imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n").added == 1
    assert shop.broken() == []


USES = {
    "reserved": lambda shop, book_id: shop.reserve(shop.customer(), book_id),
    "ordered": lambda shop, book_id: shop.order(shop.customer(), {book_id: 1}),
    "in a cart": lambda shop, book_id: shop.fill_cart(shop.customer(), {book_id: 1}),
    "its stock has been changed": lambda shop, book_id: shop.set_stock(book_id, 9),
}


@pytest.mark.parametrize("use", USES)
def test_undo_keeps_books_in_use_and_says_why(shop, imports, use):
    stock = 0 if use == "reserved" else 4
    job = imports.run(f"{HEADER}{A},Emma,Jane Austen,{stock}\n{B},Persuasion,Jane Austen,7\n")
    (emma,) = shop.rows("SELECT id FROM books WHERE isbn = :isbn", isbn=A)
    USES[use](shop, emma)
    imports.do("undo", job.id)
    imports.work()
    assert shop.rows("SELECT title FROM books WHERE withdrawn_at IS NULL") == ["Emma"]
    (note,) = imports.notes(job.id, "kept")
    assert use in note
    assert shop.broken() == []


def test_undo_is_refused_once_a_book_has_been_sold(shop, imports):
    job = imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n{B},Persuasion,Jane Austen,7\n")
    (emma,) = shop.rows("SELECT id FROM books WHERE isbn = :isbn", isbn=A)
    order = shop.order(shop.customer(), {emma: 1})
    for status in ("ready", "collected"):
        shop.change_order(order, status, imports.staff)
    with pytest.raises(Conflict, match="been sold"):
        imports.do("undo", job.id)


def test_an_undo_that_was_interrupted_goes_on(shop, imports):
    job_id = imports.check(MANY)
    imports.do("start", job_id)
    imports.work()
    imports.do("undo", job_id)
    with shop.app.app_context():
        held = claim("w", job_id)
        assert services.commit(lambda: services.imports().remove(held))
    assert imports.job(job_id).removed == 4
    free(shop)
    imports.work()
    assert (imports.job(job_id).state, imports.job(job_id).removed) == (UNDONE, 10)
    assert shop.rows("SELECT id FROM books WHERE removed_at IS NULL") == []


def test_removed_books_are_in_no_list(imports, web_client):
    job = imports.run(f"{HEADER}{A},Emma,Jane Austen,4\n")
    imports.do("undo", job.id)
    imports.work()
    assert "Emma" not in web_client().get("/books").text
    assert "Emma" not in web_client("staff@example.com").get("/admin/books").text
