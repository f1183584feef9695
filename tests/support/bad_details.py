"""What owners may enter wrongly in the form of the shop's details, and the messages."""

from bookshop.admin.shop_forms import DAYS, NO_EXCEPTION
from bookshop.shop.hours import NOT_HOURS

LINE_1 = "Line 1 cannot be read. "
EXCEPTIONS = [
    ("24.12.2026 closed", f"{LINE_1}{NO_EXCEPTION}"),
    ("2026-02-30 closed", f"{LINE_1}There is no day 2026-02-30."),
    ("2026-12-24 9-8-7 Christmas", f"{LINE_1}{NOT_HOURS}"),
    (f"2026-12-24 closed {'x' * 81}", f"{LINE_1}A note can have at most 80 characters."),
]
HOURS = [(text, NOT_HOURS) for text in ("9", "nine", "9-25", "\0")]
EMAIL = [("ada", "This is not a valid e-mail address. An e-mail address must have an @-sign.")]
NO_COUNTRY = [(text, "Not a valid choice.") for text in ("\0", "XX", "<script>")]
BAD_DETAILS = {
    **{("ShopDetailsForm", day): HOURS for day in DAYS},
    **{("ShopDetailsForm", field): NO_COUNTRY for field in ("country", "time_zone")},
    ("ShopDetailsForm", "exceptions"): EXCEPTIONS,
    ("ShopDetailsForm", "email"): EMAIL,
}
