"""Which book is a line about? By its ISBN, else by title and authors, and only if exactly one book fits."""

import pytest

from bookshop.bookfiles.columns import EXPORT_HEADER

A, B, C = "9780141439587", "9780199535521", "9780141439518"
HEADER = "isbn,title,authors,stock_quantity\n"


def counts(job):
    assert job.lines == job.added + job.updated + job.unchanged + job.refused
    return job.added, job.updated, job.unchanged, job.refused


@pytest.mark.parametrize(
    ("title", "authors"),
    [
        ("EMMA", "jane austen"),
        ("Émma", "Jane Austén"),
        ("“Emma”", "Jane Austen"),
        (" Em ma ", "Jane  Austen"),
        ("Emma", "Austen; Jane"),
        ("Emma", "Jane Austen (ed.)"),
        ("Emma", "Jane Austen, 1775-1817"),
    ],
)
def test_title_and_authors_are_compared_however_they_are_written(shop, imports, title, authors):
    emma = shop.book("Emma")
    assert counts(imports.by_command(f'{HEADER},"{title}","{authors}",4\n')) == (0, 1, 0, 0)
    assert shop.stock(emma) == 4


def test_the_order_of_names_makes_no_difference(shop, imports):
    emma = shop.book("Emma", authors="Austen Jane")
    imports.by_command(HEADER + ",Emma,Jane Austen,4\n")
    assert shop.stock(emma) == 4


def test_titles_that_differ_in_a_sign_are_different_books(shop, imports):
    plain = shop.book("C", authors="A. Writer", stock=1)
    job = imports.by_command(HEADER + ",C++,A. Writer,4\n,C#,A. Writer,5\n")
    assert counts(job) == (2, 0, 0, 0)
    assert shop.stock(plain) == 1


def test_a_line_that_fits_two_editions_is_refused_and_names_both(shop, imports):
    one, two = shop.book("Emma", isbn=A), shop.book("Emma", isbn=B)
    for book_id, customer in zip((one, two), shop.customers(2), strict=True):
        shop.reserve(customer, book_id)
    job = imports.by_command(HEADER + ",Emma,Jane Austen,4\n")
    assert counts(job) == (0, 0, 0, 1)
    (note,) = imports.notes(job.id, "refused")
    assert A in note
    assert B in note
    assert (shop.stock(one), shop.stock(two), shop.statuses(one), shop.statuses(two)) == (
        0,
        0,
        ["waiting"],
        ["waiting"],
    )


def test_a_book_without_an_isbn_adopts_the_one_of_its_line_and_its_customers_are_notified(shop, imports):
    emma = shop.book("Emma")
    shop.reserve(shop.customer(), emma)
    job = imports.by_command(f'{HEADER}{A},EMMA,"Austen, Jane",4\n')
    assert (counts(job), job.notified) == ((0, 1, 0, 0), 1)
    assert shop.rows("SELECT id, isbn, stock_quantity FROM books") == [(emma, A, 4)]
    assert imports.notes(job.id, "adopted") == [f"2: gives its ISBN {A} to “EMMA”, which had none"]
    assert shop.statuses(emma) == ["notified"]


def test_no_isbn_is_adopted_if_another_edition_of_the_shop_fits(shop, imports):
    emma = shop.book("Emma")
    shop.book("Emma", isbn=B)
    job = imports.by_command(f"{HEADER}{A},Emma,Jane Austen,4\n")
    assert counts(job) == (1, 0, 0, 0)
    assert shop.rows("SELECT isbn FROM books WHERE id = :emma", emma=emma) == [None]


def test_no_isbn_is_adopted_if_the_file_has_two_editions(shop, imports):
    emma = shop.book("Emma")
    job = imports.by_command(f"{HEADER}{A},Emma,Jane Austen,4\n{B},Emma,Jane Austen,5\n")
    assert counts(job) == (2, 0, 0, 0)
    assert shop.rows("SELECT isbn FROM books WHERE id = :emma", emma=emma) == [None]


@pytest.mark.parametrize("order", [1, -1])
def test_a_line_without_an_isbn_is_refused_beside_one_with_it_wherever_they_are(shop, imports, order):
    lines = [f"{A},Emma,Jane Austen,4", ",Emma,Jane Austen,5"][::order]
    job = imports.by_command(HEADER + "\n".join(lines))
    assert counts(job) == (1, 0, 0, 1)
    assert shop.rows("SELECT isbn, stock_quantity FROM books") == [(A, 4)]


def test_a_line_without_an_isbn_beside_two_editions_of_the_file_names_both_lines(imports):
    job = imports.by_command(f"{HEADER}{A},Emma,Jane Austen,1\n{B},Emma,Jane Austen,2\n,Emma,Jane Austen,3\n")
    assert counts(job) == (2, 0, 0, 1)
    assert imports.notes(job.id, "refused") == ["4: has no ISBN, and lines 2 and 3 are two editions of it"]


def test_an_isbn_counts_more_than_the_title(shop, imports):
    emma = shop.book("Emma", isbn=A)
    shop.book("Persuasion", isbn=B)
    assert counts(imports.by_command(f"{HEADER}{A},Persuasion,Jane Austen,4\n")) == (0, 1, 0, 0)
    assert shop.rows("SELECT id, title FROM books WHERE isbn = :isbn", isbn=A) == [(emma, "Persuasion")]


