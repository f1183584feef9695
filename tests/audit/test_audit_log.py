"""What the audit log says about the changes that staff make, and when it says nothing."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from bookshop.catalog.models import STOCK_MAX
from bookshop.extensions import db
from bookshop.web import services
from tests.audit.lines import last_id, lines_of
from tests.support.factories import PASSWORD, Shop
from tests.support.links import link_in, press
from tests.support.mailbox import Mailbox
from tests.support.routes import WEBHOOK_URL, routes_of
from tests.support.second_factors import set_up
from tests.support.sources import SOURCES
from tests.web.test_routes import statements

STAFF, ADA = "staff@example.com", "ada@example.com"
Line = tuple[str, int | None, Any, Any]


@pytest.fixture
def staff(shop, web_client):
    """A bookseller's browser, in a shop with a book that Ada has ordered."""
    shop.staff(STAFF)
    shop.order(shop.customer(ADA), {shop.book("Emma", stock=5): 2})
    return web_client(STAFF)


def said(shop: Shop, after: int) -> list[Line]:
    return [(line.action, line.subject_id, line.before, line.after) for line in lines_of(shop, after=after)]


def link_to(email: str, mailbox: Mailbox) -> str:
    """Return the path of the link in the last e-mail to this address."""
    return [link_in(message) for message in mailbox.deliver() if message["To"] == email][-1]


# ---------------------------------------------------------------- what a line says


def test_lines_say_what_was_changed_before_and_after(shop, staff):
    newest = last_id(shop)
    staff.submit("/admin/books/1/edit", title="Emma", authors="Jane Austen", price="9.90", language="en")
    note = "Ada Lovelace, 030 5550 173, took one"
    staff.submit("/admin/books/1/stock", change="correction", copies="7", expected="3", note=note)
    staff.submit("/admin/orders/ready", page="/admin/orders", order="1")
    staff.submit("/admin/orders/cancel", page="/admin/orders", order="1")
    staff.submit("/admin/mail/drop", page="/admin/mail", message="1")
    staff.submit("/admin/webhooks", url=WEBHOOK_URL, kinds=["order.placed", "stock.changed"])
    staff.submit("/admin/webhooks/1/delete", page="/admin/webhooks/1")
    movements = shop.rows("SELECT id FROM movements ORDER BY id")[-2:]
    webhook = {"host": "1.1.1.1", "kinds": ["order.placed", "stock.changed"]}
    assert said(shop, newest) == [
        ("book.edited", 1, {"price_cents": 950, "language": None}, {"price_cents": 990, "language": "en"}),
        ("book.stock_changed", 1, {"stock": 3}, {"stock": 7, "reason": "correction", "movement": movements[0]}),
        ("order.ready", 1, {"status": "placed"}, {"status": "ready"}),
        ("order.cancelled", 1, {"status": "ready"}, {"status": "cancelled"}),
        ("book.stock_changed", 1, {"stock": 7}, {"stock": 9, "reason": "return", "movement": movements[1]}),
        ("message.dropped", 1, {"state": "queued"}, {"state": "suppressed"}),
        ("webhook.registered", 1, None, webhook),
        ("webhook.deleted", 1, webhook, None),
    ]


def test_a_token_and_an_account_are_named_by_id_only(shop, staff):
    newest, me = last_id(shop), shop.rows("SELECT id FROM users WHERE email = :it", it=STAFF)[0]
    staff.submit("/account/tokens", name="Ada's till", scopes="stock:write", days="30")
    staff.submit("/admin/users/2/deactivate")
    token = shop.rows("SELECT id FROM api_tokens")[0]
    assert said(shop, newest) == [
        ("token.created", token, None, {"user": me, "scopes": ["catalog:read", "stock:write"], "days": 30}),
        ("user.deactivated", 2, None, {"reservations_cancelled": 0}),
    ]


def test_logins_of_staff_have_lines_under_their_own_name(shop, staff, web_client):
    newest, me = last_id(shop), shop.rows("SELECT id FROM users WHERE email = :it", it=STAFF)[0]
    browser = web_client()
    browser.log_in(STAFF)
    browser.submit("/logout", page="/account")
    web_client().log_in(ADA)
    found = [(line.action, line.subject_id, line.user_id) for line in lines_of(shop, after=newest)]
    assert found == [("user.logged_in", me, me), ("user.logged_out", me, me)]


