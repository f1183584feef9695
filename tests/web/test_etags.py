"""ETags: unchanged responses are not sent again, and changes based on an outdated state are refused."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from tempfile import NamedTemporaryFile

import pytest

from bookshop.catalog.repository import BookRepository, StockedBook
from tests.support import races
from tests.support.bad_input import assert_problem
from tests.support.routes import GETS, path_of
from tests.support.uploads import Upload, plain, saved

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
BOOK = "/api/v1/books/1"
LOCK = (BookRepository, "lock")


@pytest.fixture
def staff(shop, api_client):
    shop.staff(STAFF)
    return api_client(STAFF)


@pytest.fixture
def emma(staff, shop):
    """Book 1, out of stock."""
    return shop.book("Emma", isbn="9780141439587")


def tag(api_client, path=BOOK):
    return api_client.get(path).headers["ETag"]


def change(api_client, title="Emma again", path=BOOK, **headers):
    return api_client.send("PATCH", path, {"title": title}, **headers)


# ---------------------------------------------------------------- changes of an ETag


def upload(web_client):
    web_client(STAFF).submit("/admin/books/1/cover", picture=(Upload(saved(plain())), "cover.png"))


def restock_book(shop):
    """Import a file that adds details to the book."""
    with NamedTemporaryFile(suffix=".csv") as file:
        file.write(b"isbn,title,authors,publisher\n9780141439587,Emma,Jane Austen,Penguin\n")
        file.flush()
        assert shop.app.test_cli_runner().invoke(args=["books", "import", file.name]).exit_code == 0


CHANGES: dict[str, Callable[..., object]] = {
    "a change": lambda shop, staff, web_client: change(staff),
    "a restock": lambda shop, staff, web_client: staff.set_stock(1, 5),
    "a batch": lambda shop, staff, web_client: staff.post(
        "/api/v1/stock/batch", {"lines": [{"book_id": 1, "delta": 1}]}
    ),
    "a new cover": lambda shop, staff, web_client: upload(web_client),
    "a form": lambda shop, staff, web_client: web_client(STAFF).submit(
        "/admin/books/1/edit", title="Emma", authors="Austen", price="9"
    ),
    "a withdrawal": lambda shop, staff, web_client: shop.withdraw(1),
    "an import": lambda shop, staff, web_client: restock_book(shop),
}


def test_saving_a_book_without_a_change_keeps_its_etag(staff, emma):
    before = tag(staff)
    change(staff, "Emma")
    assert tag(staff) == before


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_of_a_book_changes_its_etag_and_refuses_the_old_one(shop, staff, emma, web_client, name):
    before = tag(staff)
    CHANGES[name](shop, staff, web_client)
    assert tag(staff) != before
    stored = shop.everything()
    for path, body in ((BOOK, {"title": "Mine"}), (BOOK, {}), (f"{BOOK}/stock", {"quantity": 9})):
        assert_problem(staff.send("PATCH", path, body, If_Match=before), 412, "HTTP_412")
    assert shop.everything() == stored


def test_orders_and_cancellations_change_the_etag(shop, staff, emma, api_client):
    ada, nobody = shop.customer(ADA), api_client()
    shop.set_stock(emma, 2)
    seen = [(tag(nobody), tag(staff))]
    order = shop.order(ada, {emma: 1})
    seen.append((tag(nobody), tag(staff)))
    shop.cancel_order(ada, order)
    seen.append((tag(nobody), tag(staff)))
    assert all(len(set(tags)) == 3 for tags in zip(*seen, strict=True))


def test_removing_a_cover_and_putting_a_book_back_change_the_etag(shop, staff, emma, web_client):
    upload(web_client), shop.withdraw(emma)
    tags = [tag(staff)]
    for form in ("/admin/books/1/cover/remove", "/admin/books/1/put-back"):
        assert web_client(STAFF).submit(form, page="/admin/books").status_code == 303
        tags.append(tag(staff))
    assert len(set(tags)) == 3


def test_a_reservation_changes_what_staff_see_but_blocks_no_change(shop, staff, emma, api_client):
    nobody, ada = api_client(), shop.customer(ADA)
    public, own = tag(nobody), tag(staff)
    shop.reserve(ada, emma)
    assert (tag(nobody) == public, tag(staff) == own) == (True, False)
    assert staff.send("GET", BOOK, If_None_Match=own).status_code == 200
    assert change(staff, If_Match=own).status_code == 200


def test_a_change_without_effect_keeps_the_etag(staff, emma):
    before = tag(staff)
    assert staff.patch(BOOK, {}).headers["ETag"] == before
    assert staff.set_stock(1, 0).headers["ETag"] == before
    assert change(staff, "", If_Match=before).status_code == 422
    assert tag(staff) == before


def test_the_response_to_a_change_has_an_etag_for_the_next_change(staff, emma):
    made = staff.post("/api/v1/books", {"title": "Persuasion", "authors": "Jane Austen", "price_cents": 1})
    path, etag = made.headers["Location"], made.headers["ETag"]
    assert tag(staff, path) == etag
    for method, at, body in (
        ("PATCH", path, {"title": "A"}),
        ("PATCH", f"{path}/stock", {"quantity": 5}),
        ("PATCH", path, {"title": "B"}),
    ):
        answer = staff.send(method, at, body, If_Match=etag)
        assert (answer.status_code, answer.headers["ETag"] != etag) == (200, True)
        etag = answer.headers["ETag"]
        assert tag(staff, path) == etag


def test_a_book_has_one_etag_by_its_id_and_by_its_isbn(staff, emma, api_client):
    for reader in (staff, api_client()):
        assert tag(reader) == tag(reader, "/api/v1/books/isbn/0-14-143958-0")


# ---------------------------------------------------------------- If-Match

MATCHING = [
    *("*", "{0}", "{0} ", '"x", {0}', '{0},"999"', '"9999999999999999999999", {0}', '"{1}:gzip"', '"{1}:br"'),
    *("W/{0}", 'W/"x", W/{0}'),
]
NOT_MATCHING = [
    *("", '""', 'W/"x"', '"999"', '"0{1}"', '"{1}-"', '"{1}-x"', '"-{1}"', '"{1}.0"', '"٣"'),
    *('"{1}:deflate"', '"{1}:gzip:x"', '"*"', "garbage", ",,,", '"', "\\", "W/"),
]


@pytest.mark.parametrize("header", MATCHING)
def test_a_change_is_made_if_one_etag_matches(staff, emma, header):
    change(staff), change(staff)
    etag = tag(staff)
    assert change(staff, "Changed", If_Match=header.format(etag, etag.strip('"'))).status_code == 200


def wsgi_header(header):
    """Encode a header as WSGI passes it on."""
    return header.encode().decode("latin-1")


@pytest.mark.parametrize("header", NOT_MATCHING)
def test_a_change_is_refused_if_no_etag_matches(shop, staff, emma, header):
    change(staff), change(staff)
    etag, before = tag(staff), shop.everything()
    answer = change(staff, "Changed", If_Match=wsgi_header(header.format(etag, etag.strip('"').partition("-")[0])))
    assert_problem(answer, 412, "HTTP_412")
    assert shop.everything() == before


def test_without_if_match_a_change_is_always_made(staff, emma):
    assert [change(staff).status_code, change(staff).status_code] == [200, 200]


@pytest.mark.parametrize("header", ["*", '"1"'])
def test_a_change_of_an_unknown_book_is_404_with_any_etag(staff, header):
    for path, body in (("/api/v1/books/999", {"title": "X"}), ("/api/v1/books/999/stock", {"quantity": 1})):
        assert_problem(staff.send("PATCH", path, body, If_Match=header), 404, "BOOK_NOT_FOUND")


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_the_etag_of_a_compressed_response_works_in_both_headers(shop, staff, emma, coding):
    staff.patch(BOOK, {"description": "A long text. " * 200})
    packed = staff.send("GET", BOOK, Accept_Encoding=coding)
    etag = packed.headers["ETag"]
    assert (packed.headers["Content-Encoding"], etag.endswith(f':{coding}"')) == (coding, True)
    for more in ({}, {"Accept_Encoding": coding}):
        assert staff.send("GET", BOOK, If_None_Match=etag, **more).status_code == 304
    assert change(staff, If_Match=etag).status_code == 200
    assert change(staff, If_Match=etag).status_code == 412


# ---------------------------------------------------------------- If-None-Match


JSON = [route for route in GETS if "/api/v1/" in route and "openapi" not in route]


@pytest.mark.parametrize("route", JSON)
def test_every_get_is_304_without_a_body_for_a_matching_etag(sample_shop, route):
    role = next(role for role in ("staff", "ada") if sample_shop.by_token(role, route).status_code == 200)
    api_client, path = sample_shop.api_clients[role], path_of(route)
    first = api_client.get(path)
    for method in ("GET", "HEAD"):
        for known in (first.headers["ETag"], f'"x", {first.headers["ETag"]}', "*"):
            again = api_client.send(method, path, If_None_Match=known)
            assert (again.status_code, again.data) == (304, b"")
            assert "Content-Type" not in again.headers
            for name in ("ETag", "Cache-Control", "Vary"):
                assert again.headers.get(name) == first.headers.get(name), name
    head = api_client.send("HEAD", path)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", first.headers["ETag"])
    assert head.headers["Content-Length"] == first.headers["Content-Length"]
    for unknown in ('"x"', "", "garbage", '""', "W/"):
        assert api_client.send("GET", path, If_None_Match=unknown).data == first.data


def test_weak_and_strong_etags_are_equal_for_reading(staff, emma):
    assert staff.send("GET", BOOK, If_None_Match=f"W/{tag(staff)}").status_code == 304
    listed = tag(staff, "/api/v1/books")
    assert listed.startswith('W/"')
    assert staff.send("GET", "/api/v1/books", If_None_Match=listed.removeprefix("W/")).status_code == 304


def test_a_list_has_a_new_etag_as_soon_as_anything_in_it_changes(shop, staff, emma, api_client):
    nobody = api_client()
    known = tag(nobody, "/api/v1/books")
    assert nobody.send("GET", "/api/v1/books", If_None_Match=known).status_code == 304
    assert nobody.send("GET", "/api/v1/books?size=1", If_None_Match=known).status_code == 200
    shop.set_stock(emma, 1)
    assert nobody.send("GET", "/api/v1/books", If_None_Match=known).status_code == 200


def test_staff_and_customer_etags_reveal_nothing_to_each_other(shop, staff, emma, api_client):
    nobody = api_client()
    assert nobody.send("GET", BOOK, If_None_Match=tag(staff)).status_code == 200
    assert staff.send("GET", BOOK, If_None_Match=tag(nobody)).json["stock_quantity"] == 0


def test_if_none_match_has_no_effect_on_errors_and_changes(shop, staff, emma):
    assert_problem(staff.send("GET", "/api/v1/books/999", If_None_Match="*"), 404, "BOOK_NOT_FOUND")
    assert change(staff, If_None_Match="*").status_code == 200


# ---------------------------------------------------------------- simultaneous requests


def test_one_of_two_changes_with_one_etag_is_refused(shop, staff, emma):
    etag = tag(staff)
    first, second = races.interleave(
        LOCK, partial(change, staff, "First", If_Match=etag), partial(change, staff, "Second", If_Match=etag)
    )
    assert sorted([first.status_code, second.status_code]) == [200, 412]
    winner = first if first.status_code == 200 else second
    assert (staff.get(BOOK).json["title"], tag(staff)) == (winner.json["title"], winner.headers["ETag"])


def test_one_of_ten_concurrent_changes_with_one_etag_is_made(shop, staff, emma):
    etag = tag(staff)
    works = [partial(change, staff, f"No. {number}", If_Match=etag) for number in range(5)]
    works += [partial(staff.send, "PATCH", f"{BOOK}/stock", {"quantity": n + 1}, If_Match=etag) for n in range(5)]
    assert sorted(answer.status_code for answer in races.run_concurrently(works)) == [200] + [412] * 9
    assert (shop.rows("SELECT version FROM books"), shop.broken()) == ([2], [])


@contextmanager
def naive_check():
    """Run the shop with a naive ETag check: against the book as read before it is locked."""

    def read(self, book_ids):
        books = filter(None, map(self.get, book_ids))
        return [StockedBook(*(getattr(book, name) for name in StockedBook._fields)) for book in books]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BookRepository, "lock", read)
        yield


def test_without_the_lock_both_changes_are_made_and_one_is_lost(app, staff, emma):
    etag = tag(staff)
    with races.without_lock(app, {}), naive_check(), races.barrier_at(LOCK, 2, races.LONG):
        works = [partial(change, staff, title, If_Match=etag) for title in ("First", "Second")]
        assert [answer.status_code for answer in races.run_concurrently(works)] == [200, 200]


def test_a_change_that_waited_for_an_order_is_refused_and_the_order_stands(shop, staff, emma):
    ada = shop.customer(ADA)
    shop.set_stock(emma, 1)
    etag = tag(staff)
    restock = partial(staff.send, "PATCH", f"{BOOK}/stock", {"quantity": 5}, If_Match=etag)
    shop.fill_cart(ada, {emma: 1})
    _order, answer = races.interleave(LOCK, partial(shop.order, ada, {}), restock)
    assert (answer.status_code, shop.stock(emma), shop.broken()) == (412, 0, [])
