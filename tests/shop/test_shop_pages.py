"""Owners enter the shop's details, and customers and staff read them at once."""

import json
import re
from datetime import date, timedelta

import pytest

from bookshop import create_app
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict
from bookshop.shop.holidays import public_holidays
from bookshop.shop.repository import ShopRepository
from bookshop.web import services
from tests.support import races
from tests.support.clients import WebClient, text_of
from tests.support.mailbox import part
from tests.support.settings import settings_for

DETAILS = {
    **{"name": "Corner Books", "tagline": "New and old", "street": "12 High Street", "postcode": "OX1 4DB"},
    **{"city": "Oxford", "country": "GB", "phone": "+44 1865 123456", "email": "hello@example.com"},
    **{"time_zone": "Europe/London", "monday": "9-17:30", "tuesday": "9-17:30", "saturday": "10-14"},
    "exceptions": "2030-12-24 9-12 Christmas Eve\n2030-12-25 closed Christmas Day",
    **{"currency": "GBP", "collect_days": "10", "order_wording": "reserve", "mail_delay": "90", "version": "0"},
}
ADDRESS = "12 High Street, OX1 4DB Oxford, United Kingdom"
LINKED_DATA = '<script type="application/ld\\+json">(.*?)</script>'
HOLIDAY = 'name="holidays" type="checkbox" value="([^"]+)"'
MORE_DAYS = dict.fromkeys(("wednesday", "thursday", "friday", "sunday"), "9-18")
ALWAYS_OPEN = ["0:00\u20130:00"] * 7


@pytest.fixture
def owner(shop, web_client):
    shop.owner()
    return web_client("owner@example.com")


def save(owner, **changes):
    return owner.submit("/admin/settings", **{**DETAILS, **changes})


def test_what_owners_enter_is_on_every_page_at_once(owner, app, database_url):
    assert save(owner).status_code == 303
    assert "The details have been saved." in text_of(owner.get("/admin/settings"))
    another_process = create_app(settings_for(database_url))
    for client in (WebClient(app), WebClient(another_process)):
        page = text_of(client.get("/"))
        assert ("Corner Books New and old" in page, ADDRESS in page) == (True, True)


def test_the_page_about_the_shop_says_where_and_when_it_is_open(owner, web_client):
    soon = (now() + timedelta(days=3)).date()
    save(owner, exceptions=f"{soon} 9-12 Stocktaking\n2030-12-25 closed\n2020-01-01 closed")
    page = text_of(web_client().get("/visit"))
    assert "Monday 9:00\u201317:30 Tuesday 9:00\u201317:30 Wednesday Closed" in page
    assert ("9:00\u201312:00 Stocktaking" in page, "Dec 2030" in page, "Jan 2020" in page) == (True, False, False)
    assert "Corner Books 12 High Street OX1 4DB Oxford United Kingdom +44 1865 123456" in page


def test_a_new_shop_says_that_its_address_is_not_known_and_links_to_no_page_about_it(web_client):
    assert "The shop has not entered its address and opening hours yet." in text_of(web_client().get("/visit"))
    assert "/visit" not in web_client().get("/").text


def test_search_engines_read_the_address_and_the_hours(owner, web_client):
    save(owner)
    found = json.loads(re.findall(LINKED_DATA, web_client().get("/visit").text)[0])
    assert (found["@type"], found["telephone"]) == ("BookStore", "+44 1865 123456")
    assert (found["address"]["streetAddress"], found["address"]["addressCountry"]) == ("12 High Street", "GB")
    first = found["openingHoursSpecification"][0]
    assert (first["dayOfWeek"], first["opens"], first["closes"]) == ("https://schema.org/Monday", "09:00", "17:30")
    assert save(owner, version="2", monday="all day").status_code == 303
    found_later = json.loads(re.findall(LINKED_DATA, web_client().get("/visit").text)[0])
    assert found_later["openingHoursSpecification"][0]["closes"] == "23:59"
    closed = found["specialOpeningHoursSpecification"][1]
    assert (closed["validFrom"], closed["opens"], closed["closes"]) == ("2030-12-25", "00:00", "00:00")


def test_json_has_the_details(owner, api_client):
    save(owner)
    found = api_client().get("/api/v1/shop").json
    assert found["address"] == {"street": "12 High Street", "postcode": "OX1 4DB", "city": "Oxford", "country": "GB"}
    assert found["opening_hours"][0] == {"weekday": "Monday", "hours": [{"opens": "09:00", "closes": "17:30"}]}
    assert found["exceptions"][1] == {"date": "2030-12-25", "hours": [], "note": "Christmas Day"}
    assert (found["time_zone"], found["tagline"], found["currency"]) == ("Europe/London", "New and old", "GBP")


