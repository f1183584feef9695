"""No log holds what people typed or what is stored about them, whatever fails and wherever."""

import io
import logging
import sqlite3

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from bookshop.extensions import db
from bookshop.kit.logs import described, without_addresses
from tests.support.factories import PASSWORD
from tests.support.hostile import method_of, who_may
from tests.support.world import ROUTES, UNSAFE, path_of

ADA = "ada@example.com"
MARK = "marked-7f3a"
PERSONAL = {"name": f"Ada {MARK}", "phone": f"+44 {MARK}", "note": f"a note {MARK}", "email": f"{MARK}@example.com"}
MARKS = (MARK, ADA, "staff@example.com", PASSWORD, "$argon2", "Ada Lovelace", "three other words")


@pytest.fixture
def log():
    """All that this process writes into its log, as it would stand in a file."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def marked(body):
    """What a route is sent, with marks wherever there is anything personal."""
    return {name: PERSONAL.get(name, value) for name, value in body.items()} if isinstance(body, dict) else body


def broken(_connection, _cursor, statement, parameters, _context, _many):
    """The statement with an error in it, of which the database says what it was and SQLAlchemy with what."""
    return statement.replace("VALUES", "VALUES nonsense").replace("SET ", "SET nonsense "), parameters


def quoting(connection, _cursor, _statement, parameters, _context, _many):
    """A violation of a constraint, of which the database quotes the whole row."""
    row = f"Failing row contains ({parameters}, {MARK}, {ADA})."
    if connection.dialect.name == "postgresql":
        return f"DO $$ BEGIN RAISE EXCEPTION '{MARK}' USING ERRCODE = '23514', DETAIL = $q${row}$q$; END $$", ()
    raise IntegrityError("INSERT", parameters, sqlite3.IntegrityError(row))


def a_bug(_connection, _cursor, _statement, parameters, _context, _many):
    raise ValueError(f"cannot use {parameters} of {ADA}, {MARK}")


@pytest.mark.parametrize("fault", [broken, quoting, a_bug])
@pytest.mark.parametrize("route", sorted(UNSAFE))
def test_no_route_that_fails_writes_anything_personal_into_the_log(target, log, capfd, route, fault):
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
    said = log.getvalue() + "".join(capfd.readouterr())
    assert [mark for mark in MARKS if mark in said] == []
    assert (answer.status_code < 500) or (answer.headers["X-Request-Id"] in said)


@pytest.mark.parametrize("route", [route for route in UNSAFE if "{token}" in route])
def test_no_secret_link_is_written_into_the_log(target, log, monkeypatch, route):
    def fail(*_given, **_named):
        raise RuntimeError(MARK)

    endpoint = target.app.url_map.bind("localhost").match(path_of(route), method_of(route))[0]
    monkeypatch.setitem(target.app.view_functions, endpoint, fail)
    assert target.send_form(route, {}).status_code == 500
    assert (path_of(route).rpartition("/")[2] in log.getvalue(), "<token>" in log.getvalue()) == (False, True)


def test_the_log_says_where_it_was_and_what_kind_of_error(app, shop, log):
    shop.customer(ADA)
    with app.app_context():
        try:
            db.session.execute(text("INSERT INTO users (id, email) VALUES (1, :email)"), {"email": ADA})
        except IntegrityError:
            logging.getLogger("bookshop").exception("it failed")
        db.session.rollback()
    said = log.getvalue()
    assert ("test_logs.py" in said, "IntegrityError" in said, "INSERT INTO users" in said) == (True, True, True)
    assert (ADA in said, "23502" in said or "SQLITE_CONSTRAINT" in said) == (False, True)


def test_a_bug_in_the_program_is_said_in_its_own_words():
    with pytest.raises(AttributeError) as raised:
        None.title  # type: ignore[attr-defined]  # noqa: B018
    assert "'NoneType' object has no attribute 'title'" in described(raised.value)


def test_an_error_that_came_from_another_names_both_and_quotes_neither():
    try:
        try:
            int(f"{ADA}")
        except ValueError as error:
            raise RuntimeError(MARK) from error
    except RuntimeError as error:
        said = described(error)
    assert ("builtins.ValueError" in said, "builtins.RuntimeError" in said, ADA in said, MARK in said) == (
        *(True, True),
        *(False, False),
    )


def test_what_a_mail_server_says_is_written_without_addresses():
    said = without_addresses("550 5.1.1 <ada@example.com>: Recipient address rejected: ben@example.org unknown")
    assert said == "550 5.1.1 <...>: Recipient address rejected: ... unknown"


def test_every_role_is_tried():
    assert {who_may(route) for route in UNSAFE} == {"nobody", "ada", "staff"}
