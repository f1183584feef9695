"""The messages as mail programs and customers get them: headers, words and links of every kind."""

import re
import socket
from datetime import timedelta
from email import message_from_string, policy
from email.utils import parsedate_to_datetime

import pytest
from aiosmtpd.controller import Controller
from markupsafe import escape

from bookshop.kit.text import isolated, one_line, shortened
from bookshop.web import services
from tests.support import postbox
from tests.support.clients import WebClient
from tests.support.factories import PASSWORD
from tests.support.postbox import Postbox

pytestmark = pytest.mark.one_postgresql_case

ADA = "ada@example.com"
BASE = "https://example.com:8443/shop"
KINDS = {"restock", "order_placed", "order_ready", "order_cancelled", "confirmation", "known_address", "password_reset"}
ALWAYS = {
    *("Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"),
}
UNSUBSCRIBE = {"List-Unsubscribe", "List-Unsubscribe-Post"}
TIMES = "\N{MULTIPLICATION SIGN}"
BDI = re.compile(r"<bdi>.*?</bdi>", re.DOTALL)
FOR_PROGRAMS = (b"Message-ID:", b"List-Unsubscribe:")
HEADER = re.compile(rb"[A-Za-z-]+:( |$)|[ \t]")
TITLES = {
    "header": "Emma\r\nBcc: eve@example.com\r\n\r\n<p>Hello",
    "line ends": "Em\u2028ma\u2029\x0b\x0cBcc: eve@example.com\x85X-Evil: 1",
    "right to left": "ألف ليلة وليلة",
    "override": "Emma \u202egpj.exe",
    "end of isolate": "Emma\u2069\u202egpj.exe\u2066",
    "emoji": "Emma 👩‍👩‍👧‍👦📚 " * 15,
    "500 letters": "The Remarkable History of Émma and of Others, " * 10 + "in 500 " + "letters" * 4,
    "long word": "Donaudampfschifffahrt" * 23,
    "long word beyond ASCII": "漢" * 300,
    "markup": "<script>alert(1)</script><b>Emma</b> & \"Sons\" '' &lt;",
    "template": "{{ 7 * 7 }} {% raw %} {# Emma #} %(name)s {0}",
    "encoded word": "=?utf-8?q?Bcc=3A_eve=40example=2Ecom?=",
}


@pytest.fixture
def box(app, tmp_path, monkeypatch):
    """Where the messages of a shop at `BASE` arrive; other settings may be given."""
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"])
    return lambda **changes: Postbox(app, tmp_path / "mail", **{"base_url": BASE, **changes})


@pytest.fixture
def emma(shop):
    """A book that Ada, the first user, has reserved."""
    shop.customer(ADA)
    book_id = shop.book("Emma", authors="Jane Austen", price_cents=1295)
    shop.reserve(1, book_id)
    return book_id


def one_of_each(shop, emma):
    """Decide a message of every kind; all but one are for Ada."""
    shop.set_stock(emma, 9)
    ready, cancelled = shop.order(1, {emma: 2}), shop.order(1, {emma: 1})
    shop.change_order(ready, "ready", shop.staff())
    shop.cancel_order(1, cancelled)
    for address in ("new@example.com", "Ada@Example.com"):
        shop.commit(lambda address=address: services.email_links().sign_up(address, PASSWORD))
    shop.commit(lambda: services.email_links().ask_for_reset(ADA))


def kind_of(message):
    return message["Message-ID"].strip("<").partition(".")[0]


def by_kind(messages):
    return {kind_of(message): message for message in messages}


def lines(raw):
    """All lines of a message, and those of its head."""
    head = raw.partition(b"\r\n\r\n")[0]
    return raw.split(b"\r\n"), head.split(b"\r\n")


# ---------------------------------------------------------------- every kind


