"""Order numbers that can be read out on the phone: `4821-7305`, seven random digits and a check digit (Luhn)."""

import re
import secrets

from stdnum import luhn
from stdnum.exceptions import ValidationError

NUMBER = re.compile(r"[\s#-]*(\d{4})[\s-]*(\d{4})\s*")


def new_number() -> str:
    """Return a random number, which does not reveal how many orders there are. It may already be taken."""
    digits = str(1_000_000 + secrets.randbelow(9_000_000))
    digits += luhn.calc_check_digit(digits)
    return f"{digits[:4]}-{digits[4:]}"


def parse_number(text: str) -> str | None:
    """Return the order number in the text, typed with or without hyphen and spaces; None if it is not one."""
    match = NUMBER.fullmatch(text)
    return f"{match[1]}-{match[2]}" if match else None


def has_wrong_digit(number: str) -> bool:
    """Return whether the check digit is wrong, so that no order can have this number."""
    try:
        luhn.validate(number.replace("-", ""))
    except ValidationError:
        return True
    return False
