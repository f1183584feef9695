"""The form in which e-mail addresses are stored, and the one in which they are compared."""

from email_validator import EmailNotValidError, validate_email

from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import EMAIL_MAX, problem_in, tidy


def normal_email(email: str) -> str:
    """Return the address as it is stored, with its domain in lower case; raises Invalid for a bad address."""
    if len(email) > 4 * EMAIL_MAX:  # too long even after composing (NFC)
        raise Invalid("This e-mail address is too long.", "email")
    if problem := problem_in(email):
        raise Invalid(f"The address {problem}.", "email")
    try:
        address = validate_email(tidy(email), check_deliverability=False).normalized
    except EmailNotValidError as error:
        reason = str(error).replace("email address", "e-mail address").replace("period", "dot")  # British English
        raise Invalid(f"This is not a valid e-mail address. {reason}", "email") from None
    return address


def key_of(address: str) -> str:
    """Return the form in which addresses are compared: upper and lower case are the same.

    Case folding would go too far: to it, ß and ss are equal, but straße.de and strasse.de are different domains (IDNA
    2008), which may belong to different people.
    """
    return address.lower()


def key_of_typed(email: str) -> str:
    """Return the key of an address as it was typed; '' if it is not valid."""
    try:
        return key_of(normal_email(email))
    except Invalid:
        return ""
