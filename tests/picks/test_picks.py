"""Staff put books on shelves with a sentence each; customers read them on the home page and on the pages of books."""

import re

import pytest

from bookshop.picks.repository import PickRepository
from bookshop.web import services
from tests.support import races
from tests.support.clients import text_of

WINTER = {"name": "Winter reading", "introduction": "For long evenings.", "state": "published", "version": "0"}


@pytest.fixture
def staff(shop, web_client):
    shop.staff()
    return web_client("staff@example.com")


@pytest.fixture
def winter(shop):
    """A published shelf with Emma, Persuasion and Sanditon, in this order."""
    shelf = shop.pick_shelf("Winter reading")
    for title in ("Emma", "Persuasion", "Sanditon"):
        shop.pick(shelf, shop.book(title, stock=1), f"Why we like {title}.")
    return shelf


def titles_in(answer):
    """Return the titles of the books on a page, in their order."""
    return re.findall("Why we like ([A-Z][a-z]+)", text_of(answer))


def press(browser, path, page):
    return browser.post(path, csrf_token=browser.csrf_token(page))


def test_a_new_shelf_is_on_the_home_page_as_soon_as_it_has_a_book(shop, staff, web_client):
    shop.book("Emma", isbn="9780141439587", stock=2)
    shelf = staff.submit("/admin/picks/new", **WINTER).location
    assert "Winter reading" not in web_client().get("/").text
    assert staff.submit(shelf, book="978-0-14-143958-7", sentence="She means well.").status_code == 303
    for path in ("/", "/picks", "/picks/1"):
        page = text_of(web_client().get(path))
        assert ("Winter reading" in page, "For long evenings." in page, "She means well." in page) == (True,) * 3, path
    book = text_of(web_client().get("/books/1/emma"))
    assert "She means well. A staff pick, from Winter reading" in book


def test_the_page_of_a_book_puts_it_on_a_shelf(shop, staff, winter):
    shop.book("Lady Susan")
    assert staff.submit("/admin/books/4/picks", shelf=str(winter), sentence="Wicked.").status_code == 303
    assert "Winter reading Wicked." in text_of(staff.get("/admin/books/4/picks"))
    again = staff.submit("/admin/books/4/picks", shelf=str(winter), sentence="Very wicked.")
    assert (again.status_code, "This book is on the shelf already." in text_of(again)) == (409, True)
    assert "Very wicked." in again.text


def test_a_title_that_several_books_have_is_chosen_from_a_list(shop, staff, winter):
    other = shop.book("Emma", authors="Somebody Else")
    page = f"/admin/picks/{winter}"
    asked = staff.submit(page, book="emma", sentence="The other one.")
    assert (asked.status_code, "2 books match. Choose one of them." in text_of(asked)) == (400, True)
    assert ("The other one." in asked.text, f'value="{other}"' in asked.text) == (True, True)
    assert staff.submit(page, book="emma", chosen=str(other), sentence="The other one.").status_code == 303
    assert shop.rows("SELECT sentence FROM picks WHERE book_id = :id", id=other) == ["The other one."]
    missing = staff.submit(page, book="dragons", sentence="Nice.")
    assert (missing.status_code, "No book on sale matches this." in text_of(missing)) == (400, True)


def test_customers_see_no_draft_and_no_withdrawn_book(shop, staff, winter, web_client):
    shop.withdraw(1)
    assert titles_in(web_client().get("/")) == ["Persuasion", "Sanditon"]
    assert titles_in(web_client().get("/books/1/emma")) == []
    assert "Withdrawn: customers don't see it here. Why we like Emma." in text_of(staff.get(f"/admin/picks/{winter}"))
    staff.submit(f"/admin/picks/{winter}/edit", **{**WINTER, "state": "draft", "version": "1"})
    for path in ("/", "/picks", "/books/2/persuasion"):
        assert titles_in(web_client().get(path)) == [], path
    assert web_client().get(f"/picks/{winter}").status_code == 404


def test_a_withdrawn_book_is_not_put_on_a_shelf(shop, staff, winter):
    shop.withdraw(shop.book("Lady Susan"))
    typed = staff.submit("/admin/picks/1", book="x", chosen="4", sentence="Wicked.")
    assert (typed.status_code, "This book has been withdrawn." in text_of(typed)) == (409, True)
    pressed = staff.submit("/admin/books/4/picks", page="/admin/picks/1", shelf=str(winter), sentence="Wicked.")
    assert (pressed.status_code, "A withdrawn book cannot be put on a shelf" in text_of(pressed)) == (409, True)


def test_books_move_up_and_down_and_the_page_comes_back_to_them(staff, winter, web_client):
    page = f"/admin/picks/{winter}"
    answer = press(staff, f"{page}/books/3/up", page)
    assert (answer.status_code, answer.location) == (303, f"{page}#book-3")
    assert titles_in(web_client().get(f"/picks/{winter}")) == ["Emma", "Sanditon", "Persuasion"]
    press(staff, f"{page}/books/1/down", page)
    assert titles_in(web_client().get(f"/picks/{winter}")) == ["Sanditon", "Emma", "Persuasion"]
    press(staff, f"{page}/books/3/up", page)
    assert titles_in(web_client().get(f"/picks/{winter}")) == ["Sanditon", "Emma", "Persuasion"]


def move_two_at_once(shop, winter, patience=races.SHORT):
    """Move Emma down, and Sanditon up after the first move has read the order."""

    def move(book, *, up):
        return lambda: shop.commit(lambda: services.picks().move(winter, book, up=up))

    races.interleave((PickRepository, "list_places"), move(1, up=False), move(3, up=True), patience)