def test_pressing_a_link_has_a_line_for_staff_and_none_for_customers_and_visitors(shop, staff, web_client, mailbox):
    newest, me = last_id(shop), shop.rows("SELECT id FROM users WHERE email = :it", it=STAFF)[0]
    for email in (STAFF, ADA, "new@example.com"):
        browser = web_client()
        browser.submit("/login", email=email)
        assert press(browser, link_to(email, mailbox)).status_code == 303
    found = [(line.action, line.subject_id, line.user_id) for line in lines_of(shop, after=newest)]
    assert found == [("user.logged_in", me, me)]


def test_a_link_that_a_logged_in_member_of_staff_presses_confirms_the_login(shop, staff, web_client, mailbox):
    web_client().submit("/login", email=STAFF)
    newest = last_id(shop)
    assert press(staff, link_to(STAFF, mailbox), confirmed="y").status_code == 303
    assert [line[:2] for line in said(shop, newest)] == [("user.login_confirmed", 1)]


def test_a_change_of_address_has_a_line_when_it_is_confirmed_and_one_when_it_is_undone(shop, staff, mailbox):
    newest = last_id(shop)
    staff.submit("/account/email", email="new@example.com", current=PASSWORD)
    assert said(shop, newest) == []
    for email in ("new@example.com", STAFF):
        press(staff, link_to(email, mailbox))
    changes = [line for line in said(shop, newest) if line[0].startswith("user.address")]
    assert changes == [("user.address_changed", 1, None, None), ("user.address_change_undone", 1, None, None)]


def test_a_second_factor_and_a_login_with_it_have_lines(shop, staff, web_client):
    newest, (phone, _codes), browser = last_id(shop), set_up(staff, shop), web_client()
    browser.log_in(STAFF)
    assert [line[0] for line in said(shop, newest)] == ["user.second_factor_set_up"]
    browser.submit("/login/code", code=phone.code())
    assert [line[:2] for line in said(shop, newest)][1:] == [("user.logged_in", 1)]


def test_a_bulk_change_has_a_line_for_each_changed_order_in_one_statement(shop, staff):
    orders = [shop.order(2, {shop.book(f"Book {number}", stock=1): 1}) for number in range(3)]
    shop.change_order(orders[1], "ready", 1)
    newest = last_id(shop)
    with statements(shop.app) as sent:
        staff.post("/admin/orders/ready", order=orders, csrf_token=staff.csrf_token("/admin/orders"))
    assert [line[:2] for line in said(shop, newest)] == [("order.ready", orders[0]), ("order.ready", orders[2])]
    assert len(audit_statements(sent)) == 1


def test_an_import_takes_as_many_statements_for_30_books_as_for_3(shop, tmp_path):
    counted = []
    for number in (3, 30):
        for price in (1, 2):  # the second time changes them
            path = tmp_path / "books.csv"
            rows = "".join(f"Book {number}-{row},Jane Austen,{price},{price}\n" for row in range(number))
            path.write_text(f"title,authors,price_cents,stock_quantity\n{rows}", encoding="utf-8")
            newest = last_id(shop)
            with statements(shop.app) as sent:
                shop.app.test_cli_runner().invoke(args=["books", "import", str(path)])
            of_the_import = 2  # it was created, and started
            lines = len(lines_of(shop, after=newest)) - of_the_import
            counted.append((len(audit_statements(sent)) - of_the_import, lines / number))
    assert counted == [(2, 2), (2, 2)] * 2  # created or edited, and the stock


def audit_statements(sent: list[str]) -> list[str]:
    return [statement for statement in sent if "audit_entries" in statement and not statement.startswith("SELECT")]


