"""A new shop: elsewhere, a shop without accounts counts as one that is open."""

import pytest
from flask import Flask

from bookshop.opening.service import OpeningService
from bookshop.web import opening
from tests.conftest import IS_NEW


@pytest.fixture
def new_shop(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The application, which has not found out yet whether the shop has accounts."""
    monkeypatch.setattr(OpeningService, "is_new", IS_NEW)
    monkeypatch.setitem(app.extensions, opening.IS_OPEN, False)
    monkeypatch.setitem(app.extensions, opening.CODE_IS_LOGGED, False)
    return app


@pytest.fixture
def code(app: Flask) -> str:
    """The code that sets up the shop."""
    with app.app_context():
        return opening.service().code()