def test_every_kind_of_message_has_the_headers_of_a_message_that_a_machine_writes(shop, box, emma):
    one_of_each(shop, emma)
    sent = box(shop_name="Hill & Dale").deliver()
    assert (len(sent), set(by_kind(sent))) == (8, KINDS)
    for message in sent:
        alert = kind_of(message) == "restock"
        assert set(message.keys()) == ALWAYS | (UNSUBSCRIBE if alert else set())
        assert len(message.keys()) == len(set(message.keys()))
        assert str(message["From"]) == "Hill & Dale <bookshop@example.com>"
        assert message["To"] == ("new@example.com" if kind_of(message) == "confirmation" else ADA)
        assert message["Auto-Submitted"] == "auto-generated"
        assert parsedate_to_datetime(message["Date"]).utcoffset() == timedelta(0)
        assert message.get_content_type() == "multipart/alternative"
        assert [found.get_content_type() for found in message.iter_parts()] == ["text/plain", "text/html"]
        assert message.defects == []


def test_the_message_id_is_the_one_of_the_outbox_at_each_attempt(shop, box, emma):
    one_of_each(shop, emma)
    sent = box().deliver()
    assert [message["Message-ID"] for message in sent] == shop.rows("SELECT message_id FROM messages ORDER BY id")
    assert len({message["Message-ID"] for message in sent}) == 8


@pytest.mark.parametrize("host", ["books.example.com", "a-rather-long-name-of-a-shop." + "books." * 10 + "example.com"])
def test_no_line_is_longer_than_mail_servers_take_and_headers_for_programs_stay_in_one(shop, box, emma, host):
    email_links = box(base_url=f"https://{host}/shop")
    one_of_each(shop, emma)
    email_links.deliver()
    for raw in (path.read_bytes() for path in email_links.folder.iterdir()):
        every, head = lines(raw)
        assert raw.count(b"\n") == raw.count(b"\r\n")
        assert max(map(len, every)) <= 998
        assert all(HEADER.match(line) for line in head)
        for line in head:
            if line.startswith(FOR_PROGRAMS):
                assert re.fullmatch(rb"[A-Za-z-]+: <[!-~]+>", line)
        assert b"feedback-id" not in b"\n".join(head).lower()


ESSENTIAL = {
    "restock": ["Emma", "by Jane Austen", "€12.95", "reserved", "not kept for you", "No more of these e-mails"],
    "order_placed": ["Thank you for your order", f" {TIMES} Emma, €12.95", "Total: €", "You pay in the shop"],
    "order_ready": ["ready", "14 days", f"2 {TIMES} Emma, €12.95 each", "Total: €25.90", "Say your number"],
    "order_cancelled": ["Your order is cancelled", f"1 {TIMES} Emma, €12.95", "nothing to pay"],
    "confirmation": ["Is this your address?", "need do nothing"],
    "known_address": ["There is one already", "nothing was changed", "forgot your password"],
    "password_reset": ["new password", "good once, for 30 minutes", "If it was not you"],
}


def test_text_and_html_say_the_same_essentials(shop, box, emma):
    one_of_each(shop, emma)
    for message in box().deliver():
        text, markup = " ".join(postbox.part(message, "plain").split()), postbox.words(postbox.part(message, "html"))
        for essential in [*ESSENTIAL[kind_of(message)], "The Bookshop"]:
            assert (essential in text, essential in markup) == (True, True), essential


def test_messages_about_an_order_name_it_and_messages_about_a_book_the_book(shop, box, emma):
    one_of_each(shop, emma)
    numbers = shop.rows("SELECT number FROM orders ORDER BY id")
    sent = by_kind(box().deliver())
    for kind, number in (("order_ready", numbers[0]), ("order_cancelled", numbers[1])):
        assert number in sent[kind]["Subject"]
        assert all(number in postbox.part(sent[kind], form) for form in ("plain", "html"))
    assert sent["restock"]["Subject"] == "Emma is back in stock"


def test_an_order_to_be_posted_is_packed_and_not_to_be_collected(shop, box, emma):
    email_links = box(post_orders=True)
    shop.set_stock(emma, 1)
    order_id = shop.order(1, {emma: 1}, delivery="post", address="1 Road")
    shop.change_order(order_id, "ready", shop.staff())
    sent = by_kind(email_links.deliver())
    assert sent["order_ready"]["Subject"].startswith("Packed: your order ")
    for kind, form in ((kind, form) for kind in ("order_placed", "order_ready") for form in ("plain", "html")):
        written = " ".join(postbox.part(sent[kind], form).split())
        assert ("postage and payment" in written, "collect" in written) == (True, False)