def test_the_header_says_until_when_the_shop_is_open(shop, web_client):
    shop.describe(week=ALWAYS_OPEN)
    assert "The Bookshop Open " in text_of(web_client().get("/"))
    shop.describe(exceptions={(now().date() + timedelta(days=day)).isoformat(): ["", ""] for day in range(-2, 62)})
    assert "The Bookshop Closed " in text_of(web_client().get("/"))


def test_orders_and_their_e_mails_say_where_they_are_collected(shop, web_client, mailbox):
    ada = shop.customer("ada@example.com")
    shop.describe(street="12 High Street", city="Oxford", week=["9:00\u201318:00"] * 6 + [""])
    order_id = shop.order(ada, {shop.book("Emma", stock=3): 1})
    shop.change_order(order_id, "ready", shop.staff())
    page = text_of(web_client("ada@example.com").get(f"/orders/{order_id}"))
    assert "Collect it at The Bookshop, 12 High Street, Oxford." in page
    message = next(one for one in mailbox.deliver() if one["Subject"].startswith("Ready"))
    text = " ".join(part(message, "plain").split())
    assert (
        "Collect it at The Bookshop, 12 High Street, Oxford. Monday to Saturday: 9:00\u201318:00 Sunday: closed" in text
    )


def test_the_note_on_vat_stands_beside_totals(shop, web_client):
    ada = shop.customer("ada@example.com")
    shop.describe(vat_note="Prices include VAT.")
    emma = shop.book("Emma", stock=3)
    order_id = shop.order(ada, {emma: 1})
    shop.fill_cart(ada, {emma: 1})
    customer = web_client("ada@example.com")
    for path in (f"/orders/{order_id}", "/checkout"):
        assert "Prices include VAT." in text_of(customer.get(path))


def test_the_audit_log_does_not_have_the_name_of_the_person_responsible(owner, shop):
    save(owner, responsible="Ada Lovelace", vat_number="GB123456789")
    logged = str(shop.rows("SELECT after FROM audit_entries WHERE action = 'shop.changed'"))
    assert ("Lovelace" in logged, "GB123456789" in logged) == (False, True)


def test_the_currency_is_that_of_new_books_and_changes_no_price(owner, shop, web_client, api_client):
    emma = shop.book("Emma", price_cents=950)
    save(owner)
    staff = api_client("owner@example.com")
    added = staff.post("/api/v1/books", {"title": "Persuasion", "authors": "Jane Austen", "price_cents": 950}).json
    assert (added["currency"], staff.get(f"/api/v1/books/{emma}").json["currency"]) == ("GBP", "EUR")
    assert "Prices are in GBP." in text_of(owner.get("/admin/books/new"))


def test_markup_in_the_details_is_shown_as_text(owner, web_client):
    save(owner, name="<b>Books</b>", tagline="</script><script>alert(1)</script>", street="<i>")
    for path in ("/", "/visit", "/admin/settings"):
        page = (owner if "admin" in path else web_client()).get(path).text
        assert "<b>Books</b>" not in page
        assert "<script>alert(1)" not in page


def test_a_change_is_in_the_audit_log_with_the_fields_that_changed(owner, shop):
    save(owner)
    save(owner, version="2", phone="")
    assert shop.rows("SELECT action FROM audit_entries ORDER BY id DESC LIMIT 2") == ["shop.changed"] * 2
    ((before, after),) = shop.rows("SELECT before, after FROM audit_entries ORDER BY id DESC LIMIT 1")
    plain = [json.loads(value) if isinstance(value, str) else value for value in (before, after)]
    assert plain == [{"phone": "+44 1865 123456"}, {"phone": ""}]


def test_saving_without_a_change_changes_nothing(owner, shop):
    save(owner)
    assert save(owner, version="2").status_code == 303
    assert shop.rows("SELECT version FROM shop_details") == [2]


def test_of_two_owners_who_change_the_details_the_second_is_asked_to_compare_and_may_save_again(owner, shop):
    save(owner)
    answer = save(owner, name="Other Books")
    assert (answer.status_code, 'value="Other Books"' in answer.text) == (409, True)
    assert "Somebody else has changed these details meanwhile" in text_of(answer)
    assert shop.rows("SELECT name FROM shop_details") == ["Corner Books"]
    (version,) = re.findall('name="version" type="hidden" value="([0-9]+)"', answer.text)
    assert save(owner, name="Other Books", version=version).status_code == 303


