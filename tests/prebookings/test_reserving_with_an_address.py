"""Reserving a book with nothing but an e-mail address."""

from datetime import timedelta

from bookshop.kit.database import now
from tests.support.clients import text_of
from tests.support.links import delivered_link, fields_of, press, start_to_reserve

ADA = "ada@example.com"


def is_logged_in(browser):
    return browser.get("/account").status_code == 200


def test_a_visitor_reserves_with_an_address_and_one_e_mail(shop, web_client, mailbox):
    book_id, browser = shop.book("Emma"), web_client()
    assert start_to_reserve(browser, book_id).location == "/login/sent"
    done = press(browser, delivered_link(mailbox))
    assert "Reserved: Emma." in text_of(browser.follow(done.location))
    assert (shop.statuses(book_id), shop.broken()) == (["waiting"], [])


def test_nothing_but_the_link_exists_for_an_address_that_nobody_has_confirmed(shop, web_client):
    start_to_reserve(web_client(), shop.book("Emma"))
    counts = [shop.rows(f"SELECT count(*) FROM {table}")[0] for table in ("users", "login_sessions", "prebookings")]
    assert (counts, shop.rows("SELECT kind, user_id FROM messages")) == ([0, 0, 0], [("login_link", None)])


def test_the_page_after_it_says_where_the_link_was_sent_and_what_it_will_do(shop, web_client):
    browser = web_client()
    page = text_of(browser.follow(start_to_reserve(browser, shop.book("Emma")).location))
    assert "We've sent a link to ada@example.com" in page
    assert "Reserve Emma" in page


def test_an_address_that_is_not_valid_is_refused_with_what_was_typed(shop, web_client):
    answer = start_to_reserve(web_client(), shop.book("Emma"), "ada at example")
    assert answer.status_code == 400
    assert 'value="ada at example"' in answer.text
    assert "This is not a valid e-mail address." in text_of(answer)
    assert shop.rows("SELECT count(*) FROM messages") == [0]


def test_a_book_that_is_in_stock_is_not_reserved_with_an_address(shop, web_client):
    browser, book_id = web_client(), shop.book("Emma")
    token = browser.csrf_token(f"/books/{book_id}")
    shop.set_stock(book_id, 1)
    answer = browser.post(f"/books/{book_id}/reserve", csrf_token=token, email=ADA)
    assert "Book is in stock — add to cart instead" in text_of(browser.follow(answer.location))
    assert shop.rows("SELECT count(*) FROM messages") == [0]


def test_what_the_same_browser_starts_meanwhile_joins_the_link(shop, web_client, mailbox):
    browser, books = web_client(), [shop.book("Emma"), shop.book("Persuasion")]
    for book_id in books:
        start_to_reserve(browser, book_id)
    path = delivered_link(mailbox)
    page = text_of(browser.get(path))
    assert ("Emma" in page, "Persuasion" in page) == (True, True)
    press(browser, path)
    assert [shop.statuses(book_id) for book_id in books] == [["waiting"], ["waiting"]]


def test_another_browser_never_adds_to_a_link(shop, web_client, mailbox):
    emma, persuasion = shop.book("Emma"), shop.book("Persuasion")
    browser = web_client()
    start_to_reserve(browser, emma)
    start_to_reserve(web_client(), persuasion)
    press(browser, delivered_link(mailbox))
    assert (shop.statuses(emma), shop.statuses(persuasion)) == (["waiting"], [])


def test_a_reservation_can_be_left_out_on_the_page_of_the_link(shop, web_client, mailbox):
    browser, book_id = web_client(), shop.book("Emma")
    start_to_reserve(browser, book_id)
    assert press(browser, delivered_link(mailbox), reservations=None).status_code == 303
    assert (shop.statuses(book_id), is_logged_in(browser)) == ([], True)


def test_a_book_that_is_back_in_stock_is_offered_instead(shop, web_client, mailbox):
    browser, book_id = web_client(), shop.book("Emma")
    start_to_reserve(browser, book_id)
    path = delivered_link(mailbox)
    shop.set_stock(book_id, 2)
    assert "It is back in stock." in text_of(browser.get(path))
    page = text_of(browser.follow(press(browser, path).location))
    assert "Emma is back in stock, so you can order it now." in page
    assert (shop.statuses(book_id), shop.broken()) == ([], [])


def test_one_refused_reservation_does_not_stop_the_others(shop, web_client, mailbox):
    browser, emma, persuasion = web_client(), shop.book("Emma"), shop.book("Persuasion")
    shop.reserve(shop.customer(ADA), emma)
    for book_id in (emma, persuasion):
        start_to_reserve(browser, book_id)
    page = text_of(browser.follow(press(browser, delivered_link(mailbox)).location))
    assert "Emma: You have already reserved this book." in page
    assert (shop.statuses(emma), shop.statuses(persuasion)) == (["waiting"], ["waiting"])


