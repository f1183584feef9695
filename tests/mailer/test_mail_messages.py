"""Messages as received: headers, text and links of every kind."""

import re
import socket
from datetime import timedelta
from email import message_from_string, policy
from email.utils import parsedate_to_datetime

import pytest
from aiosmtpd.controller import Controller
from markupsafe import escape

from bookshop.kit.text import isolated, one_line, shortened
from bookshop.mail.models import FORMER_ADDRESS, NOTICE_KINDS
from tests.support import mailbox
from tests.support.clients import WebClient
from tests.support.mailbox import Mailbox
from tests.support.messages import ADA, KINDS, TO, by_kind, kind_of, notify_of_change, one_of_each

pytestmark = pytest.mark.one_postgresql_case

BASE = "https://example.com:8443/shop"
NEW_PASSWORD = "/login?next=/account/password"  # where a link leads to the form for a new password
ALWAYS = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
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
def make_mailbox(app, tmp_path, monkeypatch):
    """Create the mailbox of a shop at `BASE`, with any changed settings."""
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"])
    return lambda **changes: Mailbox(app, tmp_path / "mail", **{"base_url": BASE, **changes})


@pytest.fixture
def emma(shop):
    """A book that Ada (user 1) has reserved."""
    shop.customer(ADA)
    book_id = shop.book("Emma", authors="Jane Austen", price_cents=1295)
    shop.reserve(1, book_id)
    return book_id


def lines(raw):
    """Return all lines of a message, and those of its header."""
    head = raw.partition(b"\r\n\r\n")[0]
    return raw.split(b"\r\n"), head.split(b"\r\n")


# ---------------------------------------------------------------- every kind


