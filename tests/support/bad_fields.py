"""What people may enter wrongly in the fields of forms, and the messages."""

from typing import Any

from bookshop.admin.shop_forms import DAYS
from bookshop.catalog.pictures import NO_PICTURE
from bookshop.returns.forms import NO_NUMBER, WRONG_DIGIT
from bookshop.shop.hours import NOT_HOURS
from bookshop.shop.single_days import NO_DAY
from tests.support.uploads import Upload

Cases = list[tuple[Any, str]]  # what is typed, and the message

CONTROLS = "The text must not contain control characters"
DAMAGED = "The text contains a damaged character: send the text as UTF-8."


def all_of(values: list[str], message: str) -> Cases:
    return [(value, message) for value in values]


def text(longest: int, missing: str = "", *, lines: bool = False) -> Cases:
    """Return text that is unstorable, too long, or has line breaks unless `lines`; with `missing` also empty text."""
    in_a_line = [] if lines else ["a\nb", "a\r\nb"]
    return [
        *(all_of(["", " ", "\t\r\n"], missing) if missing else []),
        *all_of(["a\0b", "a\x1bb", "a\x85b", *in_a_line], f"{CONTROLS}." if lines else f"{CONTROLS} or line breaks."),
        ("caf\ufffd", DAMAGED),
        ("x" * (longest + 1), f"This is too long. Enter at most {longest:,} characters."),
    ]


LINE_1 = "Line 1 cannot be read. "
EXCEPTIONS = [
    ("24.12.2026 closed", f"{LINE_1}{NO_DAY}"),
    ("2026-12-24", f"{LINE_1}{NO_DAY}"),
    ("2026-02-30 closed", f"{LINE_1}There is no day 2026-02-30."),
    ("2026-12-24 9-8-7 Christmas", f"{LINE_1}{NO_DAY}"),
    ("2026-12-24 9-12 and then closed", f"{LINE_1}{NO_DAY}"),
    (f"2026-12-24 closed {'x' * 81}", f"{LINE_1}A note can have at most 80 characters."),
    (f"2026-12-24 closed {'x' * 9000}", f"{LINE_1}{NO_DAY}"),
    ("2026-12-24 9-12\n\n2026-12-24 14-18", "Lines 1 and 3 are about the same day. Write its hours in one line."),
]
HOURS = [(text, NOT_HOURS) for text in ("9", "nine", "9-25", "\0")]
EMAIL = [("ada", "This is not a valid e-mail address. An e-mail address must have an @-sign.")]
NO_COUNTRY = [(text, "Not a valid choice.") for text in ("\0", "XX", "<script>")]
NO_AMOUNT = "Write the amount in digits, such as 12.90 or 12,90, without a thousands separator."
AMOUNT = [
    *all_of(["\0", "3.505", "1,000.00", "free"], NO_AMOUNT),
    ("-1", "The price must be from 0 to €1,000,000.00."),
]
COLOURS = ("accent", "code")
NO_COLOUR = "Enter the colour as # and six digits or letters from a to f, such as #8b2e2a."
DETAILS = {
    "responsible": 120,
    "registration": 200,
    "vat_number": 40,
    "vat_note": 120,
    "tagline": 160,
    "street": 120,
    "postcode": 20,
    "city": 120,
    "phone": 40,
}
# A new shop and its first owner.
NOT_THE_SAME = "The two passwords are not the same."
BAD_SET_UP = {
    ("SetUpForm", "code"): [("", "Enter the code from the server's log."), text(100)[-1]],
    ("SetUpForm", "name"): text(80, "Enter the name of the shop."),
    **{("SetUpForm", field): text(longest) for field, longest in (("street", 120), ("postcode", 20), ("city", 120))},
    ("SetUpForm", "country"): NO_COUNTRY,
    ("SetUpForm", "time_zone"): [("", "Choose the time zone of the shop."), *NO_COUNTRY],
    ("SetUpForm", "currency"): [("", "Choose the currency of your prices."), *NO_COUNTRY],
    ("SetUpForm", "email"): text(254, "Enter your e-mail address."),
    ("SetUpForm", "repeat"): all_of(["", "three other words"], NOT_THE_SAME),
}
BAD_DETAILS = {
    **BAD_SET_UP,
    **{("ShopDetailsForm", day): HOURS for day in DAYS},
    **{("ShopDetailsForm", field): NO_COUNTRY for field in ("country", "time_zone", "currency")},
    ("ShopDetailsForm", "order_wording"): all_of(["", "later", "\0"], "Not a valid choice."),
    ("ShopDetailsForm", "exceptions"): EXCEPTIONS,
    ("ShopDetailsForm", "email"): EMAIL,
    ("ShopDetailsForm", "holidays"): [("2026-02-30", "'2026-02-30' is not a valid choice for this field.")],
    ("ShopDetailsForm", "collect_days"): [
        *all_of(["0", "366", "-1"], "The number of days must be from 1 to 365."),
        ("soon", "Enter a whole number in digits, such as 12."),
    ],
    **{("ShopDetailsForm", field): AMOUNT for field in ("postage", "postage_free")},
    ("ShopDetailsForm", "mail_delay"): [
        *all_of(["-1", "86401"], "The number of seconds must be from 0 to 86,400, which is a day."),
        ("a minute", "Enter a whole number in digits, such as 12."),
    ],
    **{("LookForm", name): all_of(["red", "#12", "#1234567", "#gggggg", "\0"], NO_COLOUR) for name in COLOURS},
    ("LookForm", "photo_alt"): text(200),
    **{("LookForm", name): [((Upload(b"GIF89a"), "a.png"), NO_PICTURE)] for name in ("logo", "photo")},
    ("ShopDetailsForm", "name"): text(80, "Enter the name of the shop."),
    **{("ShopDetailsForm", field): text(longest) for field, longest in DETAILS.items()},
}
BAD_PAGES = {
    ("ReturnForm", "name"): text(200, "Enter your name."),
    ("ReturnForm", "order_number"): [
        *all_of(["", " "], "Enter the order number."),
        *all_of(["1", "4821-73011", "4821 7301 x", "abcd-efgh"], NO_NUMBER),
        *all_of(["4821-7304", "48217304"], WRONG_DIGIT),
    ],
    ("ReturnForm", "email"): [*all_of(["", " "], "Enter your e-mail address."), *EMAIL],
    ("ReturnForm", "books"): text(1000, lines=True),
    ("ShelfForm", "name"): text(60, "Enter a name."),
    ("ShelfForm", "introduction"): text(500, lines=True),
    ("ShelfForm", "state"): all_of(["", "secret", "\0"], "Not a valid choice."),
    ("AddPickForm", "book"): text(200, "Enter the ISBN or the title of a book."),
    **{
        (form, "sentence"): text(500, "Say in a sentence why you recommend it.", lines=True)
        for form in ("AddPickForm", "SentenceForm", "BookPickForm")
    },
    ("BookPickForm", "shelf"): [("", "Choose a shelf."), *all_of(["7", "x", "\0", "9" * 30], "Not a valid choice.")],
    ("PageForm", "title"): text(80, "Enter a title."),
    ("PageForm", "body"): text(20_000, "Enter a text.", lines=True),
    ("PageForm", "state"): all_of(["", "secret", "\0"], "Not a valid choice."),
}
