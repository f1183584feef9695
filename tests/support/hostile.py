"""A sample shop that receives hostile values and whose tables must not change."""

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.support.databases import empty
from tests.support.routes import ANYONE, ROUTES, path_of
from tests.support.sample_shop import SampleShop


class Target(SampleShop):
    """A sample shop used for many requests, as none of them changes it; `rows` are the contents of its tables."""

    def __init__(self, app: Flask) -> None:
        empty(app)
        super().__init__(app)
        self.rows: Any = self.tables()

    def send_json(self, route: str, body: Any = None, path: str = "") -> TestResponse:
        """Call a JSON route with the token of an allowed user."""
        api_client = self.api_clients[role_for(route)]
        return api_client.client.open(
            path or path_of(route), method=method_of(route), json=body, headers=api_client.headers
        )

    def send_form(self, route: str, fields: dict[str, Any], path: str = "") -> TestResponse:
        """Call a page as an allowed user."""
        role = role_for(route)
        data = {**fields, "csrf_token": self.csrf_tokens[role]} if method_of(route) == "POST" else None
        return self.web_clients[role].client.open(path or path_of(route), method=method_of(route), data=data)

    def notices(self, route: str) -> str:
        """Return the messages flashed by the last call of a page."""
        with self.web_clients[role_for(route)].client.session_transaction() as session:
            return str(session.pop("_flashes", ""))


def role_for(route: str) -> str:
    """Return a role that may call a route: logged in only if the route requires it."""
    may = ROUTES[route][0]
    return "nobody" if may == ANYONE else "ada" if "ada" in may else "staff" if "staff" in may else "owner"


def method_of(route: str) -> str:
    return route.partition(" ")[0]