def test_customers_and_their_orders_cost_the_log_no_statement(shop, staff, web_client, api_client):
    shop.book("Sanditon")
    ada, script, newest = web_client(ADA), api_client(ADA), last_id(shop)
    with statements(shop.app) as sent:
        assert script.reserve(2).status_code == 201
        assert script.post("/api/v1/cart/items", {"book_id": 1}).status_code == 201
        assert script.post("/api/v1/orders", {"name": "Ada Lovelace"}).status_code == 201
        assert script.post("/api/v1/orders/2/cancel").status_code == 200
        assert ada.submit("/account/alerts", page="/account", wanted="no").status_code == 303
        assert ada.submit("/account/tokens", name="mine").status_code == 201
        assert ada.submit("/account/delete", current=PASSWORD).status_code == 303
    assert (said(shop, newest), [statement for statement in sent if "audit_entries" in statement]) == ([], [])


# ---------------------------------------------------------------- nothing without the change


@contextmanager
def failing_commits(app: Flask, newest: int) -> Iterator[list[str]]:
    """Make every commit fail that adds a line after this one; yields the actions of these lines."""
    refused: list[str] = []

    def refuse(connection: Any) -> None:
        lines = connection.scalars(text("SELECT action FROM audit_entries WHERE id > :newest"), {"newest": newest})
        refused.extend(lines)
        if refused:
            raise RuntimeError("no room on the disk")

    with app.app_context():
        engine = db.engine
    event.listen(engine, "commit", refuse)
    try:
        yield refused
    finally:
        event.remove(engine, "commit", refuse)


def test_a_change_whose_commit_fails_has_no_line(shop, staff, api_client):
    script = api_client(STAFF)
    assert script.set_stock(1, 8).status_code == 200
    newest = last_id(shop)
    shop.app.config["PROPAGATE_EXCEPTIONS"] = False
    with failing_commits(shop.app, newest) as refused:
        assert script.set_stock(1, 9).status_code == 500
    assert (refused, said(shop, newest), shop.stock(1)) == (["book.stock_changed"], [], 8)


def test_a_change_that_is_refused_at_its_last_step_has_no_line(shop, staff, api_client):
    shop.set_stock(1, STOCK_MAX)
    script, newest = api_client(STAFF), last_id(shop)
    assert script.post("/api/v1/admin/orders/1/cancel").status_code == 409
    assert (said(shop, newest), shop.rows("SELECT status FROM orders")) == ([], ["placed"])


class Deadlock(Exception):
    sqlstate = "40P01"


def test_a_transaction_that_runs_twice_has_its_line_once(shop):
    tries = []

    def edit() -> None:
        services.catalog().update(1, {"title": "Sanditon"})
        tries.append(1)
        if len(tries) == 1:
            raise DBAPIError("UPDATE", None, Deadlock())

    newest = last_id(shop) if shop.book("Emma") else 0
    shop.commit(edit)
    assert said(shop, newest) == [("book.edited", 1, {"title": "Emma"}, {"title": "Sanditon"})]


def test_the_same_json_call_with_one_key_has_its_line_once(shop, staff, api_client):
    script, newest = api_client(STAFF), last_id(shop)
    call = {"Idempotency-Key": "nightly-1"}
    for _time in range(2):
        done = script.send("POST", "/api/v1/stock/batch", {"lines": [{"book_id": 1, "delta": 2}]}, **call)
        assert done.status_code == 200
    assert [line[0] for line in said(shop, newest)] == ["book.stock_changed"]


# ---------------------------------------------------------------- append-only


def test_the_database_refuses_to_change_a_line(shop, staff):
    before = [line.action for line in lines_of(shop)]
    with pytest.raises(DBAPIError, match="the audit log is append-only"):
        shop.execute("UPDATE audit_entries SET action = 'book.edited', user_id = NULL")
    assert (before, len(before) > 0) == ([line.action for line in lines_of(shop)], True)


def test_only_the_purge_can_delete_lines(shared_app):
    naming = {path.parent.name for path in SOURCES if re.search(r"audit_entries|AuditEntry", path.read_text("utf-8"))}
    assert naming <= {"audit", "admin", "retention"}
    own = [path.read_text("utf-8") for path in SOURCES if "audit" in path.parts or path.name == "audit.py"]
    assert (len(own), [source for source in own if re.search(r"\b(delete|update)\(", source)]) == (5, [])
    assert {route for route in routes_of(shared_app) if "/admin/audit" in route} == {
        "GET /admin/audit",
        "GET /admin/audit.csv",
    }
