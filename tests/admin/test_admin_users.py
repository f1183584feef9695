"""Staff's list of users: searching, deactivating and reactivating."""

import pytest

from tests.support.clients import text_of
from tests.support.races import insert_customers

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"


@pytest.fixture
def staff(shop, web_client):
    shop.staff(STAFF)
    return web_client(STAFF)


@pytest.fixture
def ada(shop, staff):
    """The id of a customer."""
    return shop.customer(ADA)


def deactivation(user_id):
    return f"/admin/users/{user_id}/deactivate"


def reactivation(user_id):
    return f"/admin/users/{user_id}/reactivate"


def test_the_list_shows_role_date_reservations_and_status_newest_first(shop, staff, ada):
    for title in ("Emma", "Persuasion"):
        shop.reserve(ada, shop.book(title))
    shop.cancel(ada, shop.reserve(ada, shop.book("Sanditon")))
    shop.execute("UPDATE users SET created_at = '2026-03-04 12:00:00+00:00'")
    words = text_of(staff.get("/admin/users"))
    assert (
        f"{ADA} customer 4 Mar 2026 2 Active Deactivate {ADA} {STAFF} bookseller 4 Mar 2026 0 Active This is you"
        in words
    )


@pytest.mark.parametrize("q", ["ada", "ADA@", "da@exam"])
def test_a_user_is_found_by_part_of_the_address_and_the_search_is_kept(staff, ada, q):
    page = staff.get("/admin/users", query_string={"q": q})
    assert "1 account with" in text_of(page)
    assert (ADA in page.text, STAFF in page.text, f'value="{q}"' in page.text) == (True, False, True)


@pytest.mark.parametrize("q", ["nobody", "%", "_", "a\0b", "x" * 300, "<b>"])
def test_a_user_search_without_results_says_so(staff, q):
    page = staff.get("/admin/users", query_string={"q": q})
    assert (page.status_code, "Try a shorter part of the address" in text_of(page)) == (200, True)
    assert "<b>" not in page.text


def test_the_pages_of_the_list_keep_the_search(shop, staff):
    insert_customers(shop, 101)
    page = staff.follow("/admin/users?q=customer&page=9")
    assert "Page 3 of 3" in text_of(page)
    assert "/admin/users?q=customer&amp;page=2" in page.text


def test_a_deleted_account_is_not_listed_and_has_no_page(shop, staff, ada):
    shop.execute("UPDATE users SET deleted_at = created_at, deactivated_at = created_at WHERE id = :id", id=ada)
    assert ADA not in staff.get("/admin/users").text
    assert staff.get(deactivation(ada)).status_code == 404


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "There are no waiting reservations."),
        (1, "1 waiting reservation will be cancelled"),
        (2, "2 waiting reservations will be cancelled"),
    ],
)
def test_deactivating_asks_first_and_shows_how_many_reservations_it_cancels(shop, staff, ada, number, words):
    for title in ("Emma", "Persuasion")[:number]:
        shop.reserve(ada, shop.book(title))
    assert words in text_of(staff.get(deactivation(ada)))
    assert shop.rows("SELECT status FROM prebookings") == ["waiting"] * number


def test_a_deactivated_user_is_logged_out_and_has_no_waiting_reservations(shop, staff, web_client, ada):
    browser = web_client(ADA)
    shop.reserve(ada, shop.book())
    answer = staff.submit(deactivation(ada))
    assert f"{ADA} has been deactivated. Reservations cancelled: 1." in text_of(staff.get(answer.location))
    assert shop.rows("SELECT status FROM prebookings") == ["cancelled"]
    assert browser.get("/reservations").location.startswith("/login")


def test_a_deactivated_user_is_marked_and_can_be_reactivated(staff, web_client, ada):
    staff.submit(deactivation(ada))
    page = staff.get("/admin/users?q=ada")
    assert ("Deactivated on" in text_of(page), reactivation(ada) in page.text) == (True, True)

    answer = staff.submit(reactivation(ada), page="/admin/users")
    assert f"{ADA} can log in again." in text_of(staff.get(answer.location))
    assert web_client(ADA).get("/reservations").status_code == 200


def test_staff_cannot_deactivate_themselves(shop, staff):
    own = shop.rows("SELECT id FROM users WHERE role = 'bookseller'")[0]
    assert deactivation(own) not in staff.get("/admin/users").text
    answer = staff.submit(deactivation(own))
    assert answer.location == "/admin/users"
    assert "You cannot deactivate your own account." in text_of(staff.get(answer.location))


def test_an_owner_can_deactivate_and_reactivate_a_member_of_staff(shop, web_client):
    shop.owner()
    staff_id, owner, browser = shop.staff(STAFF), web_client("owner@example.com"), web_client(STAFF)
    owner.submit(deactivation(staff_id))
    assert browser.get("/admin").location.startswith("/login")
    owner.submit(reactivation(staff_id), page="/admin/users")
    assert web_client(STAFF).get("/admin").status_code == 200


@pytest.mark.parametrize("role", ["bookseller", "owner"])
def test_a_bookseller_can_neither_deactivate_nor_reactivate_staff(shop, staff, role):
    other = {"bookseller": shop.staff, "owner": shop.owner}[role]("other@example.com")
    assert deactivation(other) not in staff.get("/admin/users").text
    assert staff.submit(deactivation(other)).status_code == 403
    shop.execute("UPDATE users SET deactivated_at = created_at WHERE id = :id", id=other)
    assert staff.submit(reactivation(other), page="/admin/users").status_code == 403
    assert shop.rows("SELECT count(*) FROM users WHERE deactivated_at IS NULL") == [1]


@pytest.mark.parametrize("number", [999, 2**31])
def test_an_unknown_user_has_no_staff_pages(staff, number):
    assert staff.get(deactivation(number)).status_code == 404
    assert staff.submit(reactivation(number), page="/admin/users").status_code == 404
