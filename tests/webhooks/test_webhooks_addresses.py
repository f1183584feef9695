"""Forbidden webhook addresses: checked at registration and at delivery, whatever the name then resolves to."""

import threading
from ipaddress import ip_address

import pytest

from bookshop.kit.exceptions import Invalid
from bookshop.webhooks import addresses
from bookshop.webhooks.addresses import AddressNotAllowed, is_allowed, parse_url, resolve_allowed
from tests.support.bad_input import assert_problem
from tests.support.clients import ApiClient, WebClient
from tests.support.receiver import HOST, NAME

pytestmark = pytest.mark.one_postgresql_case

WEBHOOKS = "/api/v1/webhooks"
PUBLIC = "93.184.215.14"
PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("::1", "fc00::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:c0a8:101::1", "3fff::1", "3fff:fff::1"),
]
NEVER = [
    *("169.254.169.254", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "fe80::1", "ff02::1", "::127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *("fd00:ec2::254", "fd20:ce::254"),
]
# In every notation that the resolver accepts.
URLS = [
    *(
        "https://127.0.0.1/",
        "https://localhost/",
        "https://LOCALHOST:8443/hooks",
        "https://127.1/",
    ),
    *(
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://017700000001/",
    ),
    *("https://10.0.0.1/", "https://192.168.0.1/", "https://169.254.169.254/latest/meta-data", "https://100.64.1.1/"),
    *("https://0.0.0.0/", "https://0/", "https://[::]/", "https://[fe80::1]/", "https://[64:ff9b::10.0.0.1]/"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_setting_allows_private_addresses(address):
    found = [is_allowed(ip_address(address), private=private) for private in (False, True)]
    assert found == [False, True]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_allowed(address):
    assert not any(is_allowed(ip_address(address), private=private) for private in (False, True))


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"])
def test_public_addresses_are_allowed(address):
    assert is_allowed(ip_address(address), private=False)


@pytest.fixture
def staff(app, shop):
    shop.staff()
    return ApiClient(app, "staff@example.com")


def register(api_client, url):
    return api_client.post(WEBHOOKS, {"url": url, "kinds": ["*"]})


@pytest.mark.parametrize("url", URLS)
def test_a_webhook_to_a_private_network_cannot_be_registered(shop, staff, url):
    answer = register(staff, url)
    assert_problem(answer, 422, "VALIDATION_ERROR")
    (error,) = answer.get_json()["errors"]
    assert error["detail"].endswith("leads to a private network or another address that webhooks may not call.")
    assert (error["pointer"], shop.rows("SELECT count(*) FROM webhooks")) == ("#/url", [0])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("example.com", "must begin with https://"),
        ("https://", "is not a valid address"),
        ("https:///hooks", "is not a valid address"),
        ("https://user:word@example.com/", "must not contain a user name or password"),
        ("https://user@example.com/", "must not contain a user name or password"),
        ("https://example.com/#there", "must not contain a #"),
        ("https://example.com/#", "must not contain a #"),
        ("https://example.com:99999/", "is not a valid address"),
        ("https://example.com:0/", "is not a valid address"),
        ("https://exam ple.com/", "is not a valid address"),
        ("https://example.com/a b", "is not a valid address"),
        ("https://example.com\\@127.0.0.1/", "must not contain a user name or password"),
        ("https://example.com\\x/", "is not a valid address"),
        ("https://[::1/", "is not a valid address"),
        ("https://exa%6dple.com/", "is not a valid address"),
        ("https://example.com/" + "x" * 481, "is longer than 500 characters"),
    ],
)
def test_an_invalid_address_is_refused_with_advice(url, words):
    with pytest.raises(Invalid) as refused:
        parse_url(url)
    assert words in refused.value.sentence


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("https://example.com:8443/x", "example.com:8443"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]"),
        ("https://[2606:4700::1111]:8443/x?y", "[2606:4700::1111]:8443"),
    ],
)
def test_the_host_is_formatted_as_in_a_host_header(url, host):
    assert parse_url(url).authority == host


def test_an_address_is_stored_in_one_form():
    assert str(parse_url(" https://EXAMPLE.com:443 ")) == "https://example.com/"
    assert str(parse_url("https://Bücher.example:8443/a?b=c")) == "https://xn--bcher-kva.example:8443/a?b=c"
    assert str(parse_url("https://[2606:4700::1111]/x")) == "https://[2606:4700::1111]/x"


@pytest.fixture
def names(monkeypatch):
    """The resolver's answers: one list of addresses per query, the last one repeatedly."""
    answers: list[list[str]] = []
    asked: list[tuple[str, int]] = []

    def resolve(host, port):
        asked.append((host, port))
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise OSError("Name or service not known")
        return found

    monkeypatch.setattr(addresses, "resolve", resolve)
    return answers, asked


@pytest.mark.parametrize("found", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"], ["fe80::1%eth0"], []])
def test_a_host_name_is_refused_unless_all_its_addresses_are_allowed(staff, names, found):
    names[0].append(found)
    answer = register(staff, "https://hooks.example.com/")
    assert_problem(answer, 422, "VALIDATION_ERROR")
    words = "leads to a private network" if found else "was not found"
    assert words in answer.get_json()["errors"][0]["detail"]


def test_a_slow_dns_lookup_times_out(monkeypatch):
    hanging = threading.Event()
    monkeypatch.setattr(addresses, "resolve", lambda *_asked: hanging.wait(60))
    with pytest.raises(AddressNotAllowed, match="was not found in time"):
        resolve_allowed(parse_url("https://hooks.example.com/"), private=False, timeout=0.05)
    hanging.set()


def test_the_form_shows_errors_at_their_fields(app, shop):
    shop.staff()
    browser = WebClient(app, "staff@example.com")
    answer = browser.submit("/admin/webhooks", url="https://localhost/", kinds="order.placed")
    assert answer.status_code == 400
    assert "localhost leads to a private network" in answer.text


def test_a_host_name_that_became_private_is_not_called(webhooks, receiver, names):
    """Nor is anything else in the shop's network, at any attempt; other webhooks continue."""
    webhooks.set(webhook_private=False)
    names[0][:] = [[PUBLIC], [HOST]]
    webhook_id = webhooks.register(f"https://{NAME}:{receiver.port}/")
    webhooks.make_events(2)
    for _time in range(3):
        webhooks.run_worker()
        webhooks.make_all_due()
    assert (receiver.connections, webhooks.states()) == (0, {"queued": 4})
    assert "leads to a private network" in str(webhooks.deliveries()[0].last_error)
    assert webhooks.webhook(webhook_id).misses == 3


def test_the_vetted_address_is_connected_to_even_if_the_name_changes_meanwhile(webhooks, receiver, names):
    """Each attempt resolves the name only once, so a second answer has no effect. TLS is verified against the name."""
    names[0].append([HOST])
    url = f"https://{NAME}:{receiver.port}/"
    webhooks.register(url)
    names[1].clear()
    webhooks.make_events(1)
    names[0][:] = [[HOST], [HOST], [HOST], ["169.254.169.254"]]
    webhooks.run_worker()
    assert (webhooks.states(), len(receiver.calls)) == ({"delivered": 3}, 3)
    assert names[1] == [(NAME, receiver.port)] * 3
    assert receiver.calls[0].headers["host"] == f"{NAME}:{receiver.port}"


def test_the_next_address_is_tried_if_one_does_not_answer(webhooks, receiver, names):
    names[0].append(["127.0.0.2", HOST])
    webhooks.register(f"https://{NAME}:{receiver.port}/")
    webhooks.make_events(1)
    webhooks.run_worker()
    assert webhooks.states() == {"delivered": 3}