def test_a_line_with_nothing_but_isbn_and_stock_changes_the_book_and_never_adds_one(shop, imports):
    emma = shop.book("Emma", isbn=A)
    job = imports.by_command(f"ean,qty\n{A},4\n{B},5\n")
    assert counts(job) == (0, 1, 0, 1)
    assert shop.stock(emma) == 4
    assert imports.notes(job.id, "refused") == [
        f"3: there is no book with the ISBN {B} in the shop, and no title and authors to add one"
    ]


def test_two_lines_that_change_one_book_by_different_ways_are_refused_once(shop, imports):
    """Line 2 finds the book by its ISBN, and gives it another title; line 502 finds it by its present one."""
    emma = shop.book("Emma", isbn=A)
    others = "".join(f",Other {number},Author,1\n" for number in range(500))
    job = imports.by_command(f"{HEADER}{A},Emma Woodhouse,Jane Austen,4\n{others},Emma,Jane Austen,5\n")
    assert counts(job) == (500, 1, 0, 1)
    assert shop.stock(emma) == 4
    assert shop.broken() == []


def test_the_report_names_titles_that_wait_while_another_edition_is_in_stock(shop, imports):
    waiting = shop.book("Emma", isbn=A)
    shop.reserve(shop.customer(), waiting)
    job = imports.by_command(f"{HEADER}{B},Emma,Jane Austen,5\n")
    assert imports.notes(job.id, "waiting") == [
        f"“Emma” (ISBN {A}): 1 customer is waiting, while 5 copies of another edition (ISBN {B}) are in stock"
    ]


def test_a_removed_or_withdrawn_edition_in_stock_is_not_named(shop, imports):
    waiting, other = shop.book("Emma", isbn=A), shop.book("Emma", isbn=B, stock=2)
    shop.withdraw(other)
    shop.reserve(shop.customer(), waiting)
    job = imports.by_command(f"{HEADER}{C},Persuasion,Jane Austen,5\n")
    assert imports.notes(job.id, "waiting") == []


@pytest.mark.parametrize(
    "authors", ["Terry Pratchett and Neil Gaiman", "Max Brod (Hrsg.)", "Jane Austen, 1775-1817", "Meier et al."]
)
def test_a_book_whose_authors_the_shop_writes_in_its_own_way_is_found(shop, imports, authors):
    book_id = shop.book("Good Omens", authors=authors)
    shop.reserve(shop.customer(), book_id)
    job = imports.by_command(f'{HEADER}{A},Good Omens,"{authors}",5\n')
    assert (counts(job), job.notified) == ((0, 1, 0, 0), 1)
    assert shop.rows("SELECT authors FROM books") == [authors]


def test_copies_for_a_withdrawn_book_are_noted(shop, imports):
    shop.withdraw(shop.book("Emma", isbn=A))
    job = imports.by_command(f"{HEADER}{A},Emma,Jane Austen,4\n")
    assert imports.notes(job.id, "hidden") == ["2: changes a book that is withdrawn, so customers do not see it"]


EXPORTED = f"{','.join(EXPORT_HEADER)}\n"


def test_a_book_that_was_exported_while_it_was_withdrawn_does_not_go_on_sale_in_another_shop(shop, imports):
    lines = f"7,{A},Emma,Jane Austen,,,,,950,EUR,4,yes\n8,{B},Persuasion,Jane Austen,,,,,950,EUR,4,no\n"
    job = imports.by_command(EXPORTED + lines)
    assert counts(job) == (2, 0, 0, 0)
    assert shop.rows("SELECT title FROM books WHERE withdrawn_at IS NULL") == ["Persuasion"]
    assert imports.notes(job.id, "hidden") == ["2: adds a book that is withdrawn, so customers do not see it"]
    assert imports.by_command(EXPORTED + lines).unchanged == 2


def test_an_import_withdraws_no_book_that_is_on_sale_and_says_so(shop, imports):
    book_id = shop.book("Emma", isbn=A, price_cents=950)
    shop.reserve(shop.customer(), book_id)
    job = imports.by_command(f"{EXPORTED}{book_id},{A},Emma,Jane Austen,,,,,950,EUR,,yes\n")
    assert imports.notes(job.id, "hidden") == [
        "2: is withdrawn in the file, but on sale here: an import does not withdraw books"
    ]
    assert shop.rows("SELECT withdrawn_at IS NULL FROM books") == [True]


def test_an_edition_in_a_refused_line_counts_as_another_edition(shop, imports):
    book_id = shop.book("Emma")
    shop.reserve(shop.customer(), book_id)
    job = imports.by_command(
        f"isbn,title,authors,stock,price\n{A},Emma,Jane Austen,5,9.50\n{B},Emma,Jane Austen,1,?x\n"
    )
    assert (counts(job), job.notified) == ((1, 0, 0, 1), 0)
    assert shop.rows("SELECT isbn FROM books ORDER BY id") == [None, A]
    assert len(imports.notes(job.id, "waiting")) == 1


@pytest.mark.parametrize("title", ["Ulysses", "Ulysses: A Novel"])
def test_a_subtitle_of_its_own_hides_no_book(shop, imports, title):
    book_id = shop.book(title, authors="James Joyce")
    shop.reserve(shop.customer(), book_id)
    job = imports.by_command(f"isbn,title,subtitle,authors,stock\n{A},Ulysses,A Novel,James Joyce,5\n")
    assert (counts(job), job.notified) == ((0, 1, 0, 0), 1)
    assert shop.rows("SELECT isbn, title FROM books") == [(A, title)]
