"""A new shop: elsewhere, a shop without accounts counts as one that is open."""

import pytest
from flask import Flask

from bookshop.admin.set_up import CODE_IS_LOGGED, IS_OPEN
from bookshop.opening.service import OpeningService
from bookshop.web import services
from tests.conftest import IS_NEW


@pytest.fixture
def new_shop(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The application, which has not found out yet whether the shop has accounts."""
    monkeypatch.setattr(OpeningService, "is_new", IS_NEW)
    monkeypatch.setitem(app.extensions, IS_OPEN, False)
    monkeypatch.setitem(app.extensions, CODE_IS_LOGGED, False)
    return app


@pytest.fixture
def code(app: Flask) -> str:
    """The code that sets up the shop."""
    with app.app_context():
        return services.opening().code()