def test_two_moves_at_once_both_take_effect(shop, winter, web_client):
    move_two_at_once(shop, winter)
    assert titles_in(web_client().get(f"/picks/{winter}")) == ["Persuasion", "Sanditon", "Emma"]


def test_without_the_lock_of_the_shelf_one_of_two_moves_is_lost(app, shop, winter, web_client):
    with races.without_lock(app, {" FOR UPDATE": ""}):
        move_two_at_once(shop, winter, races.LONG)
    assert titles_in(web_client().get(f"/picks/{winter}")) == ["Persuasion", "Emma", "Sanditon"]


def test_shelves_move_and_the_home_page_has_the_first_three(shop, staff, web_client):
    shop.book("Emma")
    for name in ("Spring", "Summer", "Autumn", "Winter"):
        shop.pick(shop.pick_shelf(name), 1)
    assert press(staff, "/admin/picks/4/up", "/admin/picks").location == "/admin/picks#shelf-4"
    page = text_of(web_client().get("/"))
    assert [name for name in ("Spring", "Summer", "Winter", "Autumn") if name in page] == ["Spring", "Summer", "Winter"]


def test_who_comes_second_hears_that_the_book_is_gone(staff, winter):
    page = f"/admin/picks/{winter}"
    assert press(staff, f"{page}/books/2/remove", page).location == page
    staff.get(page)
    for action in ("remove", "up"):
        answer = press(staff, f"{page}/books/2/{action}", page)
        assert (answer.status_code, answer.location) == (303, page)
        assert "This book is not on the shelf. It may have been removed meanwhile." in text_of(staff.get(page))
    assert titles_in(staff.get(page)) == ["Emma", "Sanditon"]
    staff.post(f"{page}/delete", csrf_token=staff.csrf_token(page))
    gone = press(staff, f"{page}/books/1/remove", "/admin/picks")
    assert (gone.status_code, "There is no such shelf. It may have been deleted" in text_of(gone)) == (404, True)


def test_a_change_of_another_version_is_refused_and_keeps_what_was_typed(shop, staff, winter):
    page = f"/admin/picks/{winter}"
    for path, first, second in (
        (f"{page}/edit", {**WINTER, "name": "First"}, {**WINTER, "name": "Second"}),
        (f"{page}/books/1", {"sentence": "First"}, {"sentence": "Second"}),
    ):
        assert staff.submit(path, **{**first, "version": "1"}).status_code == 303
        answer = staff.submit(path, **{**second, "version": "1"})
        assert (answer.status_code, "Second" in answer.text) == (409, True)
        assert "Somebody else has changed this" in text_of(answer)
    found = shop.rows("SELECT name, sentence FROM picks JOIN pick_shelves ON shelf_id = id WHERE book_id = 1")
    assert found == [("First", "First")]


def test_a_name_is_taken_once_whatever_its_case(shop, staff, winter):
    shop.pick_shelf("Spring")
    new = staff.submit("/admin/picks/new", **{**WINTER, "name": "WINTER Reading"})
    renamed = staff.submit("/admin/picks/2/edit", **{**WINTER, "name": "winter reading", "version": "1"})
    for answer in (new, renamed):
        assert (answer.status_code, "There is a shelf with this name." in text_of(answer)) == (409, True)
    assert shop.rows("SELECT name FROM pick_shelves ORDER BY id") == ["Winter reading", "Spring"]


def test_there_is_a_limit_to_shelves_and_to_books_on_one(shop, staff, winter):
    shop.execute(f"INSERT INTO pick_shelves {MANY_SHELVES}")
    answer = staff.submit("/admin/picks/new", **{**WINTER, "name": "One more"})
    assert (answer.status_code, "A shop can have 20 shelves. Delete one first." in text_of(answer)) == (409, True)
    for number in range(48):
        shop.book(f"Book {number}")
    shop.execute(f"INSERT INTO picks SELECT {winter}, id, 'x', id, 1 FROM books WHERE id BETWEEN 4 AND 50")
    answer = staff.submit(f"/admin/picks/{winter}", book="x", chosen="51", sentence="One more.")
    assert (answer.status_code, "A shelf can have 50 books. Take one off first." in text_of(answer)) == (409, True)


MANY_SHELVES = """(name, name_key, introduction, state, position, version)
    SELECT 'Shelf', 'a' || a.id || b.id || c.id, '', 'draft', 1, 1 FROM books a, books b, books c LIMIT 19"""


def test_a_deleted_shelf_is_gone_with_its_sentences_and_the_log_says_what_was_done(shop, staff, winter, web_client):
    page = f"/admin/picks/{winter}"
    assert "Its sentences about 3 books are lost." in text_of(staff.get(f"{page}/delete"))
    press(staff, f"{page}/books/1/down", page)
    staff.submit(f"{page}/books/1", sentence="Secret", version="1")
    assert staff.post(f"{page}/delete", csrf_token=staff.csrf_token(page)).location == "/admin/picks"
    assert (shop.rows("SELECT * FROM picks"), web_client().get(f"/picks/{winter}").status_code) == ([], 404)
    found = shop.rows("SELECT action, subject_id FROM audit_entries WHERE user_id IS NOT NULL ORDER BY id")
    assert found == [(f"pick_shelf.{done}", winter) for done in ("book_moved", "sentence_changed", "deleted")]
    assert "Secret" not in str(shop.rows("SELECT before, after FROM audit_entries"))
