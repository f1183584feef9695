"""Suggestions for typing mistakes in the domain of an e-mail address."""

import pytest

from bookshop.accounts.typing_mistakes import OTHERS, WELL_KNOWN, suggested_address


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmali.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gail.com", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("hotmal.co.uk", "hotmail.co.uk"),
        ("outlok.com", "outlook.com"),
        ("yaho.co.uk", "yahoo.co.uk"),
        ("yaoho.com", "yahoo.com"),
        ("iclod.com", "icloud.com"),
        ("t-onlin.de", "t-online.de"),
        ("tonline.de", "t-online.de"),
        ("freent.de", "freenet.de"),
        ("protonmial.com", "protonmail.com"),
        ("la-poste.net", "laposte.net"),
        ("orage.fr", "orange.fr"),
        ("btinternt.com", "btinternet.com"),
    ],
)
def test_one_mistake_in_a_well_known_name_gets_a_suggestion(typed, meant):
    assert suggested_address(f"ada@{typed}") == f"ada@{meant}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *[(typed, "gmail.com") for typed in ("gmail.con", "gmail.co", "gmail.cm", "gmail.om", "gmail.comm")],
        *[(typed, "gmail.com") for typed in ("gmailcom", "gmail", "gmail.", "gmail.com.", "gmail,com", "gmail..com")],
        ("live.con", "live.com"),
        ("aolcom", "aol.com"),
        ("me.cmo", "me.com"),
        ("gmx.e", "gmx.de"),
        ("gmx.nte", "gmx.net"),
        ("webde", "web.de"),
        ("yahoo.couk", "yahoo.co.uk"),
        ("mailbox.or", "mailbox.org"),
    ],
)
def test_a_wrong_or_missing_ending_gets_a_suggestion(typed, meant):
    assert suggested_address(f"ada@{typed}") == f"ada@{meant}"


def test_a_domain_that_exists_gets_none():
    assert [domain for domain in (*WELL_KNOWN, *OTHERS) if suggested_address(f"ada@{domain}")] == []


@pytest.mark.parametrize(
    "domain", ["example.com", "mail.com", "gmx.at", "ymail.com", "hotmail.fr", "yahoo.fr", "live.nl"]
)
def test_other_providers_get_none(domain):
    assert suggested_address(f"ada@{domain}") is None


@pytest.mark.parametrize(
    "domain",
    ["web.dk", "proton.md", "free.br", "posteo.me", "gmx.us", "line.com", "wen.de", "we.com", "mail.example.com"],
)
def test_a_short_name_or_an_ending_that_belongs_to_somebody_else_gets_none(domain):
    assert suggested_address(f"ada@{domain}") is None


@pytest.mark.parametrize("typed", ["", "@", "ada", "ada@", "@gmial.com", "gmial.com", "ada@.", "ada@\0", "a" * 100_000])
def test_a_text_that_is_no_address_gets_none(typed):
    assert suggested_address(typed) is None


def test_the_part_before_the_last_at_sign_stays_as_it_was_typed():
    assert suggested_address(" Ada.Lovelace+books@GMIAL.com ") == "Ada.Lovelace+books@gmail.com"
    assert suggested_address('"a@b"@gmial.com') == '"a@b"@gmail.com'


def test_two_mistakes_are_too_many_for_a_suggestion():
    assert suggested_address("ada@gmial.con") is None