def test_details_that_this_machine_cannot_read_leave_the_shop_open_and_can_be_corrected(owner, shop, web_client):
    save(owner)
    shop.execute('UPDATE shop_details SET time_zone = \'Mars/Base\', week = \'["9-", "", "", "", "", "", ""]\'')
    assert web_client().get("/visit").status_code == 200
    assert save(owner, version="2").status_code == 303


def test_days_at_the_ends_of_the_calendar_can_be_searched_in_any_zone(owner, shop):
    for zone in ("Asia/Tokyo", "America/New_York"):
        shop.describe(time_zone=zone)
        assert owner.get("/admin/audit?since=0001-01-01&until=9999-12-31").status_code == 200


def test_two_first_changes_at_the_same_time_lose_none(shop):
    assert both_change_first(shop) in ([None, "SHOP_CHANGED"], ["SHOP_CHANGED", None])
    assert shop.rows("SELECT version FROM shop_details") == [2]


def test_without_the_check_of_the_version_one_of_them_is_lost(shop, monkeypatch):
    """On SQLite, which lets one write at a time, the second reads what the first has written."""
    update = ShopRepository.update
    monkeypatch.setattr(
        ShopRepository, "update", lambda rows, values, _version: update(rows, values, rows.get().version)
    )
    is_sqlite = shop.app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite")
    assert both_change_first(shop) == ["SHOP_CHANGED" if is_sqlite else None, None]


def both_change_first(shop):
    """Let B read the details, then A change them, and then B; returns the codes of their errors, in this order."""

    def change(name):
        def work():
            try:
                shop.commit(lambda: services.shop().change({"name": name}, 0))
            except Conflict as error:
                return error.code
            return None

        return work

    second, first = races.interleave((ShopRepository, "get"), change("B"), change("A"))
    return [first, second]


@pytest.mark.parametrize("country", ["", "XX", "GB", "DE", "JP"])
def test_public_holidays_are_known_for_most_countries(country):
    found = public_holidays(country, date(2026, 12, 1))
    assert bool(found) == (country in {"GB", "DE", "JP"})
    assert all(date(2026, 12, 1) <= day < date(2027, 12, 1) for day in found)
    assert (found.get(date(2026, 12, 25)) == "Christmas Day") == (country in {"GB", "DE"})


def test_ticked_holidays_become_exceptions_and_are_suggested_no_more(owner, shop):
    save(owner, **MORE_DAYS)
    days = re.findall(HOLIDAY, owner.get("/admin/settings").text)
    assert len(days) >= 5
    assert save(owner, version="2", **MORE_DAYS, holidays=days[:2]).status_code == 303
    (exceptions,) = shop.rows("SELECT exceptions FROM shop_details")
    stored = json.loads(exceptions) if isinstance(exceptions, str) else exceptions
    assert [stored[day][0] for day in days[:2]] == ["", ""]
    assert re.findall(HOLIDAY, owner.get("/admin/settings").text) == days[2:]


# ---------------------------------------------------------------- times


def test_people_read_times_in_the_zone_of_the_shop(shop, web_client):
    ada = shop.customer("ada@example.com")
    order_id = shop.order(ada, {shop.book("Emma", stock=3): 1})
    shop.execute("UPDATE orders SET created_at = '2026-05-01 20:30:00'")
    for zone, day in (("UTC", "1 May 2026"), ("Asia/Tokyo", "2 May 2026"), ("America/New_York", "1 May 2026")):
        shop.describe(time_zone=zone)
        assert f"Ordered {day}" in text_of(web_client("ada@example.com").get(f"/orders/{order_id}"))


def test_the_audit_log_is_searched_by_days_of_the_shop(shop, web_client):
    shop.owner()
    shop.describe(time_zone="Asia/Tokyo")
    shop.execute("INSERT INTO audit_entries (created_at, action) VALUES ('2026-05-01 20:30:00', 'book.edited')")
    owner = web_client("owner@example.com")
    found = {day: text_of(owner.get(f"/admin/audit?since={day}&until={day}")) for day in ("2026-05-01", "2026-05-02")}
    assert ["2 May 2026 05:30:00" in page for page in found.values()] == [False, True]
