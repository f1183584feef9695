"""The checks of the list Ready to open, without a shop: what each says about what it is given."""

import pytest

from bookshop.opening.checks import (
    check_address,
    check_backup,
    check_details,
    check_https,
    check_mail,
    check_pages,
    check_postage,
    check_proxies,
)
from bookshop.shop.service import Details

SHOP = "https://books.example.com"
HOURS = ["9:00\u201318:30", *[""] * 6]

CHECKS = [
    (check_address(SHOP, SHOP), True, "leads to this shop"),
    (check_address(SHOP, "https://books.example.com:443"), True, "leads to this shop"),
    (check_address(f"{SHOP}/shop", SHOP), True, "leads to this shop"),
    (
        check_address(SHOP, "https://www.example.com"),
        False,
        "You have opened this page at https://www.example.com, but",
    ),
    (check_address(SHOP, "http://books.example.com"), False, "let the proxy pass on the host name and the protocol"),
    (check_address(SHOP, "https://books.example.com:8443"), False, "but links in e-mails lead to"),
    *(
        (check_address(address, address), False, "which customers cannot reach")
        for address in (
            "http://127.0.0.1:5000",
            "https://10.0.0.5",
            "http://localhost",
            "http://[::1]",
            "http://till.local",
        )
    ),
    (check_https(SHOP, True), True, "the links in e-mails use it"),
    (check_https("http://books.example.com", True), False, "Begin BOOKSHOP_BASE_URL with https://"),
    (check_https(SHOP, False), False, "This page came without HTTPS."),
    (check_proxies(0, 0), True, "has passed no proxy, and BOOKSHOP_TRUSTED_PROXIES is 0."),
    (check_proxies(1, 1), True, "has passed 1 proxy, and BOOKSHOP_TRUSTED_PROXIES is 1."),
    (check_proxies(2, 1), False, "set it to 2, or all visitors count as one."),
    (check_proxies(1, 2), False, "set it to 1, or visitors can pretend to be others."),
    (check_backup(None, False), False, "Set BOOKSHOP_BACKUPS to a folder"),
    (check_backup(None, True), False, "There is none yet. The worker makes one every night."),
    (check_backup(100_000, True), False, "The last one is 27 hours old: last night's has failed, or no worker ran."),
    (check_backup(3 * 86_400, True), False, "The last one is 3 days old: last night's has failed"),
    (
        check_backup(3 * 86_400, True),
        False,
        "the worker's log says why after \u201cthe nightly backup has failed\u201d",
    ),
    (check_backup(3 * 86_400, False), False, "Set BOOKSHOP_BACKUPS to a folder"),
    (check_backup(99_999, False), True, "less than 28 hours old"),
    (check_mail(False, True, ""), False, "Set BOOKSHOP_SMTP_URL"),
    (check_mail(True, False, ""), False, "Send a message to yourself"),
    (check_mail(True, True, ""), True, "A message has arrived"),
    (check_mail(True, True, "E-mails are late."), False, "E-mails are late. Look under Mail for the reason"),
    (check_details(Details()), False, "Enter the address, the opening hours and a phone number or e-mail address."),
    (check_details(Details(city="Oxford", phone="1")), False, "Enter the opening hours."),
    (check_details(Details(city="Oxford", phone="1", week=HOURS)), True, "where and when to find you"),
    (check_postage(Details()), True, "Customers collect their orders."),
    (check_postage(Details(post_orders=True)), False, "Until then the checkout does not offer to post"),
    (check_postage(Details(post_orders=True, postage_cents=0)), True, "The checkout shows the postage."),
    (check_pages(["Terms", "Privacy", "Imprint"], [], []), False, "Read and save Terms, Privacy and Imprint."),
    (check_pages(["Terms"], [], []), False, "Read and save Terms."),
    (check_pages([], [], []), True, "You have reviewed all texts."),
    (
        check_pages([], ["Terms", "Imprint"], ["the phone number", "the VAT number"]),
        False,
        "(not entered yet)\u201d on Terms and Imprint. Enter the phone number and the VAT number, or take what you",
    ),
]


@pytest.mark.parametrize(("check", "done", "words"), CHECKS)
def test_a_check_says_what_is_or_what_to_do(check, done, words):
    assert (check.done, words in check.sentence) == (done, True), check.sentence
