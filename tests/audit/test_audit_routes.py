"""A walk through every route that staff can use: what changes something has its line, and nothing else has one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from werkzeug.test import TestResponse

from bookshop.audit.models import AuditEntry
from bookshop.audit.service import AuditService
from bookshop.web import services
from tests.audit.lines import last_id, lines_of
from tests.support.clients import WebClient
from tests.support.databases import empty
from tests.support.factories import PASSWORD, Shop
from tests.support.routes import COVER, ROUTES, UNSAFE, WEBHOOK_URL
from tests.support.sample_shop import SampleShop

# How the shop remembers requests, which is no change that somebody made.
MEMORY = {"audit_entries", "sent_forms", "idempotency_records"}
# What an e-mail with a link is, which changes nothing until somebody uses the link.
A_LINK = {"login_links", "messages"}
# Routes that do nothing for somebody who is logged in, or without a code that is right at this moment:
# see test_a_second_factor_and_a_login_with_it_have_lines.
IDLE = {"POST /login", "POST /login/sent", "POST /login/code", "POST /account/second-factor", "POST /setup"}
IDLE |= {"POST /return"}  # as there is no order with this number
# Routes that only e-mail a link.
LINKING = {
    *("POST /login/link/{token}/again", "POST /api/v1/login-links", "POST /account/email"),
    *("POST /account/confirm-login/link", "POST /waiting/{token}/erase"),
}


def sql(statement: str) -> Callable[[Shop, int], None]:
    """Return a preparation that changes the database; `:me` is the member of staff."""
    return lambda shop, me: shop.execute(statement, **({"me": me} if ":me" in statement else {}))


def import_with_a_book(shop: Shop, _me: int) -> None:
    """Complete the import, which has added the second book."""
    shop.execute("UPDATE import_jobs SET state = 'done'")
    shop.execute("UPDATE books SET import_id = 1 WHERE id = 2")


def another_login(shop: Shop, me: int) -> None:
    WebClient(shop.app, shop.rows("SELECT email FROM users WHERE id = :me", me=me)[0])


def second_factor_of(user: str) -> Callable[[Shop, int], None]:
    """Return a preparation that gives a second factor to this user, an id or `:me`."""
    values = f"{user}, 'n', 0, '2026-01-01'"
    return sql(f"INSERT INTO second_factors (user_id, nonce, last_step, created_at) VALUES ({values})")


# What a route needs, so that it changes something in the sample shop.
PREPARED: Mapping[str, Callable[[Shop, int], Any]] = {
    "POST /login/link/{token}": sql(
        "UPDATE login_links SET (email, email_key) = (SELECT email, email_key FROM users WHERE id = :me)"
        " WHERE purpose = 'login'"
    ),
    "POST /account/confirm-login": sql("UPDATE login_sessions SET confirmed_at = NULL WHERE user_id = :me"),
    "POST /account/sessions/end-others": another_login,
    "POST /account/tokens/{token_id}/revoke": sql("UPDATE api_tokens SET user_id = :me WHERE id = 1"),
    "POST /admin/users/{user_id}/reactivate": lambda shop, _me: shop.deactivate("ada@example.com"),
    "POST /admin/books/{book_id}/put-back": lambda shop, _me: shop.withdraw(1),
    "POST /admin/books/{book_id}/cover/remove": lambda shop, _me: shop.commit(
        lambda: services.catalog().set_cover(1, COVER)
    ),
    "POST /admin/settings/look/remove/{picture}": lambda shop, _me: shop.describe(logo=COVER, logo_size=[2, 1]),
    "POST /admin/imports/{job_id}/pause": sql("UPDATE import_jobs SET state = 'importing'"),
    "POST /admin/imports/{job_id}/continue": sql("UPDATE import_jobs SET state = 'paused'"),
    "POST /admin/imports/{job_id}/undo": import_with_a_book,
    "POST /admin/orders/collected": lambda shop, me: shop.change_order(1, "ready", me),
    "POST /api/v1/admin/orders/{order_id}/collected": lambda shop, me: shop.change_order(1, "ready", me),
    "POST /admin/staff/{user_id}/remove-second-factor": second_factor_of("1"),
    "POST /account/second-factor/recovery-codes": second_factor_of(":me"),
    "POST /account/second-factor/turn-off": second_factor_of(":me"),
    "POST /admin/mail/retry-failed": sql("UPDATE messages SET state = 'failed' WHERE id = 1"),
}


class Step(NamedTuple):
    """A call of a route: the member of staff, the answer, what changed, and the new lines of the audit log."""

    route: str
    user_id: int
    answer: TestResponse
    changed: list[str]
    lines: list[AuditEntry]

    @property
    def problem(self) -> str:
        """What is wrong with the lines; '' if nothing is."""
        if bool(self.changed) != bool(self.lines):
            return f"{self.answer.status_code} changed {self.changed}, but has the lines {self.actions}"
        expected = {(self.user_id, self.answer.headers["X-Request-Id"])}
        if {(line.user_id, line.request_id) for line in self.lines} - expected:
            return f"the lines {self.actions} name another user or request"
        return ""

    @property
    def actions(self) -> list[str]:
        return [line.action for line in self.lines]


def walk(sample_shop: SampleShop) -> Iterator[Step]:
    """Call each route as staff, by cookie and by token, twice in a row."""
    for route in UNSAFE:
        roles = [role for role in ("staff", "owner") if role in ROUTES[route][0]]
        for call in sample_shop.ways(route) if roles else ():
            empty(sample_shop.app)
            sample_shop.reset()
            user_id = sample_shop.shop.rows("SELECT id FROM users WHERE email = :it", it=f"{roles[0]}@example.com")[0]
            PREPARED.get(route, lambda *_nothing: None)(sample_shop.shop, user_id)
            for _time in range(2):
                yield step(sample_shop, route, user_id, lambda: call(roles[0], route))  # noqa: B023 - called at once


def step(sample_shop: SampleShop, route: str, user_id: int, call: Callable[[], TestResponse]) -> Step:
    before, newest = sample_shop.tables(), last_id(sample_shop.shop)
    answer, after = call(), sample_shop.tables()
    changed = {name for name in before.keys() - MEMORY if before[name] != after[name]}
    if "login_links" in changed and changed <= A_LINK:
        changed = set()
    return Step(route, user_id, answer, sorted(changed), list(lines_of(sample_shop.shop, after=newest)))


@pytest.fixture
def steps(sample_shop: SampleShop) -> list[Step]:
    return list(walk(sample_shop))


# In the sample shop, and in what the walk sends.
PERSONAL = ("@", "Ada", "Lovelace", PASSWORD, "till", "till.example", WEBHOOK_URL, "/hooks", "three other words")


def test_each_change_by_staff_has_its_line_and_nothing_else_has_one(steps):
    assert {step.route: problem for step in steps if (problem := step.problem)} == {}
    changing = {step.route for step in steps if step.changed}
    assert {step.route for step in steps} - changing == IDLE | LINKING
    said = " ".join(str((line.before, line.after)) for step in steps for line in step.lines)
    assert [word for word in PERSONAL if word in said] == []


def test_a_change_without_a_line_is_detected(sample_shop, monkeypatch):
    route = "POST /api/v1/books"
    monkeypatch.setattr(AuditService, "record_all", lambda *_given, **_by: None)
    assert (
        "changed ['books'], but has the lines []"
        in step(sample_shop, route, 2, lambda: sample_shop.by_token("staff", route)).problem
    )