def test_staff_who_started_a_reservation_are_logged_in_and_told_that_they_cannot_reserve(shop, web_client, mailbox):
    browser, book_id = web_client(), shop.book("Emma")
    shop.staff("staff@example.com")
    start_to_reserve(browser, book_id, "staff@example.com")
    page = text_of(browser.follow(press(browser, delivered_link(mailbox)).location))
    assert "Staff accounts can neither reserve nor order." in page
    assert (shop.statuses(book_id), is_logged_in(browser)) == ([], True)


def test_reserving_a_sold_out_book_takes_it_out_of_the_visitors_cart(shop, web_client):
    browser, book_id = web_client(), shop.book("Emma", stock=1)
    browser.submit("/cart/items", page=f"/books/{book_id}", book_id=book_id)
    shop.set_stock(book_id, 0)
    start_to_reserve(browser, book_id)
    assert "Your cart is empty" in text_of(browser.get("/cart"))


def test_a_mistyped_domain_gets_a_suggestion_and_a_link(shop, web_client, mailbox):
    browser, book_id = web_client(), shop.book("Emma")
    page = browser.follow(start_to_reserve(browser, book_id, "ada@gmial.com").location)
    assert "Send the link to ada@gmail.com" in text_of(page)
    assert [message["To"] for message in mailbox.deliver()] == ["ada@gmial.com"]
    browser.submit("/login/sent", email="ada@gmail.com")
    press(browser, delivered_link(mailbox))
    assert shop.statuses(book_id) == ["waiting"]
    assert shop.rows("SELECT email FROM users") == ["ada@gmail.com"]


def test_a_double_click_on_the_button_is_one_login(shop, web_client, mailbox):
    browser, book_id = web_client(), shop.book("Emma")
    start_to_reserve(browser, book_id)
    path = delivered_link(mailbox)
    fields = fields_of(browser.get(path).text)
    twin = web_client()
    twin.client.set_cookie("bookshop", browser.client.get_cookie("bookshop").value)
    assert browser.post(path, **fields).status_code == twin.post(path, **fields).status_code == 303
    assert (is_logged_in(browser), is_logged_in(twin)) == (True, True)
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


def test_what_is_started_while_the_page_of_the_link_is_open_is_shown_before_it_is_done(shop, web_client, mailbox):
    browser, emma, persuasion = web_client(), shop.book("Emma"), shop.book("Persuasion")
    start_to_reserve(browser, emma)
    path = delivered_link(mailbox)
    fields = fields_of(browser.get(path).text)
    start_to_reserve(browser, persuasion)
    again = browser.post(path, **fields)
    assert (again.status_code, "You have started something else meanwhile." in text_of(again)) == (409, True)
    press(browser, path)
    assert (shop.statuses(emma), shop.statuses(persuasion)) == (["waiting"], ["waiting"])


def test_what_the_pressing_browser_has_started_is_done_too(shop, web_client, mailbox):
    laptop, phone, emma, persuasion = web_client(), web_client(), shop.book("Emma"), shop.book("Persuasion")
    start_to_reserve(laptop, emma)
    path = delivered_link(mailbox)
    start_to_reserve(phone, persuasion)  # within 5 minutes: no second e-mail
    assert mailbox.deliver() == []
    press(phone, path, confirmed="y")
    assert (shop.statuses(emma), shop.statuses(persuasion)) == (["waiting"], ["waiting"])


def test_what_is_started_shortly_before_the_link_expires_gets_another_one(shop, web_client, mailbox):
    browser = web_client()
    start_to_reserve(browser, shop.book("Emma"))
    delivered_link(mailbox)
    shop.execute("UPDATE login_links SET sent_at = :then", then=now() - timedelta(minutes=25))
    shop.execute("DELETE FROM attempts")
    start_to_reserve(browser, shop.book("Persuasion"))
    assert "Persuasion" in text_of(browser.get(delivered_link(mailbox)))


def test_a_corrected_address_gets_what_was_started_last(shop, web_client, mailbox):
    browser, emma = web_client(), shop.book("Emma")
    for email in (ADA, "ada@example.org"):
        start_to_reserve(browser, emma, email)
    before = shop.rows("SELECT id FROM link_actions ORDER BY id")
    browser.submit("/login/sent", email=ADA)
    assert shop.rows("SELECT email_key, id FROM link_actions") == [(ADA, before[-1])]
