"""A world that receives hostile values, and whose tables must be the same afterwards."""

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.support.databases import empty
from tests.support.world import ANYONE, ROUTES, World, path_of


class Target(World):
    """A world that takes one request after the other, as none of them changes it; `rows` are what its tables hold."""

    def __init__(self, app: Flask) -> None:
        empty(app)
        super().__init__(app)
        self.rows: Any = self.tables()

    def send_json(self, route: str, body: Any = None, path: str = "") -> TestResponse:
        """Call a JSON route with the token of a user who is allowed to."""
        api_client = self.scripts[who_may(route)]
        return api_client.client.open(
            path or path_of(route), method=method_of(route), json=body, headers=api_client.headers
        )

    def send_form(self, route: str, fields: dict[str, Any], path: str = "") -> TestResponse:
        """Call a page in the browser of a user who is allowed to."""
        who = who_may(route)
        data = {**fields, "csrf_token": self.csrf_tokens[who]} if method_of(route) == "POST" else None
        return self.browsers[who].client.open(path or path_of(route), method=method_of(route), data=data)

    def notices(self, route: str) -> str:
        """What was flashed by the last call of a page, which would be shown on the next."""
        with self.browsers[who_may(route)].client.session_transaction() as session:
            return str(session.pop("_flashes", ""))


def who_may(route: str) -> str:
    """The role to call a route as: logged in only if the route asks for it."""
    may = ROUTES[route][0]
    return "nobody" if may == ANYONE else "ada" if "ada" in may else "staff"


def method_of(route: str) -> str:
    return route.partition(" ")[0]
