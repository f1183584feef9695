"""Invalid URLs: impossible ids, and `next` values that are not our pages."""

from werkzeug.exceptions import NotFound

from bookshop.web.navigation import safe_next
from tests.support.bad_input import SCRIPT
from tests.support.clients import WebClient
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, press
from tests.support.routes import NAMES, PATH_PARAMETER, ROUTES
from tests.support.validation import shop_without_database

NO_IDS = [
    *("-1", "abc", "\0", "1\0", "1.0", "1e0", "+1", " 1", "", "1;DROP", "..", "\ufffd", "\u0665", "\U0001f4da"),
    *("null", "true"),
]
NOBODYS = ["0", "00", "2147483648", "9223372036854775808", "9" * 5000]  # parsed as the id 0, which no row has
OF_TEXT = {**NAMES, "token": "x"}
WITH_ID = [route for route in ROUTES if set(PATH_PARAMETER.findall(route)) - set(OF_TEXT)]


def path_with(route: str, id_: str) -> str:
    return PATH_PARAMETER.sub(lambda found: OF_TEXT.get(found[1], id_), route.partition(" ")[2])


def ids_at(route: str, id_: str) -> set[int]:
    """Return the ids with which a route's view is called; raise NotFound if it is not called."""
    routes = shop_without_database().url_map.bind("localhost")
    _endpoint, arguments = routes.match(path_with(route, id_), route.split(maxsplit=1)[0])
    return {value for name, value in arguments.items() if name not in OF_TEXT}


def has_page(route: str, id_: str) -> bool:
    try:
        ids_at(route, id_)
    except NotFound:
        return False
    return True


def test_an_invalid_id_is_not_found():
    assert [(route, odd) for route in WITH_ID for odd in NO_IDS if has_page(route, odd)] == []


def test_an_id_out_of_range_is_not_found():
    assert {(route, odd[:20]): ids_at(route, odd) for route in WITH_ID for odd in NOBODYS} == {
        (route, odd[:20]): {0} for route in WITH_ID for odd in NOBODYS
    }


def test_a_valid_id_is_kept():
    assert {id_: ids_at(route, id_) for route in WITH_ID for id_ in ("1", "2147483647")} == {
        "1": {1},
        "2147483647": {2147483647},
    }


NEXTS = [
    "//evil.example", "/\t/evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
    "https:evil.example", "HTTP://localhost", "http:///evil.example", "///evil.example", "////evil.example",
    "javascript:alert(1)", "data:text/html,x", " //evil.example", "/%09/evil.example", "/%5Cevil.example",
    "/%2Fevil.example", "/\n/evil.example", "/books\r\nSet-Cookie: a=b", "evil.example", "books", "?page=2",
    "#content", "", "/nothing", "/api/v1/books", "/static/css/shop.css", "/logout", "/books/abc", "/@evil.example",
    "/\0", "/" + "x" * 3000, "/books?" + "x" * 3000, "/\u3000/evil.example", "/.//evil.example", "/..//evil.example",
    "\u2215\u2215evil.example", "/admin/books/1/put-back", SCRIPT, "@evil.example", "\ufffd", "/books\\..\\evil",
    # Looks like one of our pages, but a browser would go elsewhere.
    "/books\t", "\t/books", "/books?q=\r\nSet-Cookie: a=b", "/books\\@evil.example", "/login\0",
    "/books?q=\t", "/books?q=a\nb", "/books?q=a\rb", "/books?q=a b", "/books?q=a\\b", "/books?q=\x7f",
]  # fmt: skip


def test_a_next_that_is_not_our_page_redirects_home():
    with shop_without_database().test_request_context():
        assert [target for target in NEXTS if safe_next(target) != "/"] == []


OWN = ["/books?q=a%20b&page=2", "/books/1", "/reservations", "/books?q=%0d%0aX:y", "/admin", "/cart#content"]


def test_redirects_to_our_own_pages_are_followed():
    with shop_without_database().test_request_context():
        assert [safe_next(target) for target in OWN] == OWN


# Values that once led elsewhere.
HARMFUL = ["//evil.example", "/\t/evil.example", "/\\evil.example", "/\0"]


def test_login_redirects_only_to_our_own_pages(shop):
    shop.customer()
    for asked in HARMFUL:
        browser = WebClient(shop.app)
        fields = {"csrf_token": browser.csrf_token(), "email": "ada@example.com", "password": PASSWORD}
        by_address = browser.client.post("/login", query_string={"next": asked}, data=fields)
        once_logged_in = browser.client.get("/login", query_string={"next": asked})
        by_field = WebClient(shop.app).log_in("ada@example.com", next=asked)
        assert [answer.location for answer in (by_address, once_logged_in, by_field)] == ["/"] * 3


def test_login_redirects_to_our_own_page(shop):
    shop.customer()
    for asked in OWN[:3]:
        assert WebClient(shop.app).log_in("ada@example.com", next=asked).location == asked


def test_a_link_redirects_only_to_our_own_pages(shop, mailbox):
    for number, asked in enumerate([*HARMFUL, OWN[0]]):
        browser = WebClient(shop.app)
        browser.submit("/login", email=f"n{number}@example.com", next=asked)
        pressed = press(browser, delivered_link(mailbox))
        assert (pressed.status_code, pressed.location) == (303, "/" if asked in HARMFUL else asked)


def test_an_address_of_an_older_message_leads_to_the_login_page_only(shop):
    for path in ("/register", "/password/forgot", "/confirm/x", "/password/reset/x"):
        for asked in HARMFUL:
            answer = WebClient(shop.app).client.get(path, query_string={"next": asked})
            assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/login")
