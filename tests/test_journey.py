"""The main use case, end to end."""

from tests.support.clients import text_of
from tests.support.links import link_in, press


def test_a_visitor_who_never_chooses_a_password_reserves_is_notified_and_buys(shop, web_client, mailbox):
    book_id, browser = shop.book("Emma"), web_client()
    browser.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}", email="ada@example.com")
    [message] = mailbox.deliver()
    assert press(browser, link_in(message)).location == f"/books/{book_id}/emma#availability"

    assert shop.set_stock(book_id, 1) == ["ada@example.com"]
    [alert] = mailbox.deliver()
    assert (alert["To"], alert["Subject"]) == ("ada@example.com", "Emma is back in stock")

    browser.submit("/cart/items", page="/", book_id=book_id)
    assert press(browser, "/checkout", name="Ada Lovelace").location == "/orders/1"
    assert shop.rows("SELECT password_hash, status FROM users JOIN orders ON user_id = users.id") == [(None, "placed")]
    assert shop.broken() == []


def test_a_customer_reserves_by_button_and_is_notified_when_staff_restock_in_the_form(shop, web_client):
    shop.customer("ada@example.com")
    shop.staff("staff@example.com")
    book_id = shop.book("Emma")
    ada, staff = web_client("ada@example.com"), web_client("staff@example.com")

    assert ada.submit(f"/books/{book_id}/reserve", page=f"/books/{book_id}").status_code == 303
    assert "You reserved this book" in text_of(ada.get(f"/books/{book_id}"))
    assert "1 customer is waiting" in text_of(staff.get(f"/admin/books/{book_id}/stock"))

    page = f"/admin/books/{book_id}/stock"
    assert staff.submit(page, change="received", copies=5, expected=0).status_code == 303
    assert "The stock is now 5. 1 waiting customer was notified." in text_of(staff.get(page))

    assert "1 back in stock" in text_of(ada.get("/"))
    assert "Back in stock since" in text_of(ada.get("/reservations"))
    assert "1 back in stock" not in text_of(ada.get("/"))
    assert shop.broken() == []


def test_a_script_reserves_restocks_and_sees_notified(shop, api_client):
    shop.customer("ada@example.com")
    shop.staff("staff@example.com")
    book_id = shop.book("Emma")
    ada, staff = api_client("ada@example.com"), api_client("staff@example.com")

    made = ada.reserve(book_id)
    assert made.status_code == 201
    assert made.json["status"] == "waiting"

    restocked = staff.set_stock(book_id, 3)
    assert (restocked.status_code, restocked.json["notified_count"]) == (200, 1)
    assert ada.get(made.headers["Location"]).json["status"] == "notified"
    assert shop.broken() == []
