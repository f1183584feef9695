"""Scripts in texts and URLs: every page shows them as text."""

import re

import pytest

from bookshop.accounts import signed_links
from tests.support.bad_input import BOOK, SCRIPT
from tests.support.links import delivered_link, press
from tests.support.routes import signed

IN_ADDRESS = "%22%27%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"
ESCAPED, LINKED_DATA = "&lt;script&gt;", '<script type="application/ld+json">'
OWN = re.compile(r'<script type="module" src="/static/js/shop\.\w+\.js"></script>')
# The pages that each of them opens; {} is replaced by a script.
SHOWN = {
    "visitor": [
        *("/", "/books?q=script", f"/books/{BOOK}", "/books?language={}", "/books?min_price={}&sort={}"),
        *("/books?q={}", "/books?author={}", "/login?next={}", "/register?next={}", "/{}", "/books/{}", "/static/{}"),
        f"/waiting/{signed(signed_links.WAITING, [2, 'ada@example.com'])}",
    ],
    "ada": ["/", f"/books/{BOOK}", "/reservations", "/reservations?page={}"],
    "staff": [
        *("/", f"/books/{BOOK}", "/admin", "/admin/books", "/admin/books?q={}", "/admin/users?q={}", "/admin/{}"),
        *(f"/admin/books/{BOOK}/{page}" for page in ("edit", "stock", "withdraw", "waiting", "movements")),
    ],
}


def without_ours(page):
    """Return a page without the tags that are the shop's own."""
    return OWN.sub("", page).replace(LINKED_DATA, "")


@pytest.mark.parametrize("role", SHOWN)
def test_a_script_in_a_text_or_an_address_is_always_escaped(xss_shop, role):
    wrong = []
    for path in SHOWN[role]:
        page = without_ours(xss_shop.web_clients[role][0].get(path.replace("{}", IN_ADDRESS)).text)
        if "<script" in page or (ESCAPED not in page and "{}" not in path):
            wrong.append(path)
    assert wrong == []


def test_a_typed_script_is_escaped_in_the_form_and_the_error(xss_shop):
    typed = xss_shop.staff_browser.post(
        "/admin/books/new", csrf_token=xss_shop.staff_csrf_token, title=SCRIPT, price="-1"
    )
    stale = {"change": "received", "copies": "1", "note": SCRIPT, "expected": "7"}
    refused = xss_shop.staff_browser.post(f"/admin/books/{BOOK}/stock", csrf_token=xss_shop.staff_csrf_token, **stale)
    wrong = xss_shop.web_client.post("/login", csrf_token=xss_shop.visitor_csrf_token, email=SCRIPT, password=SCRIPT)
    no_address = xss_shop.web_client.post("/login", csrf_token=xss_shop.visitor_csrf_token, email=SCRIPT)
    for page in (typed, refused, wrong, no_address):
        assert ("<script" in without_ours(page.text), ESCAPED in page.text) == (False, True)


def test_a_script_in_what_a_visitor_has_started_is_escaped(shop, web_client, mailbox):
    sold_out, in_stock = shop.book(SCRIPT), shop.book(SCRIPT, stock=1)
    browser, email = web_client(), "ada@example.com"
    browser.submit(f"/books/{sold_out}/reserve", page=f"/books/{sold_out}", email=email)
    browser.submit("/cart/items", page="/login", book_id=in_stock)
    assert press(browser, "/checkout", email=email, name=SCRIPT, note=SCRIPT).location == "/login/sent"
    for page in (browser.get("/login/sent"), browser.get(delivered_link(mailbox))):
        assert ("<script" in without_ours(page.text), page.text.count(ESCAPED) > 1) == (False, True)


def test_a_script_in_linked_data_cannot_end_it(xss_shop):
    page = xss_shop.web_client.get(f"/books/{BOOK}").text
    (data,) = re.findall(f"{re.escape(LINKED_DATA)}(.*?)</script>", page, re.DOTALL)
    assert ("<" in data, "alert(1)" in data) == (False, True)


def test_scripts_in_texts_are_plain_data_in_json(xss_shop):
    found = xss_shop.nobody.get("/api/v1/books", q="script alert")
    assert (found.mimetype, found.json["items"][0]["title"]) == ("application/json", SCRIPT)


def test_a_title_of_500_emoji_is_stored(shop, api_client):
    shop.staff()
    emoji = "".join(chr(code) for code in [*range(0x1F300, 0x1F440), *range(0x1F600, 0x1F6B4)])
    book = {"title": emoji, "authors": "Jane Austen", "price_cents": 1}
    made = api_client("staff@example.com").post("/api/v1/books", book)
    assert (made.status_code, made.json["title"], len(emoji)) == (201, emoji, 500)
