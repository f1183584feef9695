"""Customers withdraw from an order by post in two steps, and get an acknowledgement."""

import re
from functools import partial

import pytest

from bookshop import create_app
from bookshop.returns.repository import ReturnRepository
from bookshop.web import services
from tests.support import mailbox as mails
from tests.support import races
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.links import fields_of
from tests.support.settings import settings_for

ADA = "ada@example.com"
FORM = "/return"


@pytest.fixture
def order(shop):
    """The id of Ada's order by post, of two books."""
    shop.describe(post_orders=True, postage_cents=350, email="shop@example.com")
    books = {shop.book("Emma", stock=3): 1, shop.book("Persuasion", stock=3): 1}
    order_id = shop.order(shop.customer(ADA), books, delivery="post", address="1 Fen Street")
    shop.change_order(order_id, "ready", shop.staff())
    shop.change_order(order_id, "collected", 2)
    return order_id


def number_of(shop, order_id=1):
    return shop.rows("SELECT number FROM orders WHERE id = :id", id=order_id)[0]


def step_1(browser, path=FORM, **typed):
    return browser.post(FORM, **{**fields_of(browser.get(path).text), **typed, "submit": "Continue"})


def declare(browser, **typed):
    """Go through both steps, and return the last page."""
    summary = step_1(browser, **typed)
    done = browser.post(FORM, **fields_of(summary.text), confirm="Confirm withdrawal")
    return browser.follow(done.location)


def declared(shop):
    return shop.rows("SELECT order_id, name, books FROM returns ORDER BY id")


def test_a_visitor_withdraws_in_two_steps_and_the_customer_gets_an_acknowledgement(shop, web_client, mailbox, order):
    mailbox.deliver()
    visitor, staff = web_client(), web_client("staff@example.com")
    assert 'href="/return"' in visitor.get("/pages/delivery-and-returns").text
    typed = {"name": "Ada L.", "order_number": number_of(shop).replace("-", " "), "email": "ADA@example.com"}
    summary = step_1(visitor, **typed, books="Emma\r\nand the bookmark")
    assert f"these books of order {number_of(shop)}: Emma and the bookmark" in text_of(summary)
    assert declared(shop) == []
    changed = visitor.post(FORM, **fields_of(summary.text), edit="Change something")
    assert (changed.status_code, "and the bookmark</textarea>" in changed.text) == (200, True)
    assert "Check your e-mail" in text_of(declare(visitor, **typed, books="Emma\nand the bookmark"))
    assert (declared(shop), shop.broken()) == ([(order, "Ada L.", "Emma\nand the bookmark")], [])
    (message,) = mailbox.deliver()
    assert (message["To"], message["Subject"]) == (
        ADA,
        f"We have received your withdrawal from order {number_of(shop)}",
    )
    for kind in ("plain", "html"):
        text = " ".join(re.sub(r"<[^>]+>|[\u2068\u2069]", " ", mails.part(message, kind)).split())
        assert re.search(r"Received on \d+ \w+ \d{4} at \d\d:\d\d UTC", text)
        assert all(word in text for word in ("Emma", "and the bookmark", "Ada L."))
    assert f"Returns to handle: 1 Order {number_of(shop)}" in text_of(staff.get("/admin"))
    assert "To be handled" in text_of(staff.get(f"/admin/orders/{order}"))
    staff.submit("/admin/returns/1/handled", page=f"/admin/orders/{order}")
    assert ("Returns to handle" in text_of(staff.get("/admin"))) is False
    assert (shop.stock(1), shop.rows("SELECT status FROM orders")) == (2, ["collected"])