def test_our_own_words_are_short_lines_with_a_blank_one_between_paragraphs(shop, box, emma):
    one_of_each(shop, emma)
    for message in box().deliver():
        text = postbox.part(message, "plain")
        assert max(len(line) for line in text.splitlines() if "://" not in line) <= 78
        assert (text[0].strip(), "\n\n" in text, "\n\n\n\n" in text, "\r" in text) == (text[0], True, False, False)
        assert "\n-- \nThe Bookshop\n" in text
        assert text.isprintable() or {compose for compose in text if not compose.isprintable()} == {"\n"}


# ---------------------------------------------------------------- links


@pytest.mark.parametrize("base", [BASE, "http://127.0.0.1:5000", "https://books.example.com"])
def test_every_link_is_whole_and_leads_to_a_page(shop, box, emma, base):
    one_of_each(shop, emma)
    ada = WebClient(shop.app, ADA)
    for message in box(base_url=base).deliver():
        in_text, in_html = postbox.links(message)
        assert set(in_text) == set(in_html)
        for link in in_html:
            assert link.startswith(f"{base}/")
            assert ada.follow(link.removeprefix(base)).status_code == 200, link


def test_what_a_link_leads_to_is_what_its_message_is_about(shop, box, emma):
    one_of_each(shop, emma)
    sent = by_kind(box().deliver())
    paths = {kind: [link.removeprefix(BASE) for link in postbox.links(sent[kind])[1]] for kind in sent}
    assert paths["restock"][0] == "/books/1/emma"
    assert [paths[kind][0] for kind in ("order_ready", "order_cancelled")] == ["/orders/1", "/orders/2"]
    assert paths["known_address"][:2] == ["/login", "/password/forgot"]
    for kind, start in (("confirmation", "/confirm/"), ("password_reset", "/password/reset/")):
        assert paths[kind][0].startswith(start)


def test_only_alerts_can_be_unsubscribed_and_by_the_same_link_everywhere(shop, box, emma):
    one_of_each(shop, emma)
    for message in box().deliver():
        alert = kind_of(message) == "restock"
        everywhere = [*postbox.links(message)[0], *postbox.links(message)[1]]
        assert len([link for link in everywhere if "/unsubscribe/" in link]) == 2 * alert
        if alert:
            assert message["List-Unsubscribe"].strip("<>") in everywhere
            assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_nothing_is_loaded_when_a_message_is_read_and_colours_stand_in_classes_only(shop, box, emma):
    one_of_each(shop, emma)
    for message in box().deliver():
        markup = postbox.part(message, "html")
        assert not re.search(r"<(img|link|script|iframe)\b|url\(|@import|\ssrc=|\sstyle=", markup, re.IGNORECASE)


# ---------------------------------------------------------------- what others typed


@pytest.mark.parametrize("name", TITLES)
def test_a_title_whatever_it_holds_stays_a_title_in_short_lines_of_ascii(shop, box, emma, name):
    title = TITLES[name]
    shop.set_stock(emma, 1)
    shop.order(1, {emma: 1})
    shop.set_stock(emma, 1)
    for sql in ("UPDATE books SET title = :title, authors = :title", "UPDATE order_lines SET title = :title"):
        shop.execute(sql, title=title)
    email_links = box()
    sent = by_kind(email_links.deliver())
    assert sent["restock"]["Subject"] == f"{isolated(shortened(title))} is back in stock"
    for kind, message in sent.items():
        assert set(message.keys()) == ALWAYS | (UNSUBSCRIBE if kind == "restock" else set())
        assert (message["To"], message.defects) == (ADA, [])
        assert isolated(title) in postbox.part(message, "plain")
        assert f"<bdi>{escape(title)}</bdi>".split() == BDI.findall(postbox.part(message, "html"))[-1].split()
    for raw in (path.read_bytes() for path in email_links.folder.iterdir()):
        every, head = lines(raw)
        assert (raw.isascii(), max(map(len, every)) <= 998) == (True, True)
        assert all(HEADER.match(line) for line in head)
        assert max(len(line) for line in head if not line.startswith(FOR_PROGRAMS)) <= 78


