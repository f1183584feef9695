"""No entrance reveals which addresses have accounts: every address gets the same answer, and the same e-mail.

tests/accounts/test_timing.py compares how long the answers take.
"""

import re

import pytest

from bookshop.accounts.models import UNDO
from bookshop.web import services
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD, Shop
from tests.support.mailbox import part

pytestmark = pytest.mark.one_postgresql_case

MEMBER, UNKNOWN = "member@example.com", "free@example.com"
# Addresses of the same length: of a customer, of one without a password, of a deactivated account, of one that was
# never confirmed, of a deleted one, and an address that its former owner may still take back.
KNOWN, WITHOUT, GONE, OLD, LEFT, KEPT = (
    f"{name}@example.com" for name in ("real", "link", "gone", "olds", "left", "kept")
)
KINDS = [KNOWN, WITHOUT, GONE, OLD, LEFT, KEPT]
VARIES = ("X-Request-Id", "Set-Cookie", "X-RateLimit", "RateLimit")
EXPIRES = re.compile(r"Expires=[^;]*")
TIME = re.compile(r"\b\d{10}\b")
RANDOM = re.compile(r'(name="(?:csrf_token|once|key)"[^>]*value=")[^"]*')


@pytest.fixture
def accounts(shop):
    """Accounts of every kind, a book to reserve, and the member who changes the address."""
    member = shop.customer(MEMBER)
    for address in (KNOWN, WITHOUT, GONE, OLD):
        shop.customer(address)
    left = shop.customer(LEFT)
    shop.execute("UPDATE users SET password_hash = NULL WHERE email = :address", address=WITHOUT)
    shop.execute("UPDATE users SET never_confirmed = true, email_confirmed_at = NULL WHERE email = :old", old=OLD)
    shop.deactivate(GONE)
    shop.commit(lambda: services.people().delete(left, PASSWORD))
    shop.commit(lambda: services.login_links().add(UNDO, KEPT, user_id=member))
    shop.book("Emma")


def log_in(app, address, password="not the password"):
    browser = WebClient(app)
    return browser, browser.log_in(address, password, next="/reservations")


def ask_for_link(app, address):
    browser = WebClient(app)
    return browser, browser.submit("/login", email=address, link="yes", next="/reservations")


def ask_in_json(app, address):
    script = ApiClient(app)
    return script, script.post("/api/v1/login-links", {"email": address})


def reserve(app, address):
    browser = WebClient(app)
    return browser, browser.submit("/books/1/reserve", page="/books/1", email=address)


def correct(app, address):
    browser, _answer = ask_for_link(app, "ada@gmial.com")
    return browser, browser.submit("/login/sent", email=address)


def change_address(app, address):
    Shop(app).execute("DELETE FROM login_sessions")  # the account page counts them
    browser = WebClient(app, MEMBER)
    return browser, browser.submit("/account/email", email=address, current=PASSWORD)


LINKS = {
    "ask for a link": ask_for_link,
    "ask in JSON": ask_in_json,
    "reserve": reserve,
    "correct the address": correct,
    "change the address": change_address,
}
ENTRANCES = {"log in": log_in, **LINKS}


def full_answer(client_and_answer, address):
    """Return an answer without its random parts and the address: the status, headers, cookies and pages."""
    client, answer = client_and_answer
    headers = {name: value for name, value in answer.headers.items() if not name.startswith(VARIES)}
    cookies = [EXPIRES.sub("", cookie.partition(";")[2]) for cookie in answer.headers.getlist("Set-Cookie")]
    pages, kept = [answer.text], {}
    if isinstance(client, WebClient):
        with client.client.session_transaction() as session:
            kept = {name: value for name, value in session.items() if name not in {"csrf_token", "browser", "_user_id"}}
        if answer.location:
            pages.append(client.get(answer.location).text)
    pages = [RANDOM.sub(r"\1", page) for page in pages]
    whole = TIME.sub("time", str([headers, sorted(cookies), kept, pages]))
    return answer.status_code, whole.replace(address, "the address")


def answers(app, entrance, address):
    """Return what an address gets at an entrance, and what it gets a second time."""
    return [full_answer(ENTRANCES[entrance](app, address), address) for _time in range(2)]


def wait_five_minutes(shop):
    shop.execute("DELETE FROM attempts")


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("address", KINDS)
def test_an_entrance_gives_every_kind_of_address_the_answer_of_an_unknown_one(app, shop, entrance, address):
    expected = answers(app, entrance, UNKNOWN)
    wait_five_minutes(shop)
    assert answers(app, entrance, address) == expected
    assert [status for status, _pages in expected] == [{"log in": 400, "ask in JSON": 202}.get(entrance, 303)] * 2


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("address", [GONE, OLD])
def test_an_account_that_cannot_log_in_gets_the_same_answer_with_the_right_password(app, address):
    right = full_answer(log_in(app, address, PASSWORD), address)
    assert right == full_answer(log_in(app, address), address)


def written(message, address):
    """Return the subject and the text of an e-mail without its address and its secret link."""
    text = re.sub(r"/[\w-]{43}\b", "/token", part(message, "plain"))
    return message["Subject"], text.replace(address, "the address")


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("entrance", LINKS)
def test_every_kind_of_address_gets_the_same_e_mail(app, shop, mailbox, entrance):
    texts = []
    for address in (UNKNOWN, *KINDS):
        LINKS[entrance](app, address)
        texts += [written(message, address) for message in mailbox.deliver() if message["To"] == address]
        wait_five_minutes(shop)
    assert (len(texts), len(set(texts))) == (1 + len(KINDS), 1)


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("entrance", LINKS)
@pytest.mark.parametrize("typed", ["real", "real@", "a b@example.com", "real@example"])
def test_a_bad_address_is_refused_before_anything_is_stored(app, shop, entrance, typed):
    before = [rows for table, rows in shop.everything().items() if table != "messages"]
    _client, answer = LINKS[entrance](app, typed)
    assert answer.status_code == (422 if entrance == "ask in JSON" else 400)
    assert "not a valid e-mail address" in text_of(answer)
    if entrance != "correct the address":  # whose first address has had its link
        assert before == [rows for table, rows in shop.everything().items() if table != "messages"]
    assert typed not in str(shop.rows("SELECT recipient FROM messages"))