def test_customers_start_from_their_order_which_then_says_what_was_received(shop, web_client, order):
    ada = web_client(ADA)
    (path,) = re.findall(r'href="(/return[^"]*)"', ada.get(f"/orders/{order}").text)
    summary = step_1(ada, path)
    assert f"all books of order {number_of(shop)}. Name Ada Lovelace E-mail {ADA}" in text_of(summary)
    ada.post(FORM, **fields_of(summary.text), confirm="Confirm withdrawal")
    assert "We received your withdrawal on" in text_of(ada.get(f"/orders/{order}"))
    shop.execute("UPDATE orders SET status = 'cancelled', collected_at = NULL, cancelled_at = ready_at")
    cancelled = text_of(ada.get(f"/orders/{order}"))
    assert ("We received your withdrawal on" in cancelled, "Withdraw from contract" in cancelled) == (True, False)
    ben = web_client(shop.rows("SELECT email FROM users WHERE id = :id", id=shop.customer("ben@example.com"))[0])
    assert number_of(shop) not in ben.get(path).text


@pytest.mark.parametrize("known_by", ["the address it was confirmed to", "the new address", "a deactivated account"])
def test_a_customer_who_has_moved_on_can_still_return_an_order(shop, web_client, mailbox, order, known_by):
    mailbox.deliver()
    typed, reached = ADA, ADA
    if known_by == "a deactivated account":
        shop.deactivate(ADA)
    else:
        reached = "new@example.com"
        shop.execute("UPDATE users SET email = :new, email_key = :new WHERE id = 1", new=reached)
        typed = ADA if known_by == "the address it was confirmed to" else reached
    declare(web_client(), name="Ada L.", order_number=number_of(shop), email=typed)
    assert ([message["To"] for message in mailbox.deliver()], len(declared(shop))) == ([reached], 1)


@pytest.mark.parametrize("wrong", ["number", "email", "collected in the shop", "cancelled", "deleted"])
def test_nobody_learns_from_the_form_whether_there_is_such_an_order(shop, web_client, order, wrong):
    known = {"name": "Ada", "order_number": number_of(shop), "email": ADA}
    right = declare(web_client(), **known).text
    shop.execute("DELETE FROM returns")
    if wrong == "collected in the shop":
        known["order_number"] = number_of(shop, shop.order(1, {1: 1}))
    elif wrong == "cancelled":
        shop.execute(
            "UPDATE orders SET delivery = 'post', status = 'cancelled', collected_at = NULL, cancelled_at = ready_at"
        )
    elif wrong == "deleted":
        shop.commit(lambda: services.people().delete(1, PASSWORD))
    else:
        known |= {"order_number": "4821-7301", "email": ADA} if wrong == "number" else {"email": "ben@example.com"}
    before = shop.everything()
    assert (declare(web_client(), **known).text, shop.everything()) == (right, before)


def test_what_an_open_return_does_not_say_is_stored(shop, web_client, order):
    visitor, long = web_client(), "The Remarkable History of Emma\r\n" * 20
    for books in ("...", long, f"{long}Persuasion", ""):
        declare(visitor, name="Ada L.", order_number=number_of(shop), email=ADA, books=books)
    assert len(declared(shop)) == 4


def test_an_order_has_at_most_five_open_returns_and_one_of_all_its_books(shop, web_client, order):
    visitor = web_client()
    for books in ("1", "2", "3", "4", "5", "6", ""):
        page = declare(visitor, name="Ada L.", order_number=number_of(shop), email=ADA, books=books)
    assert [books for _order, _name, books in declared(shop)] == ["1", "2", "3", "4", "5", None]
    assert "While five withdrawals from some books of an order are waiting for us" in text_of(page)
    shop.execute("UPDATE returns SET handled_at = created_at")
    shop.give_back(order, books="6")
    assert len(declared(shop)) == 7


