"""ONIX messages as files: versions, encodings, damage, hostile content, and how much memory they take."""

import socket
import subprocess
import sys
from itertools import repeat

import pytest
from lxml import etree

from bookshop.bookfiles import onix
from bookshop.bookfiles.onix_xml import CHUNK, LARGEST, found_products, message_version
from bookshop.kit.exceptions import Invalid
from tests.support.onix import message, product, text_content, title, write

LIMIT_MB = 150
READ_ALL = """
import sys
from itertools import repeat
from pathlib import Path
from bookshop.bookfiles import onix
count = sum(1 for product in onix.products(Path(sys.argv[1]), "EUR") if product.fields and product.record)
# The peak of this program: on Linux, ru_maxrss includes that of the process that started it.
print(count, int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""
DOCTYPE = '<!DOCTYPE ONIXMessage SYSTEM "http://www.editeur.org/onix/{}/reference/onix-international.dtd">'


def write_text(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "message.xml"
    path.write_bytes(text.encode(encoding))
    return path


def text_of(*products, **options):
    return "".join(message(products, **options))


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('<ONIXMessage release="3.0">', "3.0"),
        ('<ONIXmessage release="3.1">', "3.1"),
        ('<ONIXMessage release="3.0.8">', "3.0"),
        ('<ONIXMessage xmlns="http://ns.editeur.org/onix/3.1/reference">', "3.1"),
        ('<o:ONIXmessage xmlns:o="http://ns.editeur.org/onix/3.0/short">', "3.0"),
        (DOCTYPE.format("3.0") + "<ONIXMessage>", "3.0"),
        (DOCTYPE.format("3.0") + '<ONIXMessage release="3.1">', "3.1"),
        ('\ufeff\r\n<?xml version="1.0"?>\n<!-- made by a till -->\n<ONIXMessage\n release="3.0"\n>', "3.0"),
        ('\n <?xml version="1.0" encoding="UTF-8"?><ONIXMessage release="3.0">', "3.0"),
        ("<ONIXMessage>", "2.1"),
        (DOCTYPE.format("2.1") + "<ONIXMessage>", "2.1"),
        ('<ONIXmessage release="2.1">', "2.1"),
        ('<ONIXMessage xmlns="http://www.editeur.org/onix/2.1/reference">', "2.1"),
        (DOCTYPE.format("2.0") + "<ONIXMessage>", "2.0"),
        ("<html><body>", None),
        ('<ONIXMessageAcknowledgement release="3.0">', None),
        ("isbn;title\n9780000000019;Emma\n", None),
        ("", None),
        ("PK\x03\x04", None),
        ("<", None),
    ],
)
def test_the_version_is_what_the_beginning_of_the_file_says(tmp_path, text, version):
    assert message_version(write_text(tmp_path, text)) == version


@pytest.mark.parametrize(("release", "words"), [("2.1", "an ONIX 2.1 message"), ("4.0", "an ONIX 4.0 message")])
def test_other_versions_are_refused_by_name(tmp_path, release, words):
    path = write_text(tmp_path, f'<ONIXMessage release="{release}"><Product></Product></ONIXMessage>')
    with pytest.raises(Invalid, match=f"{words}, but the shop reads ONIX 3.0 and 3.1"):
        onix.products(path)


def test_a_file_that_is_not_onix_is_refused(tmp_path):
    with pytest.raises(Invalid, match="not an ONIX message"):
        onix.products(write_text(tmp_path, "isbn;title\n"))


@pytest.mark.parametrize("prefix", ["", "o:"])
def test_a_message_without_a_namespace_or_with_a_prefix_is_read(tmp_path, prefix):
    text = text_of(product(), namespace=False)
    if prefix:
        text = text.replace("</", "</o:").replace("<", "<o:").replace("<o:/o:", "</o:")
        text = text.replace("<o:ONIXMessage", '<o:ONIXMessage xmlns:o="http://ns.editeur.org/onix/3.0/reference"')
    (read,) = onix.products(write_text(tmp_path, text))
    assert read.fields["title"] == "Das Haus am Fluss 1"
    assert etree.fromstring(read.record).tag.endswith("Product")


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", ""),
        ("utf-8-sig", '<?xml version="1.0" encoding="windows-1252"?>'),
        ("utf-8", '<?xml version="1.0" encoding="utf-16"?>'),  # what .NET writes from a string
        ("utf-16", None),
        ("utf-16-be", '<?xml version="1.0" encoding="utf-16"?>'),
        ("windows-1252", None),
        ("windows-1252", '<?xml version="1.0" encoding="ISO-8859-1"?>'),
        ("iso-8859-15", None),
    ],
)
def test_each_encoding_gives_the_same_title(tmp_path, encoding, declared):
    title_text = "Café \u2013 5 €" if encoding != "iso-8859-15" else "Café 5 €"
    parts = message([product(titles=title(title_text))])
    (read,) = onix.products(write(tmp_path / "message.xml", parts, encoding=encoding, declaration=declared))
    assert read.fields["title"] == title_text


def test_a_named_entity_of_html_is_read_if_a_dtd_may_have_declared_it(tmp_path):
    text = DOCTYPE.format("3.0") + text_of(product(titles=title("Caf&eacute; &amp; &unheard;")))
    (read,) = onix.products(write_text(tmp_path, text))
    assert read.fields["title"] == "Café & &unheard;"
    assert etree.fromstring(read.record).xpath("string(//*[local-name()='TitleText'])") == "Café & &unheard;"


# ---------------------------------------------------------------- damage


def read_damaged(tmp_path, text, encoding="utf-8"):
    """Return the numbers of the products that can be read, and the problem after them."""
    *good, bad = onix.products(write_text(tmp_path, text, encoding))
    assert {each.problem for each in good} <= {""}
    assert bad.number == len(good) + 1
    return [each.number for each in good], bad.problem


def many(count):
    return text_of(*(product(number) for number in range(1, count + 1)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_that_ends_in_the_middle_of_a_product_gives_those_before_it(tmp_path, encoding):
    text = many(30)
    whole = text.index("com.example.21")
    numbers, problem = read_damaged(tmp_path, text[:whole], encoding)
    assert numbers == list(range(1, 21))
    assert problem == "The file ends in the middle of product 21. Ask the sender for the complete file."


def test_a_file_that_ends_between_two_products_is_not_taken_for_complete(tmp_path):
    text = many(5).removesuffix("</ONIXMessage>\n")
    numbers, problem = read_damaged(tmp_path, text)
    assert numbers == [1, 2, 3, 4, 5]
    assert problem == "The file ends after product 5, before its end tag. Ask the sender for the complete file."


def test_every_truncation_is_reported(tmp_path):
    text = many(2)
    for end in range(text.index("<Product>") + len("<Product>"), len(text.rstrip()), 13):
        assert read_damaged(tmp_path, text[:end])[1].startswith("The file ends")
    for end in range(0, text.index("<Product>"), 7):
        path = write_text(tmp_path, text[:end])
        with pytest.raises(Invalid, match=r"ends before its first product|not an ONIX message"):
            list(onix.products(path))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("Tom & Jerry", "begins no tag and should be &lt; or &amp;"),
        ("a <b title", "Specification mandates value for attribute title"),
        ("caf&eacute;", "Entity 'eacute' not defined"),
        ("\x01", "PCDATA invalid Char value 1"),
        ("</TitleText></Wrong>", "Opening and ending tag mismatch"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_malformed_xml_gives_the_products_before_it_and_counts_those_after_it(tmp_path, damage, reason, encoding):
    numbers, problem = read_damaged(tmp_path, many(9).replace("Fluss 3", damage), encoding)
    assert numbers == [1, 2]
    assert problem.startswith("The file is not well-formed XML: line 4, column")
    assert reason in problem
    assert problem.endswith(". Products 3 to 9 are not read.")


def test_bytes_of_another_encoding_are_reported(tmp_path):
    numbers, problem = read_damaged(tmp_path, many(3).replace("Fluss 3", "Flüsschen"), "windows-1252")
    assert numbers == [1, 2]
    assert "it is not in the encoding that the file declares. Product 3 is not read." in problem


def test_an_ampersand_is_reported_where_it_is_even_if_no_semicolon_follows(tmp_path):
    following = [product(3)] * (2 * LARGEST // len(product(3)))
    text = text_of(product(1), product(2, titles=title("Tom & Jerry")), *following)
    numbers, problem = read_damaged(tmp_path, text)
    assert numbers == [1]
    assert problem.endswith(f"should be &lt; or &amp;. Products 2 to {len(following) + 2} are not read.")


def test_a_second_message_in_the_same_file_is_not_lost_without_a_word(tmp_path):
    numbers, problem = read_damaged(tmp_path, many(2) + many(3))
    assert numbers == [1, 2]
    assert problem.endswith("Products 3 to 5 are not read.")


def test_a_control_z_after_the_message_is_no_damage(tmp_path):
    assert len(list(onix.products(write_text(tmp_path, f"{many(2)}\x1a")))) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<ONIXMessage release="3.0"><Header/><NoProduct/></ONIXMessage>', "contains no products"),
        ('<ONIXMessage release="3.0"><Header></ONIXMessage>', "not well-formed XML: line 1, column"),
    ],
)
def test_a_message_without_products_is_refused(tmp_path, text, reason):
    with pytest.raises(Invalid, match=reason):
        list(onix.products(write_text(tmp_path, text)))


# ---------------------------------------------------------------- hostile files

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SECRET = "the content of a local file"


def refused(tmp_path, doctype, text):
    """Return what reading a message gives, as text, whether it is refused or read."""
    try:
        read = list(onix.products(write_text(tmp_path, doctype + text_of(product(titles=title(text))))))
    except Invalid as refusal:
        return refusal.sentence
    return str(read)


def test_entities_are_not_expanded(tmp_path):
    said = refused(tmp_path, f'<!DOCTYPE ONIXMessage [<!ENTITY l0 "ha">{LAUGHS}]>', "&l9;")
    assert said == "This ONIX message declares entities, which the shop does not read. Ask for a file without them."


def test_entities_in_an_attribute_of_the_root_are_not_expanded(tmp_path):
    text = f'<!DOCTYPE ONIXMessage [<!ENTITY l0 "ha">{LAUGHS}]><ONIXMessage release="3.0" x="&l9;"/>'
    with pytest.raises(Invalid):
        list(onix.products(write_text(tmp_path, text)))


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE ONIXMessage [<!ENTITY secret SYSTEM "{}">]>',
        '<!DOCTYPE ONIXMessage [<!ENTITY % more SYSTEM "{}"> %more;]>',
        '<!DOCTYPE ONIXMessage SYSTEM "{}">',
        '<!DOCTYPE ONIXMessage PUBLIC "-//X//Y//EN" "{}" [<!ENTITY % more SYSTEM "{}"> %more;]>',
    ],
)
@pytest.mark.parametrize("content", [SECRET, f'<!ENTITY secret "{SECRET}">'])
def test_the_content_of_a_local_file_never_appears(tmp_path, doctype, content):
    local = tmp_path / "local.txt"
    local.write_text(content)
    for address in (local.as_uri(), str(local), "file:///etc/passwd"):
        said = refused(tmp_path, doctype.replace("{}", address), "&secret;")
        assert SECRET not in said
        assert "root:" not in said


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE ONIXMessage SYSTEM "{}">',
        '<!DOCTYPE ONIXMessage [<!ENTITY secret SYSTEM "{}">]>',
        '<!DOCTYPE ONIXMessage [<!ENTITY % more SYSTEM "{}"> %more;]>',
    ],
)
def test_the_network_is_not_used(tmp_path, doctype):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/onix.dtd"
        refused(tmp_path, doctype.replace("{}", address), "&secret;")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_product_that_is_too_large_ends_the_reading(tmp_path):
    text = text_of(product(1), f"<Product>{'<x/>' * (LARGEST // 3)}</Product>", product(3))
    numbers, problem = read_damaged(tmp_path, text)
    assert numbers == [1]
    assert problem == (
        "The file has a product of more than 4 MB, which the shop does not read. Products 2 to 3 are not read."
    )


def test_deeply_nested_markup_does_no_harm(tmp_path):
    text = text_content("03", f"<![CDATA[Ein Haus{'<b>' * 50_000}]]>", textformat="02")
    (read,) = onix.products(write_text(tmp_path, text_of(product(texts=text))))
    assert read.fields["description"] == "Ein Haus"


# ---------------------------------------------------------------- memory


def test_products_are_cleared_so_that_few_elements_are_alive(tmp_path):
    path = write(tmp_path / "message.xml", message(product(number) for number in range(1, 201)))
    in_chunk = 2 * CHUNK // len(product(1))
    alive = [len(found.element.getparent()) for found in found_products(path)]  # type: ignore[union-attr,arg-type]
    assert len(alive) == 200
    assert max(alive) <= in_chunk + 2


@pytest.mark.prove
def test_a_message_with_100000_products_streams_in_under_150_mb(tmp_path):
    path = write(tmp_path / "message.xml", message(repeat(product(), 100_000)))
    done = subprocess.run([sys.executable, "-c", READ_ALL, path], capture_output=True, text=True, check=True)
    count, peak = map(int, done.stdout.split())
    assert count == 100_000
    assert peak < LIMIT_MB