def test_what_would_turn_the_rest_of_a_line_round_ends_with_the_title():
    """Unicode UAX 9: an isolate ends at its own PDI, and takes with it every override that was begun inside."""
    for title in TITLES.values():
        line = isolated(title)
        opened, closed = line.count("\u2068"), line.count("\u2069")
        assert (opened, closed) in {(0, 0), (1, 1)}
        assert closed == 0 or (line[0], line[-1]) == ("\u2068", "\u2069")
    assert isolated("Emma") == "Emma"
    assert one_line(" a\r\n\tb\x00c ") == "a b c"


SHOP_NAMES = [
    *('Hill & Dale, "Books"; Ltd.', "Müller & Söhne, Bücher", "O'Brien (Dublin) <x@example.com>", "📚 本屋"),
    "Ünïcödé, " * 8 + "Ltd",
]


@pytest.mark.parametrize("name", SHOP_NAMES)
def test_the_name_of_the_shop_is_written_whole_into_the_sender(shop, box, emma, name):
    shop.set_stock(emma, 1)
    email_links = box(shop_name=name, mail_from="shop@example.com")
    (message,) = email_links.deliver()
    (raw,) = [path.read_bytes() for path in email_links.folder.iterdir()]
    assert [sender.addr_spec for sender in message["From"].addresses] == ["shop@example.com"]
    assert name in postbox.header(raw, "From").replace('\\"', '"')
    assert name in postbox.part(message, "plain")
    assert name in postbox.words(postbox.part(message, "html"))


# ---------------------------------------------------------------- addresses beyond ASCII, over a real server


class Sink:
    """Takes every message, and keeps what was said about it."""

    def __init__(self):
        self.taken = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - named by aiosmtpd
        self.taken.append((envelope.rcpt_tos, envelope.mail_options, envelope.content))
        return "250 OK"


def unused_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def server():
    """Starts a mail server that takes addresses beyond ASCII, or does not; returns its URL and sink."""
    started = []

    def start(beyond_ascii):
        sink = Sink()
        started.append(Controller(sink, "127.0.0.1", unused_port(), enable_SMTPUTF8=beyond_ascii))
        started[-1].start()
        return f"smtp://127.0.0.1:{started[-1].port}", sink

    yield start
    for controller in started:
        controller.stop()


ADDRESSES = [
    (ADA, ADA, []),
    ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com", []),
    ("jürgen@example.com", "jürgen@example.com", ["SMTPUTF8"]),
    ("δοκιμή@bücher.example.com", "δοκιμή@xn--bcher-kva.example.com", ["SMTPUTF8"]),
    ("o'brien+books@example.com", "o'brien+books@example.com", []),
]


@pytest.mark.parametrize("case", ADDRESSES)
def test_a_message_goes_to_the_address_as_mail_servers_know_it(shop, box, server, case):
    address, envelope, options = case
    url, sink = server(beyond_ascii=bool(options))
    shop.customer(address)
    shop.reserve(1, shop.book("Émma"))
    email_links = box(smtp_url=url, mail_delay=0)
    shop.set_stock(1, 1)
    email_links.work()
    ((recipients, said, raw),) = sink.taken
    message = message_from_string(raw.decode(), policy=policy.default)
    assert (recipients, message["To"].addresses[0].addr_spec) == ([envelope], envelope)
    assert [option for option in said if option == "SMTPUTF8"] == options
    assert (message["Subject"], message.defects) == ("Émma is back in stock", [])


def test_an_address_beyond_ascii_that_the_server_does_not_take_is_said_to_staff(shop, box, server):
    url, sink = server(beyond_ascii=False)
    shop.customer("jürgen@example.com")
    shop.reserve(1, shop.book())
    email_links = box(smtp_url=url, mail_delay=0)
    shop.set_stock(1, 1)
    email_links.work()
    assert (sink.taken, shop.rows("SELECT state FROM messages")) == ([], ["failed"])
    assert "SMTPUTF8" in shop.rows("SELECT last_error FROM messages")[0]