def test_the_desk_counts_the_open_returns_and_leads_to_all_of_them(shop, web_client, order):
    staff = web_client("staff@example.com")
    orders = [order, *(shop.order(1, {1: 1}, delivery="post", address="1 Fen Street") for _more in range(2))]
    for number in range(11):
        shop.give_back(orders[number // 4], books=f"Book {number}")
    desk, page = staff.get("/admin"), staff.get("/admin/returns")
    assert "Returns to handle: 11" in text_of(desk)
    assert (len(re.findall("received on", desk.text)), len(re.findall("received on", page.text))) == (10, 11)
    assert '<a href="/admin/returns">All returns to handle</a>' in desk.text
    staff.submit("/admin/returns/1/handled", page=f"/admin/orders/{order}")
    assert ("All returns to handle" in text_of(staff.get("/admin"))) is False
    shop.execute("UPDATE returns SET handled_at = created_at")
    assert "There are no returns to handle." in text_of(staff.get("/admin/returns"))


def test_who_declares_the_same_again_gets_the_acknowledgement_again_within_the_allowance(
    shop, web_client, mailbox, order
):
    mailbox.deliver()
    known = {"name": "Ada L.", "order_number": number_of(shop), "email": ADA, "books": "Emma"}
    pages = [declare(web_client(), **known) for _time in range(3)]
    first, again = mailbox.deliver()
    assert re.findall("Received on .*", mails.part(again, "plain")) == re.findall(
        "Received on .*", mails.part(first, "plain")
    )
    assert (len(declared(shop)), shop.broken()) == (1, [])
    assert "If you had sent the same before, we received it then" in text_of(pages[2])


@pytest.mark.parametrize("order_id", [0, 2**31, 10**20, "x"])
def test_an_order_that_cannot_be_is_no_order_in_the_address(shop, web_client, order_id):
    shop.customer(ADA)
    assert web_client(ADA).get(f"{FORM}?order={order_id}").status_code == 200


def test_what_an_open_return_says_already_is_not_stored_again(shop, order):
    shop.give_back(order, books="Emma")
    for books in ("emma", "Persuasion", None, "Emma", None):
        shop.give_back(order, books=books)
    assert [books for _order, _name, books in declared(shop)] == ["Emma", "Persuasion", None]
    shop.execute("UPDATE returns SET handled_at = created_at")
    shop.give_back(order, books="Emma")
    assert (len(declared(shop)), shop.broken()) == (4, [])


def both_declare(shop, order):
    """Declare the same twice, the second time when the first has just looked for an open return."""
    give_back = partial(shop.give_back, order)
    races.interleave((ReturnRepository, "list_by_order"), give_back, give_back)
    return len(declared(shop))


def test_two_equal_declarations_at_the_same_moment_are_stored_once(shop, order):
    assert both_declare(shop, order) == 1


def test_without_the_lock_both_are_stored(shop, order):
    with races.without_lock(shop.app, {" FOR NO KEY UPDATE": ""}):
        assert both_declare(shop, order) == 2


def test_the_sender_of_many_forms_has_to_wait(database_url, order):
    browser = WebClient(create_app(settings_for(database_url, login_limit="2 per minute")))
    pages = [step_1(browser, order_number="x", name="Ada", books="Emma, which I read twice") for _try in range(3)]
    assert [page.status_code for page in pages] == [400, 400, 429]
    assert ("Please try again in" in text_of(pages[2]), "Retry-After" in pages[2].headers) == (True, True)
    assert ('value="Ada"' in pages[2].text, "which I read twice</textarea>" in pages[2].text) == (True, True)


def test_customers_can_download_their_returns(shop, web_client, order):
    shop.give_back(order, books="Emma")
    (found,) = web_client(ADA).get("/account/data.json").json["returns"]
    assert (found["order"], found["name"], found["books"]) == (number_of(shop), "Ada Lovelace", "Emma")


def test_a_return_of_a_deleted_account_has_no_name_and_no_text(shop, order):
    shop.give_back(order, books="Emma, with love to Zenobia")
    shop.commit(lambda: services.people().delete(1, PASSWORD))
    assert (declared(shop), shop.broken()) == ([(order, "", None)], [])