def test_every_kind_of_message_has_the_headers_of_automatic_mail(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    shop.describe(name="Hill & Dale")
    sent = make_mailbox().deliver()
    assert (len(sent), set(by_kind(sent))) == (15, KINDS)
    for message in sent:
        alert = kind_of(message) == "restock"
        assert set(message.keys()) == ALWAYS | (UNSUBSCRIBE if alert else set())
        assert len(message.keys()) == len(set(message.keys()))
        assert str(message["From"]) == "Hill & Dale <bookshop@example.com>"
        assert message["To"] == TO.get(kind_of(message), ADA)
        assert message["Auto-Submitted"] == "auto-generated"
        assert parsedate_to_datetime(message["Date"]).utcoffset() == timedelta(0)
        assert message.get_content_type() == "multipart/alternative"
        assert [found.get_content_type() for found in message.iter_parts()] == ["text/plain", "text/html"]
        assert message.defects == []


def test_the_message_id_is_the_same_at_each_attempt(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    sent = make_mailbox().deliver()
    assert [message["Message-ID"] for message in sent] == shop.rows("SELECT message_id FROM messages ORDER BY id")
    assert len({message["Message-ID"] for message in sent}) == 15


@pytest.mark.parametrize("host", ["books.example.com", "a-rather-long-name-of-a-shop." + "books." * 10 + "example.com"])
def test_no_line_exceeds_the_smtp_limit_and_machine_headers_are_not_folded(shop, make_mailbox, emma, host):
    inbox = make_mailbox(base_url=f"https://{host}/shop")
    one_of_each(shop, emma)
    inbox.deliver()
    for raw in (path.read_bytes() for path in inbox.folder.iterdir()):
        every, head = lines(raw)
        assert raw.count(b"\n") == raw.count(b"\r\n")
        assert max(map(len, every)) <= 998
        assert all(HEADER.match(line) for line in head)
        for line in head:
            if line.startswith(FOR_PROGRAMS):
                assert re.fullmatch(rb"[A-Za-z-]+: <[!-~]+>", line)
        assert b"feedback-id" not in b"\n".join(head).lower()


ESSENTIAL = {
    "restock": ["Emma", "by Jane Austen", "€12.95", "reserved", "first come, first served", "Unsubscribe"],
    "order_placed": ["Your books are reserved", f" {TIMES} Emma, €12.95", "Total: €", "when you pay in the shop"],
    "order_ready": ["ready", "14 days", f"2 {TIMES} Emma, €12.95 each", "Total: €25.90", "your order number"],
    "order_return": ["We have received your withdrawal", "where to send the books", "If it wasn't you, tell us"],
    "order_cancelled": ["reservation for collection has been cancelled", f"1 {TIMES} Emma, €12.95", "nothing to pay"],
    "login_link": ["press the button on its page", "works once, for 30 minutes", "If you didn't ask for this"],
    "address_link": ["to change the address of the account", "works once, for 30 minutes", "If it wasn't you"],
    "invitation": ["added to the staff", "you don't need a password", "If you did not expect this"],
    "mail_check": ["from the list Ready to open", "the links in them work"],
    "password_changed": ["A new password was chosen for your account on", "If it wasn't you, log in with a link"],
    "address_changed": ["The e-mail address of your account was changed on", "undo the change at once", "for 7 days"],
    "second_factor": ["set up, turned off or removed, or got new recovery codes, on", "Then reply to this e-mail"],
    "token_created": ["A new API token was created on", "revokes every API token", "choose a new password"],
    "new_login": ["on a device that we don't recognise", "logs out every other device", "choose a new password"],
}


def test_text_and_html_contain_the_same_essentials(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    for message in make_mailbox().deliver():
        text, markup = " ".join(mailbox.part(message, "plain").split()), mailbox.words(mailbox.part(message, "html"))
        for essential in [*ESSENTIAL[kind_of(message)], "The Bookshop"]:
            assert (essential in text, essential in markup) == (True, True), essential


def test_the_notice_of_a_change_that_cannot_be_undone_asks_for_a_reply(shop, make_mailbox, emma):
    shop.commit(lambda: notify_of_change(undo=False))
    [message] = make_mailbox().deliver()
    for text in (mailbox.part(message, "plain"), mailbox.words(mailbox.part(message, "html"))):
        assert "reply to this e-mail at once" in " ".join(text.split())
    assert mailbox.links(message) == ([f"{BASE}/"], [f"{BASE}/"])


def test_order_messages_name_the_order_and_alerts_the_book(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    numbers = shop.rows("SELECT number FROM orders ORDER BY id")
    sent = by_kind(make_mailbox().deliver())
    for kind, number in (("order_ready", numbers[0]), ("order_cancelled", numbers[1])):
        assert number in sent[kind]["Subject"]
        assert all(number in mailbox.part(sent[kind], form) for form in ("plain", "html"))
    assert sent["restock"]["Subject"] == "Emma is back in stock"


def test_an_order_to_be_posted_is_packed_not_collected(shop, make_mailbox, emma):
    shop.describe(post_orders=True, postage_cents=350)
    inbox = make_mailbox()
    shop.set_stock(emma, 1)
    order_id = shop.order(1, {emma: 1}, delivery="post", address="1 Road")
    shop.change_order(order_id, "ready", shop.staff())
    sent = by_kind(inbox.deliver())
    assert sent["order_ready"]["Subject"].startswith("Packed: your order ")
    for kind, form in ((kind, form) for kind in ("order_placed", "order_ready") for form in ("plain", "html")):
        written = " ".join(mailbox.part(sent[kind], form).split())
        assert ("about payment" in " ".join(written.split()), "collect" in written) == (True, False)


def test_our_own_paragraphs_have_short_lines_and_blank_lines_between(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    for message in make_mailbox().deliver():
        text = mailbox.part(message, "plain")
        assert max(len(line) for line in text.splitlines() if "://" not in line) <= 78
        assert (text[0].strip(), "\n\n" in text, "\n\n\n\n" in text, "\r" in text) == (text[0], True, False, False)
        assert "\n-- \nThe Bookshop\n" in text
        assert text.isprintable() or {compose for compose in text if not compose.isprintable()} == {"\n"}


# ---------------------------------------------------------------- links


@pytest.mark.parametrize("base", [BASE, "http://127.0.0.1:5000", "https://books.example.com"])
def test_every_link_is_absolute_and_leads_to_a_page(shop, make_mailbox, emma, base):
    one_of_each(shop, emma)
    ada = WebClient(shop.app, ADA)
    for message in make_mailbox(base_url=base).deliver():
        in_text, in_html = mailbox.links(message)
        assert set(in_text) == set(in_html)
        for link in in_html:
            assert link.startswith(f"{base}/")
            assert ada.follow(link.removeprefix(base)).status_code == 200, link


def test_each_link_leads_to_the_subject_of_its_message(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    sent = by_kind(make_mailbox().deliver())
    paths = {kind: [link.removeprefix(BASE) for link in mailbox.links(sent[kind])[1]] for kind in sent}
    assert paths["restock"][0] == "/books/1/emma"
    assert [paths[kind][0] for kind in ("order_ready", "order_cancelled")] == ["/orders/1", "/orders/2"]
    assert paths["invitation"] == ["/login", "/"]
    assert paths["mail_check"][0].startswith("/admin/ready/mail/")
    for kind, page in (
        ("login_link", "login/link"),
        ("address_link", "address/confirm"),
        ("address_changed", "address/undo"),
    ):
        assert re.fullmatch(rf"/{page}/[\w-]{{43}}", paths[kind][0])
    assert {kind: paths[kind][:-1] for kind in NOTICE_KINDS if kind != FORMER_ADDRESS} == {
        "password_changed": [NEW_PASSWORD],
        "second_factor": [NEW_PASSWORD],
        "token_created": ["/account/tokens", NEW_PASSWORD],
        "new_login": ["/account/sessions", NEW_PASSWORD],
    }


def test_only_alerts_can_be_unsubscribed_always_by_the_same_link(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    for message in make_mailbox().deliver():
        alert = kind_of(message) == "restock"
        everywhere = [*mailbox.links(message)[0], *mailbox.links(message)[1]]
        assert len([link for link in everywhere if "/unsubscribe/" in link]) == 2 * alert
        if alert:
            assert message["List-Unsubscribe"].strip("<>") in everywhere
            assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_e_mails_load_nothing_and_use_colours_only_in_classes(shop, make_mailbox, emma):
    one_of_each(shop, emma)
    for message in make_mailbox().deliver():
        markup = mailbox.part(message, "html")
        assert not re.search(r"<(img|link|script|iframe)\b|url\(|@import|\ssrc=|\sstyle=", markup, re.IGNORECASE)


# ---------------------------------------------------------------- text from other people


@pytest.mark.parametrize("name", TITLES)
def test_any_title_stays_a_title_in_short_ascii_lines(shop, make_mailbox, emma, name):
    title = TITLES[name]
    shop.set_stock(emma, 1)
    shop.order(1, {emma: 1})
    shop.set_stock(emma, 1)
    for sql in ("UPDATE books SET title = :title, authors = :title", "UPDATE order_lines SET title = :title"):
        shop.execute(sql, title=title)
    inbox = make_mailbox()
    sent = by_kind(inbox.deliver())
    assert sent["restock"]["Subject"] == f"{isolated(shortened(title))} is back in stock"
    for kind, message in sent.items():
        assert set(message.keys()) == ALWAYS | (UNSUBSCRIBE if kind == "restock" else set())
        assert (message["To"], message.defects) == (ADA, [])
        assert isolated(title) in mailbox.part(message, "plain")
        assert f"<bdi>{escape(title)}</bdi>".split() == BDI.findall(mailbox.part(message, "html"))[-1].split()
    for raw in (path.read_bytes() for path in inbox.folder.iterdir()):
        every, head = lines(raw)
        assert (raw.isascii(), max(map(len, every)) <= 998) == (True, True)
        assert all(HEADER.match(line) for line in head)
        assert max(len(line) for line in head if not line.startswith(FOR_PROGRAMS)) <= 78


def test_directional_overrides_end_with_the_title():
    """Unicode UAX 9: an isolate ends at its own PDI, which also ends all overrides inside."""
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
def test_the_shop_name_is_complete_in_the_sender(shop, make_mailbox, emma, name):
    shop.set_stock(emma, 1)
    shop.describe(name=name)
    inbox = make_mailbox(mail_from="shop@example.com")
    (message,) = inbox.deliver()
    (raw,) = [path.read_bytes() for path in inbox.folder.iterdir()]
    assert [sender.addr_spec for sender in message["From"].addresses] == ["shop@example.com"]
    assert name in mailbox.header(raw, "From").replace('\\"', '"')
    assert name in mailbox.part(message, "plain")
    assert name in mailbox.words(mailbox.part(message, "html"))


# ---------------------------------------------------------------- addresses beyond ASCII, over a real server


class SmtpServer:
    """Accepts every message, and records its envelope."""

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
    """Start a mail server with or without SMTPUTF8; return its URL and handler."""
    started = []

    def start(beyond_ascii):
        smtp_server = SmtpServer()
        started.append(Controller(smtp_server, "127.0.0.1", unused_port(), enable_SMTPUTF8=beyond_ascii))
        started[-1].start()
        return f"smtp://127.0.0.1:{started[-1].port}", smtp_server

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
def test_a_message_goes_to_the_address_in_ascii_form(shop, make_mailbox, server, case):
    address, envelope, options = case
    url, smtp_server = server(beyond_ascii=bool(options))
    shop.customer(address)
    shop.reserve(1, shop.book("Émma"))
    shop.describe(mail_delay=0)
    inbox = make_mailbox(smtp_url=url)
    shop.set_stock(1, 1)
    inbox.run_worker()
    ((recipients, smtp_options, raw),) = smtp_server.taken
    message = message_from_string(raw.decode(), policy=policy.default)
    assert (recipients, message["To"].addresses[0].addr_spec) == ([envelope], envelope)
    assert [option for option in smtp_options if option == "SMTPUTF8"] == options
    assert (message["Subject"], message.defects) == ("Émma is back in stock", [])


def test_an_internationalised_address_that_the_server_rejects_is_reported_to_staff(shop, make_mailbox, server):
    url, smtp_server = server(beyond_ascii=False)
    shop.customer("jürgen@example.com")
    shop.reserve(1, shop.book())
    shop.describe(mail_delay=0)
    inbox = make_mailbox(smtp_url=url)
    shop.set_stock(1, 1)
    inbox.run_worker()
    assert (smtp_server.taken, shop.rows("SELECT state FROM messages")) == ([], ["failed"])
    assert "SMTPUTF8" in shop.rows("SELECT last_error FROM messages")[0]
