"""security.txt (RFC 9116): whom to tell about a vulnerability."""

from datetime import UTC, datetime, timedelta

import pytest

from bookshop import create_app
from tests.support.settings import settings_for

BASE = "https://books.example.com"
PATH = "/.well-known/security.txt"
CONTACTS = [
    ({"security_contact": "safe@example.com", "mail_from": "post@example.com"}, "mailto:safe@example.com"),
    ({"security_contact": f"{BASE}/safe"}, f"{BASE}/safe"),
    ({"mail_from": "post@example.com"}, "mailto:post@example.com"),
]


def ask(**given):
    app = create_app(settings_for("sqlite:////nowhere/shop.db", base_url=BASE, **given))
    return app.test_client().get(PATH)


@pytest.mark.parametrize(("given", "contact"), CONTACTS)
def test_it_names_the_contact_of_the_settings_and_expires_within_a_year(given, contact):
    answer = ask(**given)
    fields = dict(line.split(": ") for line in answer.text.splitlines())
    assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
    assert "public" in answer.headers["Cache-Control"]
    valid = datetime.fromisoformat(fields.pop("Expires")) - datetime.now(UTC)
    assert timedelta(days=30) < valid < timedelta(days=365)
    assert fields == {"Contact": contact, "Preferred-Languages": "en", "Canonical": f"{BASE}{PATH}"}


def test_without_a_contact_there_is_none(web_client):
    assert web_client().get(PATH).status_code == 404
