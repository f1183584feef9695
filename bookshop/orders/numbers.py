"""Order numbers that can be read out on the phone: `4821-7305`, seven digits at random and one that checks them."""

import re
import secrets

from stdnum import luhn
from stdnum.exceptions import ValidationError

NUMBER = re.compile(r"[\s#-]*(\d{4})[\s-]*(\d{4})\s*")


def new_number() -> str:
    """A number at random; it says nothing about how much the shop sells. It may be taken."""
    digits = str(1_000_000 + secrets.randbelow(9_000_000))
    digits += luhn.calc_check_digit(digits)
    return f"{digits[:4]}-{digits[4:]}"


def read_number(text: str) -> str | None:
    """The number that somebody typed, with or without the hyphen or blanks; None if it is none."""
    found = NUMBER.fullmatch(text)
    return f"{found[1]}-{found[2]}" if found else None


def is_misheard(number: str) -> bool:
    """Whether the last digit does not fit the others, so that no order can have this number."""
    try:
        luhn.validate(number.replace("-", ""))
    except ValidationError:
        return True
    return False
