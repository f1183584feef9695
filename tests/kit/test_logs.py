"""No log contains what people typed or what is stored about them, whatever fails."""

import io
import logging
import sqlite3

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from bookshop.extensions import db
from bookshop.kit.logs import format_error, redact_addresses
from tests.support.factories import PASSWORD
from tests.support.hostile import method_of, role_for
from tests.support.routes import FORM_PAGES, ROUTES, UNSAFE, path_of

ADA = "ada@example.com"
MARK = "marked-7f3a"
PERSONAL = {"name": f"Ada {MARK}", "phone": f"+44 {MARK}", "note": f"a note {MARK}", "email": f"{MARK}@example.com"}
MARKS = (MARK, ADA, "staff@example.com", PASSWORD, "$argon2", "Ada Lovelace", "three other words")


@pytest.fixture
def log():
    """Everything that this process logs, as written into a file."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def marked(body):
    """Return a route's data with a marker in every personal value."""
    return {name: PERSONAL.get(name, value) for name, value in body.items()} if isinstance(body, dict) else body


def broken(_connection, _cursor, statement, parameters, _context, _many):
    """Break the statement, so that the database quotes it and SQLAlchemy quotes its parameters."""
    return statement.replace("VALUES", "VALUES nonsense").replace("SET ", "SET nonsense "), parameters


def quoting(connection, _cursor, _statement, parameters, _context, _many):
    """Raise a constraint violation in which the database quotes the whole row."""
    row = f"Failing row contains ({parameters}, {MARK}, {ADA})."
    if connection.dialect.name == "postgresql":
        return f"DO $$ BEGIN RAISE EXCEPTION '{MARK}' USING ERRCODE = '23514', DETAIL = $q${row}$q$; END $$", ()
    raise IntegrityError("INSERT", parameters, sqlite3.IntegrityError(row))


def a_bug(_connection, _cursor, _statement, parameters, _context, _many):
    raise ValueError(f"cannot use {parameters} of {ADA}, {MARK}")


@pytest.mark.parametrize("fault", [broken, quoting, a_bug])
@pytest.mark.parametrize("route", sorted(UNSAFE))
def test_no_failing_route_logs_personal_data(target, log, capfd, route, fault):
    def fail(connection, cursor, statement, *more):
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            return fault(connection, cursor, statement, *more)
        return statement, more[0]

    with target.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", fail, retval=True)
    try:
        body = marked(ROUTES[route][1])
        answer = (target.send_json if "/api/" in route else target.send_form)(route, body)
    finally:
        event.remove(engine, "before_cursor_execute", fail)
    logged = log.getvalue() + "".join(capfd.readouterr())
    assert [mark for mark in MARKS if mark in logged] == []
    assert (answer.status_code < 500) or (answer.headers["X-Request-Id"] in logged)


@pytest.mark.parametrize("route", [route for route in FORM_PAGES if "{token}" in route])
def test_no_secret_link_is_logged(target, log, monkeypatch, route):
    def fail(*_given, **_named):
        raise RuntimeError(MARK)

    endpoint = target.app.url_map.bind("localhost").match(path_of(route), method_of(route))[0]
    monkeypatch.setitem(target.app.view_functions, endpoint, fail)
    assert target.send_form(route, {}).status_code == 500
    assert (path_of(route).rpartition("/")[2] in log.getvalue(), "<token>" in log.getvalue()) == (False, True)


def test_the_log_shows_the_place_and_type_of_an_error(app, shop, log):
    shop.customer(ADA)
    with app.app_context():
        try:
            db.session.execute(text("INSERT INTO users (id, email) VALUES (1, :email)"), {"email": ADA})
        except IntegrityError:
            logging.getLogger("bookshop").exception("it failed")
        db.session.rollback()
    logged = log.getvalue()
    assert ("test_logs.py" in logged, "IntegrityError" in logged, "INSERT INTO users" in logged) == (True, True, True)
    assert (ADA in logged, "23502" in logged or "SQLITE_CONSTRAINT" in logged) == (False, True)


def test_a_bug_is_logged_in_its_own_words():
    with pytest.raises(AttributeError) as raised:
        None.title  # type: ignore[attr-defined]  # noqa: B018
    assert "'NoneType' object has no attribute 'title'" in format_error(raised.value)


def test_a_chained_error_is_logged_with_both_names_and_no_values():
    try:
        try:
            int(f"{ADA}")
        except ValueError as error:
            raise RuntimeError(MARK) from error
    except RuntimeError as error:
        logged = format_error(error)
    assert ("builtins.ValueError" in logged, "builtins.RuntimeError" in logged, ADA in logged, MARK in logged) == (
        *(True, True),
        *(False, False),
    )


def test_mail_server_replies_are_stored_without_addresses():
    logged = redact_addresses("550 5.1.1 <ada@example.com>: Recipient address rejected: ben@example.org unknown")
    assert logged == "550 5.1.1 <...>: Recipient address rejected: ... unknown"


def test_every_role_is_tried():
    assert {role_for(route) for route in UNSAFE} == {"nobody", "ada", "staff", "owner"}
